"""Gemini CLI without a terminal: `gemini -o stream-json`."""

from __future__ import annotations

import json

from muster.agents import _dialect as dialect
from muster.agents._logins import gemini_login
from muster.agents.gemini_stream import GeminiParser
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Launch

_FLAGS = {
    "read": ("--approval-mode", "default"),
    "edit": ("--approval-mode", "auto_edit"),
    "full": ("--approval-mode", "yolo"),
}
_ENV_ALLOW = (
    *("GEMINI_API_KEY", "GEMINI_CLI_HOME", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_*"),
    *("GOOGLE_GENAI_*", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "NODE_EXTRA_CA_CERTS"),
    *dialect.NETWORK_ENV,
)
_TOOLS = {
    "read": ("glob", "grep_search", "list_directory", "read_file", "read_many_files"),
    "edit": ("replace", "write_file"),
    "shell": ("run_shell_command",),
    "web": ("google_web_search", "web_fetch"),
    "agents": ("invoke_agent",),
}
_POLICY = "gemini-policy.toml"
# Above every rule of the tier that is ours to write, the one of yolo mode too.
_DENIED = '[[rule]]\ntoolName = {tools}\ndecision = "deny"\npriority = 999\n'
_SETTINGS = "gemini-defaults.json"
# The lowest of its settings files, so what the user or an administrator has set stays, the login above all.
_DEFAULTS = {
    "general": {"maxAttempts": 2, "enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    "privacy": {"usageStatisticsEnabled": False},
    "security": {"environmentVariableRedaction": {"enabled": True}},
}


class GeminiAgent:
    """Drives Gemini CLI."""

    name = "gemini"
    capabilities = Capabilities(resume=True, preassigned_session=True, permissions=tuple(_FLAGS), tools=tuple(_TOOLS))

    def __init__(self, binding: Binding | None = None) -> None:
        self._binding = binding or Binding(name="gemini")
        self.name = self._binding.name

    async def detect(self) -> Detected:
        """Look for the program; whether it is logged in shows in the environment and its settings alone."""
        env_allow = (*_ENV_ALLOW, *self._binding.env_allow)
        return await dialect.detect(
            dialect.program(self._binding, "gemini"),
            (),
            env_allow=env_allow,
            logged_in=lambda _: gemini_login(dialect.visible(env_allow)),
            install="npm install -g @google/gemini-cli",
            login="gemini",
        )

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        session = dialect.argument("session", spec.session) if spec.session else dialect.session_for(spec.id)
        model = dialect.model_for(self._binding, spec)
        files = {_SETTINGS: json.dumps(_DEFAULTS).encode()}
        if taken := dialect.taken(self.name, spec, _TOOLS):
            files[_POLICY] = _DENIED.format(tools=json.dumps(taken)).encode()
        return Launch(
            argv=(
                *dialect.program(self._binding, "gemini"),
                *("-o", "stream-json", "--skip-trust"),
                *dialect.permitted(self.name, spec, _FLAGS),
                *(("-m", model) if model else ()),
                *(("--policy", str(spec.folder / _POLICY)) if taken else ()),
                *(("--resume", session) if spec.session else ("--session-id", session)),
            ),
            env={
                "GEMINI_CLI_NO_RELAUNCH": "true",
                "GEMINI_TELEMETRY_ENABLED": "false",
                "GEMINI_CLI_SYSTEM_DEFAULTS_PATH": str(spec.folder / _SETTINGS),
            },
            stdin=spec.prompt.encode("utf-8", "surrogateescape"),
            files=files,
            session=session,
            resumed=bool(spec.session),
            env_allow=(*_ENV_ALLOW, *self._binding.env_allow),
        )

    def parser(self, launch: Launch) -> GeminiParser:
        """A parser for the output of one start."""
        return GeminiParser(launch)
