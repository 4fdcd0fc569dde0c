"""Whole runs of random plans, with random outcomes, stops and deaths of their owner.

The simulator checks its invariants after every entry: indexes, slots, needs,
attempts, stages, and that deciding never fails and always comes to an end.
"""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.model.attempts import Cause
from muster.model.gates import Autonomy
from muster.model.journal import events as ev
from muster.model.journal.entries import Entry
from muster.model.plan import Changes, OnFailure, Task
from muster.model.planning.waves import dependents
from muster.model.policy import RetryPolicy, RunPolicy, Schedule
from muster.model.running.evolve import fold
from muster.model.running.state import TaskStatus
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import BASE, World, begin, run_to_end

WORK_FAILS = (Cause.EXIT, Cause.RATE_LIMIT, Cause.TIMEOUT, Cause.AUTH, Cause.ENVIRONMENT)
AUDIT_FAILS = (Cause.AUDIT, Cause.EMPTY_RESULT, Cause.HOOK)
MERGE_FAILS = (Cause.CONFLICT, Cause.BROKE_INTEGRATION)

HARSH = Menu(
    work=WORK_FAILS,
    audit=AUDIT_FAILS,
    merge=MERGE_FAILS,
    verify_fails=True,
    main_blocks=True,
    stops_run=True,
    stops_task=True,
    restarts=5,
    loses_heartbeats=True,
    requeues=3,
    late=True,
)


@st.composite
def plans(draw: st.DrawFn, on_failure: tuple[OnFailure, ...] = tuple(OnFailure), most: int = 15) -> tuple[Task, ...]:
    """Plans without circles whose tasks come in any order; a need may be named twice."""
    tasks = []
    for number in range(draw(st.integers(0, most))):
        earlier = [f"t{i}" for i in range(number)]
        task = Task(
            id=f"t{number}",
            run="x",
            needs=tuple(draw(st.lists(st.sampled_from(earlier), max_size=3))) if earlier else (),
            attempts=draw(st.sampled_from([None, 1, 2, 3])),
            on_failure=draw(st.sampled_from(on_failure)),
            changes=draw(st.sampled_from(Changes)),
            verify=draw(st.sampled_from([(), ("make test",), ("make test", f"check t{number}")])),
        )
        tasks.append(task)
    return tuple(draw(st.permutations(tasks)))


def policies(**fixed: object) -> st.SearchStrategy[RunPolicy]:
    retries = st.builds(
        RetryPolicy, auto_retry=st.booleans(), non_retryable=st.sampled_from([(), ("audit",), ("conflict", "exit")])
    )
    parts: dict[str, st.SearchStrategy[object]] = {
        "autonomy": st.sampled_from(Autonomy),
        "schedule": st.sampled_from(Schedule),
        "max_parallel": st.integers(1, 5),
        "retry": retries,
    }
    return st.builds(RunPolicy, **{**parts, **{name: st.just(value) for name, value in fixed.items()}})


def played(
    tasks: tuple[Task, ...], policy: RunPolicy, menu: Menu, seed: int, *, target: str = "refs/heads/main"
) -> World:
    return run_to_end(begin(tasks, policy, menu, target=target), Random(seed).randrange)


seeds = st.integers(0, 2**32)


@settings(deadline=None)
@given(plans(), policies(), seeds)
def test_whatever_happens_a_run_ends_or_waits_for_a_person(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    end = played(tasks, policy, HARSH, seed)

    assert end.state.ended or end.state.main_blocked
    if end.state.state == "complete" or not end.state.ended:
        assert all(entry.status.closed for entry in end.state.tasks.values())
    if end.state.state in ("cancelled", "error"):
        assert end.main == BASE


@settings(deadline=None)
@given(plans(), policies(), seeds)
def test_the_work_of_every_done_task_is_in_the_result(tasks: tuple[Task, ...], policy: RunPolicy, seed: int) -> None:
    end = played(tasks, policy, HARSH, seed)

    seen = end.past.seen
    for name, entry in end.state.tasks.items():
        if entry.status is TaskStatus.DONE:
            assert seen.audited[name] in ("changed", "unchanged")
            assert (name in seen.merged) == (seen.audited[name] == "changed")
            assert end.state.integration.startswith(seen.merged.get(name, BASE))
    if end.state.main_commit:
        assert end.main == f"{BASE}<{end.state.integration}>"


@settings(deadline=None, max_examples=50)
@given(plans(), policies(), seeds)
def test_a_run_without_a_person_waits_at_its_first_question(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    silent = Menu(work=WORK_FAILS, audit=AUDIT_FAILS, merge=MERGE_FAILS, restarts=2, answers=False)

    end = played(tasks, policy, silent, seed)

    asks_at_all = policy.autonomy is not Autonomy.OPEN
    assert end.state.ended or (asks_at_all and end.state.waiting_gates)
    assert end.main == BASE or not asks_at_all


@settings(deadline=None, max_examples=50)
@given(plans(), policies(schedule=Schedule.WAVES), seeds)
def test_a_wave_starts_only_after_the_one_before_was_verified(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    end = played(tasks, policy, HARSH, seed)

    started, verified = 0, 0
    for entry in end.past.entries:
        match entry.event:
            case ev.TaskQueued(wave=wave):
                assert started == verified, "a wave whose tasks were all stopped before is left out"
                started = wave
            case ev.WaveFinished(wave=wave, ok=True):
                verified = wave
            case _:
                pass


@settings(deadline=None)
@given(plans(on_failure=(OnFailure.STOP,)), policies(), seeds)
def test_a_task_given_up_with_stop_ends_the_run_and_main_stays(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    end = played(tasks, policy, Menu(work=(Cause.AUTH,), audit=AUDIT_FAILS, stops_task=True, grants=0), seed)

    given_up = [e.task.id for e in end.state.tasks.values() if e.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)]
    assert (end.state.state == "error") == bool(given_up)
    if given_up:
        assert end.state.reason.startswith(tuple(given_up))
        assert end.main == BASE


@settings(deadline=None)
@given(plans(on_failure=(OnFailure.SKIP_DEPENDENTS,)), policies(autonomy=Autonomy.OPEN), seeds)
def test_skip_dependents_skips_exactly_those_that_need_the_task_directly_or_not(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    end = played(tasks, policy, Menu(work=(Cause.AUTH,), audit=AUDIT_FAILS, restarts=3, stops_task=True), seed)

    status = {name: entry.status for name, entry in end.state.tasks.items()}
    needed_by, doomed = dependents(tasks), set[str]()
    front = [name for name in status if status[name] in (TaskStatus.FAILED, TaskStatus.CANCELLED)]
    while front:
        fresh = set(needed_by[front.pop()]) - doomed
        doomed |= fresh
        front.extend(fresh)
    # One that a person stopped while its need still ran is cancelled and not skipped.
    stopped = {name for name in status if status[name] is TaskStatus.CANCELLED}
    assert {name for name in status if status[name] is TaskStatus.SKIPPED} == doomed - stopped
    assert end.state.state == "complete"


@settings(deadline=None)
@given(plans(on_failure=(OnFailure.CONTINUE,)), policies(autonomy=Autonomy.OPEN), seeds)
def test_continue_lets_everything_else_run(tasks: tuple[Task, ...], policy: RunPolicy, seed: int) -> None:
    end = played(tasks, policy, Menu(work=(Cause.AUTH,), audit=AUDIT_FAILS, merge=MERGE_FAILS, restarts=3), seed)

    assert {entry.status for entry in end.state.tasks.values()} <= {TaskStatus.DONE, TaskStatus.FAILED}
    assert all(entry.attempts for entry in end.state.tasks.values())
    assert end.state.state == "complete"


@settings(deadline=None, max_examples=50)
@given(plans(), policies(autonomy=Autonomy.OPEN), seeds)
def test_a_plan_in_which_nothing_goes_wrong_is_done_completely(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    end = played(tasks, policy, Menu(restarts=8, late=True), seed)

    assert end.state.state == "complete"
    assert end.state.count(TaskStatus.DONE) == len(tasks)
    assert end.state.main_commit == (end.main if end.state.changed else "")


@settings(deadline=None, max_examples=30)
@given(plans(most=6), policies(), seeds)
def test_folding_in_two_halves_equals_folding_at_once(tasks: tuple[Task, ...], policy: RunPolicy, seed: int) -> None:
    end = played(tasks, policy, HARSH, seed)
    entries = end.past.entries

    assert fold("r", entries) == end.state
    for cut in range(len(entries)):
        assert fold("r", entries[cut:], fold("r", entries[:cut])) == end.state


@settings(deadline=None, max_examples=30)
@given(plans(most=6), policies(), seeds)
def test_a_journal_that_was_written_and_read_again_folds_to_the_same(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    end = played(tasks, policy, HARSH, seed)

    read = msgspec.json.decode(msgspec.json.encode(end.past.entries), type=tuple[Entry, ...])

    assert fold("r", read) == end.state


@pytest.mark.parametrize("schedule", Schedule)
def test_a_plan_without_tasks_completes_and_leaves_main_alone(schedule: Schedule) -> None:
    end = played((), RunPolicy(schedule=schedule), HARSH, 0)

    assert end.state.state in ("complete", "cancelled")
    assert end.main == BASE


@settings(deadline=None, max_examples=30)
@given(plans(), policies(), seeds)
def test_on_a_detached_head_no_branch_moves(tasks: tuple[Task, ...], policy: RunPolicy, seed: int) -> None:
    end = played(tasks, policy, HARSH, seed, target="")

    assert end.state.ended
    assert end.main == BASE
