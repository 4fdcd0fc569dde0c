"""Any agent that speaks the Agent Client Protocol, version 1; `acp_bridge` is its peer and tells us every frame."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from muster import __version__
from muster.agents import _dialect as dialect
from muster.agents.acp_stream import AcpParser
from muster.model.attempts import Usage
from muster.model.errors import InputError
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Launch

_BRIDGE = Path(__file__).with_name("acp_bridge.py").resolve()
_CANCEL_SHARE = 0.4  # of the grace; the rest is for leaving
# Modes that known agents offer; those that ask for each thing are left as they are, since the bridge answers.
_MODES = {
    "read": ("read-only", "plan"),
    "edit": ("workspace-write",),
    "full": ("bypassPermissions", "yolo", "agent-full-access", "full-access"),
}
_BIND = 'Bind the dialect to a program: [agents.NAME] dialect = "acp", command = ["PROGRAM", "ARGUMENT"].'


class AcpAgent:
    """Drives a program that the operator names; it must speak ACP on stdin and stdout."""

    name = "acp"
    capabilities = Capabilities(resume=True, interrupt=True, reports_cost=True, permissions=tuple(_MODES))

    def __init__(self, binding: Binding | None = None) -> None:
        self._binding = binding or Binding(name="acp")
        self.name = self._binding.name

    async def detect(self) -> Detected:
        """Look for the program; what it is and whether it is logged in, only a session would tell."""
        if not self._binding.command:
            return Detected(found=False, hint=_BIND)
        path = shutil.which(self._binding.command[0])
        missing = f"{self._binding.command[0]!r} is not installed, or not on PATH."
        return Detected(found=path is not None, path=path or "", hint="" if path else missing)

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        if not self._binding.command:
            raise InputError(f"Agent {self.name!r} has no program. {_BIND}")
        dialect.taken(self.name, spec, {})
        request = {
            "command": self._binding.command,
            "cwd": str(spec.workdir),
            "permission": spec.permission,
            "modes": dialect.permitted(self.name, spec, _MODES),
            "model": dialect.model_for(self._binding, spec),
            "effort": spec.effort,
            "session": spec.session,
            "cancel_s": spec.grace_s * _CANCEL_SHARE,
            "version": __version__,
        }
        return Launch(
            # By its path and with -P, so that neither PYTHONPATH nor the folder's other files matter.
            argv=(sys.executable, "-P", "-B", str(_BRIDGE)),
            env_allow=self._binding.env_allow,
            stdin=json.dumps(request).encode() + b"\n" + spec.prompt.encode("utf-8", "surrogateescape"),
            session=spec.session,
            resumed=bool(spec.session),
            polite=True,
            spent=spec.spent if spec.session else Usage(),
        )

    def parser(self, launch: Launch) -> AcpParser:
        """A parser for the output of one start."""
        return AcpParser(launch)
