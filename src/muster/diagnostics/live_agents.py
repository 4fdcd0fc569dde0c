"""Whether the agents that are here can work: each is asked for one short task, with the person's own login."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio

from muster.clock import SystemClock
from muster.config.load import find_project, load_settings
from muster.diagnostics.checks import AGENTS
from muster.diagnostics.findings import Finding, Level
from muster.model.errors import NotFoundError
from muster.pipeline.compose import detect_agents
from muster.ports import Agent
from muster.testing.conformance import Check, Conformance
from muster.wiring.parts import agents

_LIMIT_S = 120.0


def try_agents(cwd: Path) -> Iterator[Finding]:
    """A finding for each agent that is installed and not known to be logged out; costs what a short answer costs."""
    try:
        project = find_project(cwd)
    except NotFoundError:
        project = None
    settings = load_settings(project, environ=os.environ).settings.agents
    able = {name: one for name, one in agents(settings).items() if name in (*AGENTS, *settings.named)}
    for name, found in anyio.run(detect_agents, able).items():
        if found.found and found.auth != "missing":
            yield _finding(name, anyio.run(_worked, able[name]))


async def _worked(agent: Agent) -> tuple[Check, ...]:
    return await Conformance(agent, SystemClock(), timeout_s=_LIMIT_S).examine(lambda _: None, until="usage")


def _finding(name: str, checks: tuple[Check, ...]) -> Finding:
    failed = [f"{check.name}: {check.detail}" for check in checks if check.result == "failed"]
    if failed:
        return Finding("live", Level.WARN, f"{name} did not do a short task: {failed[0]}", f"muster agent test {name}")
    return Finding("live", Level.OK, f"{name} did a short task: {checks[-1].detail}")
