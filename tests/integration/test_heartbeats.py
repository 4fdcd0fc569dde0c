"""Signs of life from real processes, and what a run does when there are none, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from muster.engine.actor import Actor
from muster.engine.ownership import begin
from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome, Receipt
from muster.model.gates import Autonomy
from muster.model.heartbeats import Level, Memory, Thresholds, watch
from muster.model.journal import events as ev
from muster.model.plan import OnFailure, Task
from muster.model.policy import RunPolicy
from muster.model.running.messages import Message
from muster.ports import AttemptSpec, CheckSpec, Heartbeat, Swept, Tell
from muster.process import this_owner
from muster.testing.fake_clock import FakeClock
from muster.testing.memory_store import MemoryStore
from tests.contracts.executor_contract import AGENTS, attempt, ignore, nothing_is_left, scripted, until, until_written
from tests.contracts.memory_workspace import MemoryWorkspace, Objects


@asynccontextmanager
async def running(executor: LocalExecutor, spec: AttemptSpec) -> AsyncIterator[list[Outcome]]:
    """The attempt while the block runs; the list gets its outcome."""
    outcomes: list[Outcome] = []

    async def run() -> None:
        outcomes.append(await executor.run(spec, ignore))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        yield outcomes
        group.cancel_scope.cancel()


def beat_of(executor: LocalExecutor, spec: AttemptSpec) -> Heartbeat:
    beat = executor.beat(spec.id)
    assert beat is not None
    return beat


@pytest.mark.anyio
async def test_twenty_minutes_without_a_word_but_with_activity_are_quiet_and_end_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    executor = LocalExecutor(AGENTS, clock)
    busy = "while :; do :; done"
    spec = scripted(tmp_path, {"say": "now"}, {"run": busy}, stall_timeout_s=360.0, timeout_s=60.0)
    memory: Memory = {}
    levels = set()

    async with running(executor, spec) as outcomes:
        await until_written(spec, b'"now"')
        for _ in range(13):
            clock.advance(100)
            await until(lambda: is_active(clock, executor, spec))
            memory, findings = watch(memory, {spec.id: beat_of(executor, spec)}, Thresholds(), clock.now())
            levels |= {one.after for one in findings}
        said = float(beat_of(executor, spec).evidence["news_s"])

        assert outcomes == []

    assert said >= 1200
    assert levels == {Level.WARN}
    assert nothing_is_left(spec)
    executor.close()


@pytest.mark.anyio
async def test_an_agent_without_output_and_activity_is_ended_as_stalled_and_may_be_tried_again(tmp_path: Path) -> None:
    clock = FakeClock()
    executor = LocalExecutor(AGENTS, clock)
    spec = scripted(tmp_path, {"say": "now"}, "ignore_term", "hang", stall_timeout_s=360.0, grace_s=0.1, timeout_s=60.0)

    async with running(executor, spec) as outcomes:
        await until_written(spec, b'"now"')
        await idle(clock, executor, spec)
        clock.advance(355)
        await anyio.sleep(0.2)
        assert outcomes == []
        clock.advance(10)
        await until(lambda: bool(outcomes))

    failure = outcomes[0].failure
    assert (outcomes[0].ending, failure and failure.cause) == (Ending.STALLED, Cause.STALLED)
    assert executor.beat(spec.id) is None
    assert nothing_is_left(spec)
    executor.close()


def is_active(clock: FakeClock, executor: LocalExecutor, spec: AttemptSpec) -> bool:
    """Whether the processes were seen to do something since the last long jump of the clock."""
    clock.advance(0.5)
    return float(beat_of(executor, spec).evidence["activity_s"]) < 50


async def idle(clock: FakeClock, executor: LocalExecutor, spec: AttemptSpec) -> None:
    """Wait until the processes of an attempt were seen to do nothing for a second."""

    def is_idle() -> bool:
        clock.advance(0.1)
        beat = executor.beat(spec.id)
        return beat is not None and float(beat.evidence.get("activity_s", 0)) >= 2 and "cpu_s" in beat.evidence

    await until(is_idle)


@pytest.mark.anyio
async def test_a_command_that_waits_in_silence_has_only_its_timeout(tmp_path: Path) -> None:
    clock = FakeClock()
    executor = LocalExecutor(AGENTS, clock)
    spec = attempt(tmp_path, command="echo now; sleep 100", stall_timeout_s=360.0, timeout_s=60.0)

    async with running(executor, spec) as outcomes:
        await until_written(spec, b"now")
        await idle(clock, executor, spec)
        clock.advance(100_000)
        await anyio.sleep(0.4)

        assert outcomes == []
        assert beat_of(executor, spec).alive

    executor.close()


@pytest.mark.anyio
async def test_a_jump_of_the_wall_clock_is_no_silence(tmp_path: Path) -> None:
    class Jumping(FakeClock):
        jump = timedelta()

        def now(self):  # type: ignore[no-untyped-def]
            return super().now() + self.jump

    clock = Jumping()
    executor = LocalExecutor(AGENTS, clock)
    spec = scripted(tmp_path, {"say": "now"}, "hang", timeout_s=60.0)

    async with running(executor, spec):
        await until_written(spec, b'"now"')
        clock.jump = timedelta(days=1)
        beat = beat_of(executor, spec)
        _, findings = watch({}, {spec.id: beat}, Thresholds(), clock.now())

    assert findings == ()
    executor.close()


class Silent:
    """An executor whose attempts end only when they are cancelled; their beats are what the test says."""

    def __init__(self) -> None:
        self.beats: dict[str, Heartbeat] = {}
        self.running: set[str] = set()
        self.started: list[str] = []
        self.immortal: tuple[int, ...] = ()

    async def run(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        self.started.append(spec.id)
        self.running.add(spec.id)
        try:
            await anyio.sleep_forever()
        finally:
            self.running.discard(spec.id)
        raise AssertionError

    async def adopt(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        return await self.run(spec, tell)

    async def check(self, spec: CheckSpec) -> Receipt:
        raise AssertionError

    def beat(self, attempt: str) -> Heartbeat | None:
        return self.beats.get(attempt)

    def forget(self, folder: Path) -> None:
        pass

    def hurry(self) -> None:
        pass

    async def sweep(self, marker: str) -> Swept:
        return Swept(left=self.immortal)


async def settle() -> None:
    """Let everybody who can do something do it; nothing here waits for a file or a thread."""
    for _ in range(100):
        await anyio.lowlevel.checkpoint()


class Stage:
    """A run of one task on a clock that the test moves."""

    def __init__(self, place: Path, *, stall_timeout_s: float = 360.0) -> None:
        self.clock, self.store, self.executor = FakeClock(), MemoryStore(), Silent()
        self.place = place
        self.policy = RunPolicy(autonomy=Autonomy.OPEN, stall_timeout_s=stall_timeout_s)
        self.attempt = "r:T1:1"

    @asynccontextmanager
    async def driven(self) -> AsyncIterator[None]:
        objects = Objects(self.place, {"a": b"1"})
        base = objects.refs["refs/heads/main"]
        accepted = ev.PlanAccepted(
            slug="s",
            plan_sha256="",
            base=base,
            start=base,
            start_tree=objects.tree(base),
            target="refs/heads/main",
            policy=self.policy,
        )
        task = Task(id="T1", run="x", attempts=3, on_failure=OnFailure.STOP)
        journal = await begin(self.store, self.clock, this_owner(), "r", accepted, [task])
        workspace = MemoryWorkspace(objects, "r")
        actor = Actor(journal, self.store, workspace, self.executor, self.clock, folder=self.place)
        async with anyio.create_task_group() as group:
            group.start_soon(actor.drive)
            await until(lambda: bool(self.executor.started))
            yield
            group.cancel_scope.cancel()

    async def pass_time(self, seconds: float, **beat: float | bool) -> None:
        """Let time pass in steps of a tick; ``seen`` and ``news`` are the ages of the last signs, still growing."""
        begun = self.clock.now()
        for _ in range(round(seconds / 5)):
            now = self.clock.now() + timedelta(seconds=5)
            passed = (now - begun).total_seconds() if beat.get("ages", True) else 0.0
            self.executor.beats[self.attempt] = Heartbeat(
                last_seen=(now - timedelta(seconds=float(beat.get("seen", 0)) + passed)).isoformat(),
                last_news=(
                    now - timedelta(seconds=float(beat.get("news", 0)) + (now - begun).total_seconds())
                ).isoformat(),
                alive=bool(beat.get("alive", True)),
                evidence={"cpu_s": "0.1"},
            )
            self.clock.advance(5)
            await settle()

    async def of(self, type_: str) -> list[ev.Event]:
        return [entry.event for entry in await self.store.read("r") if entry.type == type_]


@pytest.mark.anyio
async def test_a_run_says_once_that_an_attempt_is_quiet_and_lets_it_work_for_twenty_minutes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with stage.driven():
        await stage.pass_time(1200, ages=False)

        levels = await stage.of("heartbeat.level_changed")
        assert [(e.before, e.after, e.evidence) for e in levels] == [("healthy", "warn", {"cpu_s": "0.1"})]  # type: ignore[union-attr]
        assert await stage.of("heartbeat.lost") == []
        assert stage.executor.running == {stage.attempt}


@pytest.mark.anyio
async def test_an_attempt_that_shows_no_life_is_ended_after_its_last_grace_and_becomes_a_dead_letter(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)

    async with stage.driven():
        await stage.pass_time(365)
        assert [e.after for e in await stage.of("heartbeat.level_changed")] == ["warn", "stale", "dead"]  # type: ignore[union-attr]
        assert stage.executor.running == {stage.attempt}
        await stage.pass_time(10, seen=365)

        lost = await stage.of("heartbeat.lost")
        letters = await stage.of("deadletter.added")
        ends = [e.outcome.ending for e in await stage.of("task.attempt_ended")]  # type: ignore[union-attr]
        assert [(e.attempt, e.elapsed_ms, e.evidence) for e in lost] == [(1, 370_000, {"cpu_s": "0.1"})]  # type: ignore[union-attr]
        assert [(e.reason, e.attempts) for e in letters] == [("heartbeat-dead", 1)]  # type: ignore[union-attr]
        assert ends == [Ending.STALLED]
        assert stage.executor.running == set()
        assert stage.executor.started == [stage.attempt]


@pytest.mark.anyio
async def test_an_attempt_whose_process_is_gone_is_ended_on_the_third_dead_tick_and_not_before(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with stage.driven():
        await stage.pass_time(10, alive=False)
        await stage.pass_time(5)
        await stage.pass_time(10, alive=False)
        assert stage.executor.running == {stage.attempt}
        assert [e.after for e in await stage.of("heartbeat.level_changed")] == ["dead", "healthy", "dead"]  # type: ignore[union-attr]
        await stage.pass_time(5, alive=False)

        assert [e.ticks for e in await stage.of("heartbeat.lost")] == [3]  # type: ignore[union-attr]
        assert [e.reason for e in await stage.of("deadletter.added")] == ["heartbeat-dead"]  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_run_that_has_ended_raises_no_alarm(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    async with stage.driven():
        await stage.pass_time(15, alive=False)
        ended = len(await stage.store.read("r"))
        await stage.pass_time(600, alive=False)

        entries = await stage.store.read("r")
        assert entries[ended - 1].type == "run.state"
        assert len(entries) == ended


@pytest.mark.anyio
async def test_a_process_that_outlives_the_stop_of_its_task_is_in_the_journal(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.executor.immortal = (4711,)

    async with stage.driven():
        await stage.store.post(Message(id="m", run="r", kind="stop", sender="anna", at=stage.clock.now()))
        await until(lambda: "r" in stage.store.journal.heads and stage.store.journal.heads["r"].state == "cancelled")

    assert [e.left for e in await stage.of("process.swept")] == [(4711,)]  # type: ignore[union-attr]
    assert [e.partial for e in await stage.of("run.cancel")] == [("T1",)]  # type: ignore[union-attr]
