"""Words that several failure modes share: tasks that leave a trace of each start, and agents that play a script."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import Any

from tests.journeys.site import Site, task

FAULTY = (sys.executable, "-P", "-m", "muster.testing.faults")
OPEN = ("run", "--plan", "plan.md", "--gates", "open")


def traced(site: Site, name: str, then: str, **manifest: Any) -> str:
    """A task that writes its attempt down outside of git before it does anything else."""
    return task(name, f'echo "$MUSTER_ATTEMPT" >> {site.root}/starts; {then}', **manifest)


def starts(site: Site) -> list[str]:
    """Every start that really happened, as ``task:attempt``."""
    place = site.root / "starts"
    words = place.read_text().split() if place.exists() else []
    return [word.partition(":")[2] for word in words]


def announced(site: Site) -> list[str]:
    """Every start that the journal announced, as ``task:attempt``."""
    return [f"{one['task']}:{one['attempt']}" for one in site.of("task.attempt_started")]


def played(name: str, script: str, **manifest: Any) -> str:
    """A task for the scripted agent."""
    return task(name, "", agent="scripted", prompt=script, **manifest).replace('run: ""\n', "")


def statuses(site: Site) -> dict[str, str]:
    """How each task stands."""
    return {one["id"]: one["status"] for one in site.show()["tasks"]}


def sql(site: Site, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What a plain connection to the journal says, or changes."""
    with closing(sqlite3.connect(site.top / ".muster/state/muster.db")) as connection, connection:
        return connection.execute(statement, values).fetchall()
