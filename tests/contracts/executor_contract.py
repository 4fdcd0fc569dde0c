"""What every executor promises, with real processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import pytest

from muster.agents.command import CommandAgent
from muster.agents.scripted import ScriptedAgent
from muster.model.attempts import Cause, Ending, Outcome
from muster.model.ids import attempt_folder
from muster.ports import Agent, AttemptSpec, CheckSpec, Executor, News
from muster.process import list_marked

AGENTS: Mapping[str, Agent] = {"command": CommandAgent(), "scripted": ScriptedAgent()}


def attempt(place: Path, *, task: str = "T1", number: int = 1, **more: object) -> AttemptSpec:
    """An attempt in a run that no other test has; it works in ``place/work``."""
    work = place / "work"
    work.mkdir(exist_ok=True)
    run = f"run-{place.name}-{os.getpid()}"
    fields: dict[str, object] = {
        "id": f"{run}:{task}:{number}",
        "run": run,
        "task": task,
        "number": number,
        "agent": "command",
        "workdir": work,
        "folder": place / "runs" / run / attempt_folder(task, number),
        "timeout_s": 30.0,
        **more,
    }
    return AttemptSpec(**fields)  # type: ignore[arg-type]


def scripted(place: Path, *steps: object, **more: object) -> AttemptSpec:
    """An attempt of the scripted agent."""
    return attempt(place, agent="scripted", prompt=json.dumps(list(steps)), **more)


def written(spec: AttemptSpec, name: str = "stdout") -> bytes:
    """What the attempt has written so far, whether it still runs or not."""
    for path in (spec.folder / f"{name}.log", spec.folder / name):
        if path.exists():
            return path.read_bytes()
    return b""


def daemons(spec: AttemptSpec) -> list[int]:
    """The pids of the daemons that a script has left, as it told them."""
    told = [json.loads(line) for line in written(spec).splitlines() if b'"daemon"' in line]
    return [int(one["pid"]) for one in told]


def exists(pid: int) -> bool:
    """Whether there is a living process of this pid."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def nothing_is_left(spec: AttemptSpec) -> bool:
    """Whether no process and no temporary folder of the attempt is left."""
    return not list_marked(spec.id) and not any(exists(pid) for pid in daemons(spec))


async def until_written(spec: AttemptSpec, text: bytes) -> None:
    """Wait until the attempt has written this."""
    await until(lambda: text in written(spec))


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(2000):
        if condition():
            return
        await anyio.sleep(0.01)
    raise AssertionError("it never came")


def ignore(news: News) -> None:
    """Listen to nothing."""


DAEMON = {"daemon": {"seconds": 300}}
WIPED_DAEMON = {"daemon": {"seconds": 300, "clean_env": True}}


class ExecutorContract:
    """Subclass it and say how to make the executor."""

    def make(self, agents: Mapping[str, Agent] = AGENTS) -> Executor:
        """A new executor that knows these agents."""
        raise NotImplementedError

    @pytest.mark.anyio
    async def test_a_command_that_exits_with_0_is_ok_and_its_output_is_kept(self, tmp_path: Path) -> None:
        spec = attempt(tmp_path, command="echo out; echo err >&2; pwd")

        outcome = await self.make().run(spec, ignore)

        assert outcome.ending is Ending.OK
        assert outcome.exit_code == 0
        assert outcome.transcript is not None
        assert (tmp_path / "runs" / spec.run / outcome.transcript.path).read_text() == f"out\n{spec.workdir}\n"
        assert outcome.errors is not None
        assert (tmp_path / "runs" / spec.run / outcome.errors.path).read_text() == "err\n"

    @pytest.mark.anyio
    @pytest.mark.parametrize("code", [1, 143])
    async def test_an_exit_code_other_than_0_is_an_error_and_no_exception(self, tmp_path: Path, code: int) -> None:
        outcome = await self.make().run(attempt(tmp_path, command=f"echo why >&2; exit {code}"), ignore)

        assert outcome.ending is Ending.ERROR
        assert (outcome.exit_code, outcome.signal) == (code, None)
        assert outcome.failure is not None
        assert outcome.failure.cause is Cause.EXIT
        assert "why" in outcome.failure.message

    @pytest.mark.anyio
    @pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
    async def test_a_command_that_dies_of_a_signal_says_which(self, tmp_path: Path, name: str) -> None:
        import signal

        outcome = await self.make().run(attempt(tmp_path, command=f"kill -{name} $$; sleep 5"), ignore)

        assert outcome.ending is Ending.ERROR
        assert (outcome.exit_code, outcome.signal) == (None, getattr(signal, f"SIG{name}"))

    @pytest.mark.anyio
    @pytest.mark.parametrize("daemon", [DAEMON, WIPED_DAEMON])
    @pytest.mark.parametrize("last", [{"say": "done"}, {"exit": 3}])
    async def test_a_daemon_does_not_outlive_its_attempt(self, tmp_path: Path, daemon: object, last: object) -> None:
        spec = scripted(tmp_path, daemon, last)

        outcome = await self.make().run(spec, ignore)

        assert outcome.ok is (last == {"say": "done"})
        assert daemons(spec)
        assert nothing_is_left(spec)
        assert outcome.swept == tuple(daemons(spec))

    @pytest.mark.anyio
    @pytest.mark.parametrize("daemon", [DAEMON, WIPED_DAEMON])
    async def test_an_attempt_out_of_time_is_ended_with_all_that_it_started(
        self, tmp_path: Path, daemon: object
    ) -> None:
        spec = scripted(tmp_path, "ignore_term", daemon, "hang", timeout_s=1.0, grace_s=0.2)

        outcome = await self.make().run(spec, ignore)

        assert outcome.ending is Ending.TIMEOUT
        assert outcome.failure is not None
        assert outcome.failure.cause is Cause.TIMEOUT
        assert daemons(spec)
        assert nothing_is_left(spec)

    @pytest.mark.anyio
    @pytest.mark.parametrize("daemon", [DAEMON, WIPED_DAEMON])
    async def test_nothing_is_left_when_a_cancellation_returns(self, tmp_path: Path, daemon: object) -> None:
        spec = scripted(tmp_path, daemon, {"say": "waiting"}, "hang")

        async with anyio.create_task_group() as group:
            group.start_soon(self.make().run, spec, ignore)
            await until_written(spec, b"waiting")
            group.cancel_scope.cancel()

        assert daemons(spec)
        assert nothing_is_left(spec)
        assert not (spec.folder / "stdout").exists()

    @pytest.mark.anyio
    async def test_a_process_is_given_its_grace_to_say_goodbye(self, tmp_path: Path) -> None:
        farewell = "trap 'sleep 0.2; echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
        spec = attempt(tmp_path, command=farewell, grace_s=20.0)

        async with anyio.create_task_group() as group:
            group.start_soon(self.make().run, spec, ignore)
            await until_written(spec, b"ready")
            group.cancel_scope.cancel()

        assert b"bye" in written(spec)

    @pytest.mark.anyio
    async def test_a_hurry_ends_the_grace_of_a_stop_that_is_under_way(self, tmp_path: Path) -> None:
        executor = self.make()
        spec = scripted(tmp_path, "ignore_term", {"say": "waiting"}, "hang", grace_s=3600.0)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(executor.run, spec, ignore)
                await until_written(spec, b"waiting")
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.1)
                    executor.hurry()

        assert nothing_is_left(spec)

    @pytest.mark.anyio
    async def test_a_hurry_about_one_attempt_leaves_the_others_their_grace(self, tmp_path: Path) -> None:
        executor = self.make()
        hurried = scripted(tmp_path, "ignore_term", {"say": "waiting"}, "hang", task="T1", grace_s=3600.0)
        spared = attempt(
            tmp_path,
            command="trap 'sleep 0.3; echo bye; exit' TERM; echo ready; while :; do sleep 0.02; done",
            task="T2",
            grace_s=30.0,
        )

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(executor.run, hurried, ignore)
                group.start_soon(executor.run, spared, ignore)
                await until_written(hurried, b"waiting")
                await until_written(spared, b"ready")
                executor.hurry(hurried.id)
                group.cancel_scope.cancel()

        assert b"bye" in written(spared)

    @pytest.mark.anyio
    async def test_an_agent_tells_its_news_while_it_works(self, tmp_path: Path) -> None:
        told: list[News] = []
        spec = scripted(tmp_path, {"say": "hello"}, {"usage": {"input": 3, "output": 4, "cost_usd": 0.5}}, "hang")
        outcomes: list[Outcome] = []

        async def run() -> None:
            outcomes.append(await self.make().run(spec, told.append))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await until(lambda: any(news.kind == "usage" for news in told))
            group.cancel_scope.cancel()

        assert [news.kind for news in told] == ["session", "text", "usage"]
        assert told[2].usage is not None
        assert told[2].usage.cost_usd == 0.5
        assert not outcomes

    @pytest.mark.anyio
    async def test_a_wild_stream_hurts_nobody(self, tmp_path: Path) -> None:
        told: list[News] = []
        spec = scripted(
            tmp_path,
            {"garbage": {"bytes": 100_000}},
            {"flood": {"bytes": 10_000_000}},
            {"run": "true"},
            {"say": "still \x00 here ✓"},
            {"result": {"ok": True}},
            {"result": {"ok": True}},
            {"say": '{"half": '},
        )

        outcome = await self.make().run(spec, told.append)

        assert outcome.ending is Ending.OK
        assert "still \x00 here ✓" in [news.text for news in told]

    @pytest.mark.anyio
    async def test_an_agent_that_closes_its_output_early_is_incomplete(self, tmp_path: Path) -> None:
        spec = scripted(tmp_path, {"say": "hello"}, "close_stdout", {"sleep": 0.2}, {"say": "unheard"})

        outcome = await self.make().run(spec, ignore)

        assert outcome.ending is Ending.INCOMPLETE

    @pytest.mark.anyio
    async def test_an_unknown_agent_and_a_missing_folder_are_outcomes(self, tmp_path: Path) -> None:
        executor = self.make()

        unknown = await executor.run(attempt(tmp_path, agent="nobody"), ignore)
        vanished = await executor.run(attempt(tmp_path, command="true", workdir=tmp_path / "gone"), ignore)

        assert unknown.failure is not None
        assert unknown.failure.cause is Cause.NOT_INSTALLED
        assert vanished.failure is not None
        assert vanished.failure.cause is Cause.ENVIRONMENT
        assert "gone" in vanished.failure.message

    @pytest.mark.anyio
    async def test_an_attempt_is_never_started_twice(self, tmp_path: Path) -> None:
        spec = attempt(tmp_path, command="echo once >> count")
        executor = self.make()

        await executor.run(spec, ignore)
        again = await executor.run(spec, ignore)

        assert again.ending is Ending.ERROR
        assert (spec.workdir / "count").read_text() == "once\n"

    @pytest.mark.anyio
    async def test_adopting_what_never_started_is_interrupted_and_starts_nothing(self, tmp_path: Path) -> None:
        spec = attempt(tmp_path, command="touch started")

        outcome = await self.make().adopt(spec, ignore)

        assert outcome.ending is Ending.INTERRUPTED
        assert not (spec.workdir / "started").exists()

    @pytest.mark.anyio
    async def test_adopting_what_has_ended_reads_its_outcome(self, tmp_path: Path) -> None:
        spec = attempt(tmp_path, command="echo once >> count; echo out; exit 7")
        first = await self.make().run(spec, ignore)

        outcome = await self.make().adopt(spec, ignore)

        assert (outcome.exit_code, outcome.transcript, outcome.ending) == (7, first.transcript, Ending.ERROR)
        assert (spec.workdir / "count").read_text() == "once\n"

    @pytest.mark.anyio
    async def test_a_check_gives_a_receipt_with_the_end_of_what_was_said(self, tmp_path: Path) -> None:
        executor = self.make()
        spec = CheckSpec(
            id=f"check-{tmp_path.name}:1",
            command="pwd; seq 5000; echo problem >&2; exit 2",
            tree="abc",
            workdir=tmp_path,
            folder=tmp_path / "check",
        )

        receipt = await executor.check(spec)
        again = await executor.check(spec)

        assert (receipt.exit_code, receipt.tree, receipt.command) == (2, "abc", spec.command)
        assert receipt.tail.endswith("5000\nproblem\n")
        assert len(receipt.tail) <= 2048
        assert receipt.environment == again.environment != ""
        assert again.exit_code == 2

    @pytest.mark.anyio
    async def test_a_check_out_of_time_has_exit_code_124_and_leaves_nothing(self, tmp_path: Path) -> None:
        spec = CheckSpec(
            id=f"check-{tmp_path.name}-{os.getpid()}:1",
            command="sleep 300 & setsid sleep 301 & sleep 302",
            tree="abc",
            workdir=tmp_path,
            folder=tmp_path / "check",
            timeout_s=0.5,
            grace_s=0.2,
        )

        receipt = await self.make().check(spec)

        assert receipt.exit_code == 124
        assert not list_marked(spec.id)

    @pytest.mark.anyio
    async def test_a_sweep_ends_what_it_names_and_nothing_else(self, tmp_path: Path) -> None:
        executor = self.make()
        named = attempt(tmp_path, task="T1", command="echo ready; sleep 300")
        other = attempt(tmp_path, task="T10", command="echo ready; sleep 0.5; echo whole")
        outcomes: dict[str, Outcome] = {}

        async def run(spec: AttemptSpec) -> None:
            outcomes[spec.task] = await executor.run(spec, ignore)

        async with anyio.create_task_group() as group:
            group.start_soon(run, named)
            group.start_soon(run, other)
            await until_written(named, b"ready")
            await until_written(other, b"ready")
            swept = await executor.sweep(f"{named.run}:T1")

        assert swept.pids
        assert not swept.left
        assert not outcomes["T1"].ok
        assert outcomes["T10"].ok

    @pytest.mark.anyio
    async def test_many_short_commands_at_once_all_succeed(self, tmp_path: Path) -> None:
        executor = self.make()
        limit = anyio.CapacityLimiter(8)
        outcomes: list[Outcome] = []

        async def run(number: int) -> None:
            async with limit:
                outcomes.append(await executor.run(attempt(tmp_path, task=f"T{number}", command="true"), ignore))

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(run, number)

        assert [outcome.ending for outcome in outcomes] == [Ending.OK] * 200


def settled(condition: Callable[[], bool]) -> bool:
    """Give the system a moment to finish what was begun."""
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False
