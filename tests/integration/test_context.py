"""Which attempt the running code works for: nested, side by side, in threads, and in the programs that are started."""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from muster.agents.command import CommandAgent
from muster.clock import SystemClock
from muster.context import current, within
from muster.engine.journal import Journal
from muster.executors.local import LocalExecutor
from muster.model.journal import events as ev
from muster.model.journal.correlation import Correlation
from muster.model.running.state import initial
from muster.ports import CheckSpec
from muster.testing.memory_store import MemoryStore
from tests.contracts.executor_contract import attempt
from tests.contracts.store_support import ALICE, TTL_S

RUN = Correlation(run="01r")
FIRST, SECOND = (Correlation(run="01r", task=task, attempt=1) for task in ("T1", "T2"))
TELL = 'echo "$TRACEPARENT $OTEL_RESOURCE_ATTRIBUTES" > told'


def test_what_is_nested_ends_with_its_block_also_by_an_error() -> None:
    with within(RUN):
        with suppress(ValueError), within(FIRST):
            assert current() == FIRST
            raise ValueError("broken")
        assert current() == RUN
    assert current() is None


@pytest.mark.anyio
async def test_tasks_side_by_side_and_threads_of_theirs_each_have_their_own() -> None:
    seen: dict[str, set[Correlation | None]] = {"T1": set(), "T2": set()}

    async def work(belongs: Correlation) -> None:
        with within(belongs):
            seen[belongs.task].add(current())
            await anyio.lowlevel.checkpoint()
            seen[belongs.task].add(current())
            seen[belongs.task].add(await anyio.to_thread.run_sync(current))
            thread = threading.Thread(target=copy_context().run, args=(lambda: seen[belongs.task].add(current()),))
            thread.start()
            await anyio.to_thread.run_sync(thread.join)

    with within(RUN):
        async with anyio.create_task_group() as group:
            group.start_soon(work, FIRST)
            group.start_soon(work, SECOND)
        assert current() == RUN
    assert seen == {"T1": {FIRST}, "T2": {SECOND}}


@pytest.mark.anyio
async def test_verify_commands_of_two_attempts_at_a_time_join_the_trace_each_below_its_own(tmp_path: Path) -> None:
    executor = LocalExecutor({}, SystemClock())
    receipts = []

    async def check(belongs: Correlation) -> None:
        place = tmp_path / belongs.task
        place.mkdir()
        with within(belongs):
            folder = tmp_path / f"files-{belongs.task}"
            spec = CheckSpec(id=f"{belongs.id}:verify:1", command=TELL, tree="t", workdir=place, folder=folder)
            receipts.append(await executor.check(spec))

    async with anyio.create_task_group() as group:
        group.start_soon(check, FIRST)
        group.start_soon(check, SECOND)

    assert [receipt.exit_code for receipt in receipts] == [0, 0]
    assert len({receipt.environment for receipt in receipts}) == 1, "an id is no part of what was checked"
    for belongs in (FIRST, SECOND):
        assert (tmp_path / belongs.task / "told").read_text().split() == list(belongs.environment().values())


@pytest.mark.anyio
async def test_an_attempt_that_is_no_task_of_a_run_is_in_the_trace_of_the_run_that_it_works_for(tmp_path: Path) -> None:
    spec = attempt(tmp_path, command=TELL, task="security", run="review", id="review:security:1")

    with within(RUN):
        await LocalExecutor({"command": CommandAgent()}, SystemClock()).run(spec, lambda _: None)

    parent, attributes = (spec.workdir / "told").read_text().split()
    assert parent.split("-")[1] == RUN.trace
    assert attributes == "muster.run=01r,muster.task=security,muster.attempt=1"


@pytest.mark.anyio
async def test_an_entry_is_stamped_with_what_it_names_or_else_with_what_was_worked_for_when_it_was_told() -> None:
    store, clock = MemoryStore(), SystemClock()
    journal = Journal(store, clock, initial(RUN.run), await store.acquire(RUN.run, ALICE, clock.now(), TTL_S))

    await journal.append([ev.ExportFailed(exporter="otlp", reason="of the run")])
    with within(FIRST):
        journal.mention(ev.ExportFailed(exporter="otlp", reason="of the attempt"))
        journal.mention(ev.AgentSaid(task="T2", attempt=1, text="of another"))
    await journal.append()

    entries = await store.read(RUN.run)
    assert [(entry.span, entry.parent) for entry in entries] == [(one.span, one.parent) for one in (RUN, FIRST, SECOND)]
    assert {entry.trace for entry in entries} == {RUN.trace}
