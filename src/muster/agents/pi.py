"""pi without a terminal: `pi --mode json -p`."""

from __future__ import annotations

import os
from pathlib import Path

from muster.agents import _dialect as dialect
from muster.agents._logins import keys_for, pi_login
from muster.agents.pi_stream import PiParser
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Launch

_ENV = {"PI_OFFLINE": "1", "PI_TELEMETRY": "0", "PI_SKIP_VERSION_CHECK": "1"}
_ENV_ALLOW = (
    *("PI_CODING_AGENT_DIR", "PI_CODING_AGENT_SESSION_DIR", "PI_PACKAGE_DIR", "NODE_EXTRA_CA_CERTS"),
    *dialect.NETWORK_ENV,
)
# It has no sandbox and asks nobody: what it may do is what it has tools for, and its shell can do everything.
_MAY = {
    "read": ("read", "grep", "find", "ls"),
    "edit": ("read", "edit", "write", "grep", "find", "ls"),
    "full": ("read", "bash", "edit", "write", "grep", "find", "ls"),
}
_TOOLS = {
    "read": _MAY["read"],
    "edit": ("edit", "write"),
    "shell": ("bash",),
    # It has neither.
    "web": (),
    "agents": (),
}


class PiAgent:
    """Drives pi."""

    name = "pi"
    capabilities = Capabilities(
        resume=True,
        preassigned_session=True,
        reports_cost=True,
        permissions=tuple(_MAY),
        tools=tuple(_TOOLS),
        turns="told",
    )

    def __init__(self, binding: Binding | None = None) -> None:
        self._binding = binding or Binding(name="pi")
        self.name = self._binding.name

    async def detect(self) -> Detected:
        """Look for the program; whether it is logged in shows in the environment and in its folder alone."""
        env_allow = (*_ENV_ALLOW, *self._binding.env_allow)
        return await dialect.detect(
            dialect.program(self._binding, "pi"),
            (),
            env_allow=env_allow,
            logged_in=lambda _: pi_login(dialect.visible(env_allow), os.environ),
            install="npm install -g @earendil-works/pi-coding-agent",
            login="pi",
        )

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        model = dialect.model_for(self._binding, spec)
        taken = dialect.taken(self.name, spec, _TOOLS)
        tools = ",".join(tool for tool in dialect.permitted(self.name, spec, _MAY) if tool not in taken)
        # It goes on with the session of this id, or begins it when there is none.
        session = dialect.argument("session", spec.session) if spec.session else dialect.session_for(spec.id)
        return Launch(
            argv=(
                *dialect.program(self._binding, "pi"),
                *("--mode", "json"),
                *(("--tools", tools) if tools else ("--no-tools",)),
                *(("--model", model) if model else ()),
                *(("--thinking", dialect.argument("effort", spec.effort)) if spec.effort else ()),
                *("--session-id", session),
                "-p",
            ),
            env={**_ENV, "NODE_COMPILE_CACHE": _compile_cache()},
            env_allow=(*_ENV_ALLOW, *keys_for(model), *self._binding.env_allow),
            stdin=spec.prompt.encode("utf-8", "surrogateescape"),
            session=session,
            resumed=bool(spec.session),
        )

    def parser(self, launch: Launch) -> PiParser:
        """A parser for the output of one start."""
        return PiParser(launch.session)


def _compile_cache() -> str:
    """Where it keeps its compiled code by hand: in an attempt's own TMPDIR, each start would compile all of it anew."""
    return str(Path(os.environ.get("TMPDIR") or "/tmp") / "node-compile-cache")
