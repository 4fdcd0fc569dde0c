"""Folding: what one more entry does to a run, and what it cannot do."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.model.attempts import Cause, Ending, Failure, Outcome, Receipt
from muster.model.errors import JournalError
from muster.model.gates import Answer, Autonomy, Stage
from muster.model.journal import events as ev
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.running.decide import decide
from muster.model.running.evolve import evolve, fold
from muster.model.running.state import RunState, Station, TaskStatus, initial, replace
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import BASE, START, World, after, begin, entry_of

NO = Failure(cause=Cause.AUDIT, message="no")
OK = Outcome(ending=Ending.OK)


def run_of(*tasks: str, autonomy: Autonomy = Autonomy.OPEN) -> World:
    menu = Menu(stops_run=True, audit=(Cause.AUDIT,))
    return begin([Task(id=name, run="x") for name in tasks], RunPolicy(autonomy=autonomy), menu)


def told(state: RunState, *events: ev.Event) -> RunState:
    for event in events:
        state = evolve(state, entry_of(state.seq + 1, event, START))
    return state


# What cannot be folded


def test_a_gap_in_the_numbering_is_refused() -> None:
    with pytest.raises(JournalError, match="entry 3 follows entry 0"):
        evolve(initial("r"), entry_of(3, ev.TaskSucceeded(task="a"), START))


def test_an_entry_about_a_task_the_plan_does_not_have_is_refused_with_its_place() -> None:
    with pytest.raises(JournalError, match=r"entry \d+ \(task.succeeded\) names unknown 'ghost'"):
        told(run_of("a").state, ev.TaskSucceeded(task="ghost"))


def test_an_answer_to_a_question_that_was_never_asked_is_refused() -> None:
    with pytest.raises(JournalError, match=r"names unknown 'r\.9'"):
        told(run_of("a").state, ev.GateAnswered(gate="r.9", answer=Answer.APPROVE, by="anna"))


def test_a_move_of_main_that_nothing_allowed_is_refused() -> None:
    with pytest.raises(JournalError, match="although nothing allowed it"):
        told(run_of("a").state, ev.MainMergeStarted(target="refs/heads/main", before=BASE, commit="c"))


@pytest.mark.parametrize("after_stage", [Stage.MAIN_MERGED, Stage.APPROVED, Stage.EXECUTING])
def test_a_stage_that_cannot_be_reached_from_here_is_refused(after_stage: Stage) -> None:
    with pytest.raises(JournalError, match=f"cannot go from executing to {after_stage.value}"):
        told(run_of("a").state, ev.AutonomyTransition(before=Stage.EXECUTING, after=after_stage, by="x"))


def test_a_transition_that_does_not_begin_where_the_run_stands_is_refused() -> None:
    with pytest.raises(JournalError):
        told(run_of("a").state, ev.AutonomyTransition(before=Stage.IDLE, after=Stage.APPROVED, by="x"))


# What changes nothing


def test_events_that_this_release_does_not_know_are_counted_and_change_nothing() -> None:
    before = run_of("a").state

    state = told(before, ev.UnknownEvent(type="moon.landed"), ev.RunStateChanged(state="sleeping", run_id="r"))

    assert state.unknown_entries == 2
    assert decide(state, START) == decide(before, START)


def test_a_closed_task_stays_as_it_is_whatever_comes_later() -> None:
    state = told(run_of("a", "b").state, ev.TaskFailed(task="a", failure=NO))

    late = told(
        state,
        ev.AttemptStarted(task="a", attempt=2, base=BASE),
        ev.TaskSucceeded(task="a"),
        ev.TaskSkipped(task="a", reason="x"),
        ev.TaskQueued(wave=1, tasks=("a",)),
    )

    assert late.tasks["a"] == state.tasks["a"]
    assert (late.open_tasks, late.ready, late.busy) == (state.open_tasks, state.ready, state.busy)


def test_a_run_that_has_ended_stays_ended() -> None:
    state = told(run_of("a").state, ev.RunStateChanged(state="error", run_id="r", reason="first"))

    for word in ("start", "cancel_requested", "complete", "cancelled"):
        assert told(state, ev.RunStateChanged(state=word, run_id="r", reason="later")).state == "error"


def test_facts_that_come_too_late_change_nothing() -> None:
    state = after(run_of("a"), "a ends ok").state

    late = told(
        state,
        ev.AttemptEnded(task="a", attempt=1, outcome=OK),
        ev.AttemptEnded(task="a", attempt=7, outcome=OK),
        ev.TaskAudited(task="a", attempt=2, ok=True, commit="c", tree="t"),
        ev.TaskMerged(task="a", attempt=1, commit="c", tree="t", onto=BASE),
        ev.TaskMergeFailed(task="a", attempt=1, onto=BASE, failure=NO),
    )

    assert replace(late, seq=state.seq) == state


def test_a_merge_onto_a_head_that_is_not_the_newest_is_no_merge() -> None:
    run = after(run_of("a", "b"), "a ends ok", "b ends ok", "a audited changed", "b audited changed", "a merges")

    state = told(run.state, ev.TaskMerged(task="b", attempt=1, commit="lost", tree="lost", onto=BASE))

    assert state.integration == f"{BASE}a.1;"
    assert state.tasks["b"].station is Station.MERGING


def test_the_second_answer_to_a_question_does_not_count() -> None:
    run = run_of("a", autonomy=Autonomy.CLOSED)
    answers = [ev.GateAnswered(gate="r.1", answer=answer, by="anna") for answer in (Answer.DENY, Answer.APPROVE)]

    assert not told(run.state, *answers).gates["r.1"].approved


def test_what_people_only_read_changes_nothing() -> None:
    state = run_of("a").state
    chatter = (
        ev.AgentSaid(task="a", attempt=1, text="hello"),
        ev.AgentUsed(task="a", attempt=1, input=7),
        ev.ToolCalled(task="a", attempt=1, tool="bash"),
        ev.WorkSalvaged(task="a", attempt=1, ref="refs/x"),
        ev.ProcessSwept(task="a", attempt=1, pids=(7,)),
        ev.CommandRefused(message="m", kind="stop", reason="no"),
        ev.ConfigResolved(),
    )

    assert replace(told(state, *chatter), seq=state.seq) == state


# What changes something


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        (Ending.TIMEOUT, Cause.TIMEOUT),
        (Ending.STALLED, Cause.STALLED),
        (Ending.INCOMPLETE, Cause.INCOMPLETE),
        (Ending.CANCELLED, Cause.CANCELLED),
        (Ending.INTERRUPTED, Cause.INTERRUPTED),
        (Ending.ERROR, Cause.CRASH),
    ],
)
def test_an_attempt_that_ended_badly_without_a_reason_gets_one_from_how_it_ended(ending: Ending, cause: Cause) -> None:
    state = told(run_of("a").state, ev.AttemptEnded(task="a", attempt=1, outcome=Outcome(ending=ending)))

    failure = state.tasks["a"].last.failure
    assert failure is not None
    assert failure.cause is cause
    assert state.tasks["a"].station is Station.JUDGING


def test_every_ending_is_known() -> None:
    for ending in Ending:
        state = told(run_of("a").state, ev.AttemptEnded(task="a", attempt=1, outcome=Outcome(ending=ending)))
        assert (state.tasks["a"].last.failure is None) == (ending is Ending.OK)


def test_a_task_stays_running_between_its_attempts() -> None:
    state = after(run_of("a", autonomy=Autonomy.ADAPTIVE), "a ends ok", "a audit fails audit").state

    assert state.tasks["a"].station is Station.ASKING
    assert state.tasks["a"].status is TaskStatus.RUNNING


def test_a_yes_from_somebody_without_a_name_allows_the_merge_too() -> None:
    run = after(run_of("a", autonomy=Autonomy.ADAPTIVE), "a ends ok", "a audited changed", "a merges", "a finishes")

    state = told(
        run.state,
        ev.GateAnswered(gate="r.1", answer=Answer.APPROVE, by=""),
        ev.MainMergeStarted(target="refs/heads/main", before=BASE, commit="c"),
    )

    assert state.main_started is not None


def test_the_first_stop_of_a_run_is_the_one_that_counts() -> None:
    first, second = (ev.RunStateChanged(state="cancel_requested", run_id="r", source=who) for who in ("anna", "ben"))

    state = told(run_of("a").state, first, second)

    assert state.cancel is not None
    assert state.cancel.source == "anna"


def test_a_new_owner_forgets_that_the_run_was_released_and_why_main_was_blocked() -> None:
    blocked = ev.MainMergeBlocked(target="refs/heads/main", reason="dirty", hint="git stash")
    state = told(run_of("a").state, blocked, ev.RunReleased(reason="waits"))
    assert (state.released, state.main_blocked, state.main_hint) == ("waits", "dirty", "git stash")

    state = told(state, ev.RunResumed(from_seq=state.seq))

    assert (state.released, state.main_blocked, state.main_hint, state.epoch) == ("", "", "", 1)


def test_a_run_remembers_that_its_merge_was_undone() -> None:
    assert told(run_of("a").state, ev.MainUndone(target="refs/heads/main", before="c", after=BASE)).undone


def test_a_failed_wave_keeps_what_failed_until_the_next_wave() -> None:
    broken = Receipt(command="make", exit_code=2, tree="t", environment="")
    state = told(run_of("a").state, ev.WaveFinished(wave=1, ok=False, tree="t", receipts=(broken,)))
    assert (state.wave_failure, state.wave_failures, state.wave_verified) == ((broken,), 1, False)

    state = told(state, ev.TaskQueued(wave=2, tasks=()))
    assert (state.wave_failure, state.wave_failures, state.wave_verified) == ((), 0, False)


def test_fold_goes_on_from_where_a_state_was_kept() -> None:
    entries = after(run_of("a"), "a ends ok", "a audited changed").past.entries

    assert fold("r", entries[4:], fold("r", entries[:4])) == fold("r", entries)


# Every event, whenever it comes

NAMES = st.sampled_from(["a", "b", "ghost"])
PLACES: tuple[tuple[str, ...], ...] = (
    (),
    ("a ends ok",),
    ("a ends ok", "a audited changed"),
    ("a ends ok", "a audited changed", "a merges"),
    ("a ends ok", "a audit fails audit"),
    ("a ends ok", "a audited changed", "a merges", "a finishes"),
    ("stop",),
)


def any_event() -> st.SearchStrategy[ev.Event]:
    """Any known event with plausible contents; one that names a task often names one that exists."""
    fixed = {
        "task": NAMES,
        "attempt": st.integers(0, 2),
        "gate": st.sampled_from(["r.1", "r.2"]),
        "onto": st.sampled_from([BASE, "elsewhere"]),
        "state": st.sampled_from(["start", "cancel_requested", "complete", "error", "?"]),
        "tasks": st.lists(NAMES, max_size=2).map(tuple),
        "wave": st.integers(1, 2),
        **dict.fromkeys(("due", "requested", "acknowledged"), st.just(START)),
    }
    kinds = [kind for kind in get_args(ev.KnownEvent) if kind not in (ev.PlanAccepted, ev.TaskPlanned)]
    return st.one_of(
        *(st.builds(kind, **{name: fixed[name] for name in kind.__struct_fields__ if name in fixed}) for kind in kinds)
    )


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(PLACES), st.sampled_from(Autonomy), st.lists(any_event(), max_size=6))
def test_any_event_at_any_time_is_folded_or_refused_and_deciding_goes_on(
    place: tuple[str, ...], autonomy: Autonomy, events: list[ev.Event]
) -> None:
    world = run_of("a", "b", autonomy=autonomy)
    state = (after(world, "approve r.1", *place) if autonomy is Autonomy.CLOSED else after(world, *place)).state

    for event in events:
        try:
            state = told(state, event)
        except JournalError:
            continue
        decide(state, START)
