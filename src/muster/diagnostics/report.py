"""A run and the machine that it is on, as one JSON object for whoever is asked for help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from muster.diagnostics.checks import versions
from muster.model.errors import EnvironmentProblem, InputError
from muster.model.journal.entries import Entry
from muster.model.journal.events import HeartbeatLevelChanged, HeartbeatLost
from muster.model.record import Record
from muster.model.redaction import Redactor, redact_values
from muster.model.running.evolve import fold
from muster.model.views.disclosure import disclosed
from muster.operations.runs import is_driven
from muster.pipeline.compose import detect_agents
from muster.reports.views import run_view
from muster.telemetry.replay import Replay
from muster.wiring.kit import Kit
from muster.wiring.parts import agents

SCHEMA_VERSION = 2
LAST_EVENTS = 200
_ENVIRONMENT = frozenset(
    {"CI", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR", "PATH", "SHELL", "TERM", "TMPDIR", "TZ"}
    | {"VIRTUAL_ENV", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"}
)


class RunReport(Record, frozen=True, omit_defaults=False, rename="camel"):
    """What is known about a run; version 1 had no ``schemaVersion``, ``doctor`` and ``metricsSnapshot``."""

    schema_version: int = 1
    run: str = ""
    manifest: dict[str, Any] = {}
    tasks: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    heartbeats: dict[str, Any] = {}
    agents: list[dict[str, Any]] = []
    environment: dict[str, str] = {}
    versions: dict[str, str] = {}
    doctor: list[dict[str, Any]] = []
    metrics_snapshot: dict[str, Any] = {}


def read_report(data: bytes) -> RunReport:
    """Read a report of this release or an older one.

    >>> read_report(b'{"run": "01r"}').schema_version, read_report(b'{"schemaVersion": 2}').run
    (1, '')

    Raises:
        InputError: it is none.
        EnvironmentProblem: a newer release wrote it.
    """
    try:
        found = msgspec.json.decode(data, type=RunReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"This is no report of muster diagnose: {error}.") from error
    if found.schema_version > SCHEMA_VERSION:
        known = f"this release reads up to {SCHEMA_VERSION}"
        raise EnvironmentProblem(f"The report's version is {found.schema_version}; {known}.", hint="Upgrade Muster.")
    return found


async def make_report(kit: Kit, run: str, environ: Mapping[str, str], redact: Redactor) -> dict[str, Any]:
    """The report of a run, all but what `examine` finds, without any secret; of a damaged journal what is whole."""
    last = next(head.seq for head in await kit.store.runs() if head.run == run)
    good = await kit.store.last_good(run)
    entries = await kit.store.read(run, limit=good) if good else ()
    state = fold(run, entries)
    view = run_view(state, await is_driven(kit, run)) if state.plan is not None else {}
    replay = Replay(entries[0].at if entries else kit.clock.now())
    for entry in entries:
        replay.take_in(entry)
    report = RunReport(
        schema_version=SCHEMA_VERSION,
        run=run,
        manifest={"entries": last, "damaged_after": None if good == last else good}
        | {name: value for name, value in view.items() if name not in ("tasks", "entries")},
        tasks=view.get("tasks", []),
        events=msgspec.json.decode(msgspec.json.encode(entries[-LAST_EVENTS:])),
        heartbeats=_heartbeats(entries),
        agents=await _agents(kit),
        environment={name: environ[name] for name in sorted(environ) if _may_be_told(name)},
        versions=versions(),
        metrics_snapshot=msgspec.to_builtins(disclosed(replay.snapshot(), redact)),
    )
    found: dict[str, Any] = redact_values(msgspec.json.decode(msgspec.json.encode(report)), redact)
    return found


def _may_be_told(name: str) -> bool:
    return name in _ENVIRONMENT or (name.startswith("MUSTER_") and not name.endswith("_HEADERS"))


def _heartbeats(entries: Iterable[Entry]) -> dict[str, Any]:
    """How often each level was reached, where each task stands, and which attempts were given up as lifeless."""
    reached: Counter[str] = Counter()
    levels: dict[str, str] = {}
    lost: list[str] = []
    for entry in entries:
        match entry.event:
            case HeartbeatLevelChanged() as event:
                reached[event.after] += 1
                levels[event.task] = event.after
            case HeartbeatLost() as event:
                lost.append(f"{event.task}:{event.attempt}")
            case _:
                pass
    return {"reached": dict(reached), "levels": levels, "lost": lost}


async def _agents(kit: Kit) -> list[dict[str, Any]]:
    able = agents(kit.resolved.settings.agents)
    return [
        {"name": name, "found": one.found, "path": one.path, "version": one.version, "login": one.auth}
        for name, one in (await detect_agents(able)).items()
    ]
