"""``muster agent``: which coding agents can be used here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, json_option

if TYPE_CHECKING:
    from muster.ports import Agent


@click.group()
def agent() -> None:
    """Look at the coding agents that tasks can name."""


@agent.command("ls")
@json_option
def ls(as_json: bool) -> None:
    """List every agent: whether it is found, its version, its login, what it can do."""
    import anyio

    rows = anyio.run(_rows)
    if as_json:
        emit({"agents": rows})
        return
    from muster.cli.output import table

    table(
        ["AGENT", "FOUND", "VERSION", "LOGIN", "CAN", "HINT"],
        [
            (r["name"], "yes" if r["found"] else "no", r["version"], r["auth"], ", ".join(r["capabilities"]), r["hint"])
            for r in rows
        ],
    )


async def _rows() -> list[dict[str, Any]]:
    import os

    import anyio

    from muster.config.load import find_project, load_settings
    from muster.model.errors import NotFoundError
    from muster.wiring import agents

    try:
        project = find_project(Path.cwd())
    except NotFoundError:
        project = None
    settings = load_settings(project, environ=os.environ).settings
    rows: dict[str, dict[str, Any]] = {}

    async def look(name: str, one: Agent) -> None:
        found = await one.detect()
        able = one.capabilities
        rows[name] = {
            "name": name,
            "found": found.found,
            "path": found.path,
            "version": found.version,
            "auth": found.auth,
            "capabilities": [
                word
                for word, can in {
                    "resume": able.resume,
                    "preassigned session": able.preassigned_session,
                    "steer": able.steer,
                    "interrupt": able.interrupt,
                    "cost": able.reports_cost,
                }.items()
                if can
            ],
            "permissions": able.permissions,
            "hint": found.hint,
        }

    async with anyio.create_task_group() as group:
        for name, one in agents(settings.agents).items():
            group.start_soon(look, name, one)
    return [rows[name] for name in sorted(rows)]
