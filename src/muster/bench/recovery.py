"""What coming back and stopping cost: finding interrupted runs, folding, looking after attempts, cancelling."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import msgspec

from muster.agents.command import CommandAgent
from muster.engine.journal import load
from muster.engine.ownership import begin
from muster.engine.watcher import Watcher
from muster.executors.local import LocalExecutor
from muster.model.ids import attempt_id
from muster.model.journal import events as ev
from muster.model.journal.entries import Draft
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.record import Record
from muster.model.running.evolve import fold
from muster.operations.runs import interrupted_runs
from muster.operations.stopping import stop_run
from muster.ports import AttemptSpec
from muster.process import list_marked, run
from muster.testing import demo_project
from muster.wiring.kit import Kit, open_project

RUNS, TASKS_PER_RUN, ENTRIES, REPEATS = 50, 4, 10_000, 20
# Higher than any pid that Linux gives out, so that no such process ever lives.
NO_PID = 2**22 + 1


class Figure(Record, frozen=True):
    """One measured cost in milliseconds beside its budget."""

    name: str
    p50_ms: float
    p95_ms: float
    budget_ms: float


async def measure(cancels: int) -> list[Figure]:
    """Take all figures, in repositories of their own that are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        await demo_project.make(place)
        async with open_project(place) as kit:
            figures = [
                await _figure(f"detect {RUNS} interrupted runs", 5, await _detecting(kit)),
                await _figure(f"fold {ENTRIES} entries", 100, await _folding(kit)),
                await _ticking(kit, place),
            ]
        return figures + await _cancelling(place, cancels)


async def _figure(name: str, budget_ms: float, work: Callable[[], Awaitable[object]]) -> Figure:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        await work()
        times.append((time.perf_counter() - start) * 1000)
    return _of(name, budget_ms, times)


def _of(name: str, budget_ms: float, times: list[float]) -> Figure:
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    return Figure(name=name, p50_ms=statistics.median(times), p95_ms=p95, budget_ms=budget_ms)


async def _detecting(kit: Kit) -> Callable[[], Awaitable[object]]:
    dead = msgspec.structs.replace(kit.owner, id="dead", pid=NO_PID)
    for number in range(RUNS):
        await begin(kit.store, kit.clock, dead, f"run{number}", _accepted(), [Task(id="t", run="true")])

    async def detect() -> None:
        found = await interrupted_runs(kit)
        if len(found) != RUNS:
            raise RuntimeError(f"{len(found)} of {RUNS} interrupted runs were found")

    return detect


async def _folding(kit: Kit) -> Callable[[], Awaitable[object]]:
    now = kit.clock.now()
    await kit.store.append("long", 0, [Draft(event=event, at=now) for event in _long_story()])
    entries = await kit.store.read("long")

    async def folding() -> None:
        fold("long", entries)

    return folding


def _long_story() -> Iterator[ev.Event]:
    """A run of four tasks whose agents talk a lot, as long journals come about."""
    names = [f"t{number}" for number in range(TASKS_PER_RUN)]
    yield ev.RunStateChanged(state="start", run_id="long")
    yield _accepted()
    yield from (ev.TaskPlanned(task=Task(id=name, agent="claude")) for name in names)
    yield from (ev.AttemptStarted(task=name, attempt=1, base="b", agent="claude") for name in names)
    for number in range(ENTRIES - 2 - 2 * len(names)):
        name = names[number % len(names)]
        if number % 3 == 0:
            yield ev.AgentUsed(task=name, attempt=1, input=number, output=number, cost_usd=number / 1000)
        elif number % 3 == 1:
            yield ev.ToolCalled(task=name, attempt=1, tool="shell")
        else:
            yield ev.AgentSaid(task=name, attempt=1, text="I look at the next file. " * 4)


async def _ticking(kit: Kit, place: Path) -> Figure:
    """As many looks as that many runs take, each at the same real processes through the real executor."""
    names = [f"t{number}" for number in range(TASKS_PER_RUN)]
    started = [ev.AttemptStarted(task=name, attempt=1, base="b") for name in names]
    planned = [ev.TaskPlanned(task=Task(id=name, run="sleep 600")) for name in names]
    story: list[ev.Event] = [ev.RunStateChanged(state="start", run_id="beats"), _accepted(), *planned, *started]
    await kit.store.append("beats", 0, [Draft(event=event, at=kit.clock.now()) for event in story])
    state, executor = await load(kit.store, "beats"), LocalExecutor({"command": CommandAgent()}, kit.clock)
    watchers = [Watcher(executor) for _ in range(RUNS)]

    async def tick() -> None:
        for watcher in watchers:
            watcher.look(state, kit.clock.now())

    async with anyio.create_task_group() as group:
        for name in names:
            id, folder = attempt_id("beats", name, 1), place / "beats" / name
            spec = AttemptSpec(
                id=id,
                run="beats",
                task=name,
                number=1,
                agent="command",
                workdir=place,
                folder=folder,
                command="sleep 600",
            )
            group.start_soon(executor.run, spec, lambda _: None, name=id)
        while any(
            (beat := executor.beat(attempt_id("beats", name, 1))) is None or not beat.last_news for name in names
        ):
            await kit.clock.sleep(0.02)
        figure = await _figure(f"watcher tick, {RUNS} runs x {TASKS_PER_RUN} attempts", 5, tick)
        group.cancel_scope.cancel()
    executor.close()
    return figure


async def _cancelling(place: Path, cancels: int) -> list[Figure]:
    """Real runs of four sleeping tasks, each stopped from another process."""
    tasks = "\n".join(
        f"## t{n}\n\n```yaml\nid: t{n}\nrun: sleep 600\nchanges: any\n```\n" for n in range(TASKS_PER_RUN)
    )
    plan = place / "sleep.md"
    plan.write_text(f"---\ntype: plan\nslug: sleep\n---\n# Sleep\n\n{tasks}", encoding="utf-8")
    acknowledged, gone = [], []
    for _ in range(cancels):
        request = await _cancel(place, plan)
        acknowledged.append((request.acknowledged - request.requested).total_seconds() * 1000)
        gone.append(float(request.latency_ms))
    return [
        _of("cancel until acknowledged", 50, acknowledged),
        _of("cancel until no process is left, grace 0", 100, gone),
    ]


async def _cancel(place: Path, plan: Path) -> ev.RunCancelled:
    command = [sys.executable, "-P", "-m", "muster", "run", "--plan", plan.name, "--gates", "open", "--quiet"]
    async with open_project(place) as kit, anyio.create_task_group() as group:
        before = {head.run for head in await kit.store.runs()}
        group.start_soon(lambda: run(command, cwd=place, env=dict(os.environ)), name="run")
        while not (new := [head.run for head in await kit.store.runs() if head.run not in before]):
            await kit.clock.sleep(0.02)
        while len(list_marked(new[0])) < TASKS_PER_RUN:
            await kit.clock.sleep(0.02)
        stopped = await stop_run(kit, await load(kit.store, new[0]))
        if stopped.result != "cancelled":
            raise RuntimeError(f"a stop came to {stopped}")
        entries = await kit.store.read(new[0])
    return next(entry.event for entry in entries if isinstance(entry.event, ev.RunCancelled))


def _accepted() -> ev.PlanAccepted:
    return ev.PlanAccepted(
        slug="s", plan_sha256="", base="b", start="b", start_tree="b", target="refs/heads/main", policy=RunPolicy()
    )
