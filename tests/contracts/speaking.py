"""The scripted program bound to every dialect, as an operator would bind a program of their own."""

from __future__ import annotations

import sys
from pathlib import Path

from muster import plugins
from muster.ports import Agent, Binding
from muster.testing import tongues

DIALECTS = ("acp", "claude", "codex", "gemini", "opencode", "pi")
PROGRAM = (sys.executable, "-P", "-B", str(Path(tongues.__file__).resolve()))


def speaking(dialect: str, *env_allow: str) -> Agent:
    """The adapter of a dialect, with the scripted program in the place of the real one."""
    binding = Binding(name=dialect, command=(*PROGRAM, dialect), env_allow=("SCRIPTED_SESSIONS", *env_allow))
    agent: Agent = plugins.find("muster.agents", dialect)(binding)
    return agent
