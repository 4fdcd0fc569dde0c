"""``muster agent``: which coding agents can be used here, and whether they keep what is expected of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option, style

if TYPE_CHECKING:
    from muster.config.settings import AgentsSettings
    from muster.ports import Capabilities, Detected
    from muster.testing.conformance import Check


@click.group(cls=Listing)
def agent() -> None:
    """Look at the coding agents that tasks can name."""


@agent.command("ls")
@json_option
def ls(as_json: bool) -> None:
    """List every agent: found or not, version, login, abilities."""
    import anyio

    rows = anyio.run(_rows)
    if as_json:
        emit({"agents": rows})
        return
    from muster.cli.output import table

    table(
        ["AGENT", "FOUND", "VERSION", "LOGIN", "CAN"],
        [
            (r["name"], "yes", r["version"], r["auth"], ", ".join(r["capabilities"]))
            if r["found"]
            else (r["name"], "no")
            for r in rows
        ],
    )
    for row in rows:
        if row["hint"]:
            # A command stays on one line, to be copied from there.
            click.echo(f"{row['name']:<8}  {row['hint'] if row['found'] else row['fix'] or row['hint']}")


@agent.command("test")
@click.argument("name")
@click.option("--model", default="", help="The model, as the agent's program calls it; its own choice by default.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(1), default=180.0, show_default=True, help="Seconds each."
)
@json_option
@click.pass_context
def test(ctx: click.Context, name: str, model: str, timeout_s: float, as_json: bool) -> None:
    """Try whether NAME keeps what Muster expects of an agent.

    It works in repositories of its own. A real agent is asked some eight times for something short, with your own
    login, and that costs what it costs. The exit code is 1 when a check failed.
    """
    import anyio

    checks = anyio.run(_test, name, model, timeout_s, as_json)
    ctx.exit(any(check.result == "failed" for check in checks))


async def _test(name: str, model: str, timeout_s: float, as_json: bool) -> tuple[Check, ...]:
    from muster.clock import SystemClock
    from muster.model.errors import EnvironmentProblem
    from muster.testing.conformance import Conformance
    from muster.wiring.parts import agent_of

    able = agent_of(_settings(), name)
    found = await able.detect()
    if not found.found:
        raise EnvironmentProblem(f"The agent {name!r} cannot be started here.", hint=found.hint)

    def tell(check: Check) -> None:
        if not as_json:
            colour = {"ok": "green", "failed": "red"}.get(check.result, "yellow")
            word = style(f"{check.result:<8}", fg=colour)
            click.echo(f"{check.name:<12} {word} {check.seconds:6.1f} s  {check.detail}")

    checks = await Conformance(able, SystemClock(), model=model, timeout_s=timeout_s).examine(tell)
    if as_json:
        emit({"agent": name, "version": found.version, "checks": checks})
    return checks


def _settings() -> AgentsSettings:
    """The settings of agents here, in a project or outside of any."""
    import os

    from muster.config.load import find_project, load_settings
    from muster.model.errors import NotFoundError

    try:
        project = find_project(Path.cwd())
    except NotFoundError:
        project = None
    return load_settings(project, environ=os.environ).settings.agents


async def _rows() -> list[dict[str, Any]]:
    from muster.pipeline.compose import detect_agents
    from muster.wiring.parts import agents

    able = agents(_settings())
    return [_row(name, able[name].capabilities, found) for name, found in (await detect_agents(able)).items()]


def _row(name: str, able: Capabilities, found: Detected) -> dict[str, Any]:
    words = {
        "resume": able.resume,
        "preassigned session": able.preassigned_session,
        "interrupt": able.interrupt,
        "cost": able.reports_cost,
    }
    return {
        "name": name,
        "found": found.found,
        "path": found.path,
        "version": found.version,
        "auth": found.auth,
        "capabilities": [word for word, can in words.items() if can],
        "permissions": able.permissions,
        "tools": able.tools,
        "hint": found.hint,
        "fix": found.fix,
    }
