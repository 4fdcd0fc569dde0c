"""Codex: starts `codex exec --json`."""

from __future__ import annotations

import re

from muster.agents import _dialect as dialect
from muster.agents.codex_stream import CodexParser
from muster.model.attempts import Usage
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Launch

# TZ, because it tells the end of a limit in local time.
_ENV_ALLOW = ("CODEX_HOME", "CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "TZ", *dialect.NETWORK_ENV)
_SETTINGS = (
    "check_for_update_on_startup=false",
    "features.plugins=false",
    # What the model runs needs no key of ours.
    'shell_environment_policy.exclude=["CODEX_API_KEY","OPENAI_API_KEY"]',
)
# Codex reads where to send it from the environment where its own settings name no place. It makes hundreds of spans
# for each answer of its model: as JSON they are read ten times faster, and a request of so many is half a megabyte.
_TRACED_ARGS = ("-c", 'otel.trace_exporter={otlp-http={endpoint="",protocol="json"}}')
_TRACED = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "192"}
_PERMISSIONS = {
    "read": ("-s", "read-only"),
    # /tmp belongs to everybody; TMPDIR is the attempt's own, and without it builds and tests fail.
    "edit": (
        *("-s", "workspace-write", "-c", "sandbox_workspace_write.exclude_slash_tmp=true"),
        *("-c", "sandbox_workspace_write.exclude_tmpdir_env_var=false"),
    ),
    "full": ("--dangerously-bypass-approvals-and-sandbox",),
}
# Its shell is all that it reads and writes with, so that cannot be taken from it.
_TOOLS = {"web": ('web_search="disabled"',), "agents": ("agents.enabled=false",)}
_PROVIDER = re.compile(r"""(?:--config=)?model_provider\s*=\s*["']?([\w-]+)["']?""")
# Codex does not start when one of its own providers is changed; they retry 4 requests and 5 streams.
_FIXED_PROVIDERS = frozenset({"openai", "ollama", "lmstudio", "amazon-bedrock", "amazon-bedrock-runtime"})
_RETRIES = 2


class CodexAgent:
    """Drives the `codex` program without a terminal."""

    capabilities = Capabilities(resume=True, permissions=tuple(_PERMISSIONS), tools=tuple(_TOOLS))

    def __init__(self, binding: Binding | None = None) -> None:
        self._binding = binding or Binding(name="codex")
        self.name = self._binding.name

    async def detect(self) -> Detected:
        """Ask it for its version and whether it is logged in."""
        return await dialect.detect(
            dialect.program(self._binding, "codex"),
            ("login", "status"),
            env_allow=(*_ENV_ALLOW, *self._binding.env_allow),
            logged_in=lambda asked: asked.ok,
            install="npm install -g @openai/codex",
            login="codex login",
        )

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        command = dialect.program(self._binding, "codex")
        argv = [*command, "exec", "--json", "--skip-git-repo-check", "-C", str(spec.workdir)]
        argv += dialect.permitted(self.name, spec, _PERMISSIONS)
        if model := dialect.model_for(self._binding, spec):
            argv += ["-m", model]
        settings = [*_SETTINGS, *dialect.taken(self.name, spec, _TOOLS), *_fewer_retries(command)]
        if spec.effort:
            settings.append("model_reasoning_effort=" + dialect.argument("effort", spec.effort))
        for setting in settings:
            argv += ["-c", setting]
        if spec.session:
            argv += ["resume", dialect.argument("session", spec.session)]
        return Launch(
            argv=(*argv, "-"),
            traced=_TRACED,
            traced_args=_TRACED_ARGS,
            env_allow=(*_ENV_ALLOW, *self._binding.env_allow),
            stdin=spec.prompt.encode("utf-8", "surrogateescape"),
            session=spec.session,
            resumed=bool(spec.session),
            spent=spec.spent if spec.session else Usage(),
        )

    def parser(self, launch: Launch) -> CodexParser:
        """A parser for the output of one start."""
        return CodexParser(launch)


def _fewer_retries(command: tuple[str, ...]) -> list[str]:
    """Settings for the provider that the operator's command names: retrying is the run's policy."""
    named = [found[1] for part in command if (found := _PROVIDER.fullmatch(part))]
    return [
        f"model_providers.{name}.{what}_max_retries={_RETRIES}"
        for name in named[-1:]
        if name not in _FIXED_PROVIDERS
        for what in ("request", "stream")
    ]
