"""OpenCode without a terminal: `opencode run --format json`."""

from __future__ import annotations

import json

from muster.agents import _dialect as dialect
from muster.agents._logins import keys_for, opencode_login
from muster.agents.opencode_stream import OpenCodeParser
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Launch

_ENV = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
}
# Its own snapshots, for an undo that only its screen has, begin a git repository for each new worktree: nearly thirty
# processes of git. What a task left is undone by Muster.
_DEFAULTS = {"OPENCODE_CONFIG_CONTENT": '{"snapshot": false}'}
_ENV_ALLOW = (
    *("OPENCODE_API_KEY", "OPENCODE_CONFIG", "OPENCODE_CONFIG_CONTENT", "OPENCODE_CONFIG_DIR"),
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "NODE_EXTRA_CA_CERTS"),
    *dialect.NETWORK_ENV,
)
# Its shell has no sandbox, so a command may touch everything: only full has it. A denied repetition ends a loop of
# equal tool calls. What is not denied here or by the user's own settings, --auto allows.
_LIMITED = {"bash": "deny", "external_directory": "deny", "doom_loop": "deny"}
_RULES: dict[str, dict[str, str]] = {
    "read": {"edit": "deny", "task": "deny", "webfetch": "deny", **_LIMITED},
    "edit": {"edit": "allow", **_LIMITED},
    "full": {"*": "allow", "doom_loop": "deny"},
}
_TOOLS = {
    "read": ("read", "grep", "glob", "list", "lsp"),
    "edit": ("edit",),
    "shell": ("bash",),
    "web": ("webfetch", "websearch", "codesearch"),
    "agents": ("task",),
}
_FLAGS = dict.fromkeys(_RULES, ("--auto",))


class OpenCodeAgent:
    """Drives OpenCode."""

    name = "opencode"
    capabilities = Capabilities(
        resume=True, reports_cost=True, permissions=tuple(_RULES), tools=tuple(_TOOLS), turns="told"
    )

    def __init__(self, binding: Binding | None = None) -> None:
        self._binding = binding or Binding(name="opencode")
        self.name = self._binding.name

    async def detect(self) -> Detected:
        """Look for the program, and ask how many logins it has: without one it hangs."""
        env_allow = (*_ENV_ALLOW, *self._binding.env_allow)
        return await dialect.detect(
            dialect.program(self._binding, "opencode"),
            ("auth", "list"),
            env_allow=env_allow,
            logged_in=lambda asked: opencode_login(asked.stdout + asked.stderr, dialect.visible(env_allow)),
            install="npm install -g opencode-ai",
            login="opencode auth login",
        )

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        model = dialect.model_for(self._binding, spec)
        flags = dialect.permitted(self.name, spec, _FLAGS)
        rules = {**_RULES[spec.permission], **dict.fromkeys(dialect.taken(self.name, spec, _TOOLS), "deny")}
        return Launch(
            argv=(
                *dialect.program(self._binding, "opencode"),
                *("run", "--format", "json"),
                *flags,
                *(("-m", model) if model else ()),
                *(("--variant", dialect.argument("effort", spec.effort)) if spec.effort else ()),
                *(("-s", dialect.argument("session", spec.session)) if spec.session else ()),
            ),
            env={**_ENV, "OPENCODE_PERMISSION": json.dumps(rules)},
            defaults=_DEFAULTS,
            env_allow=(*_ENV_ALLOW, *keys_for(model), *self._binding.env_allow),
            stdin=spec.prompt.encode("utf-8", "surrogateescape"),
            session=spec.session,
            resumed=bool(spec.session),
        )

    def parser(self, launch: Launch) -> OpenCodeParser:
        """A parser for the output of one start."""
        return OpenCodeParser(launch)
