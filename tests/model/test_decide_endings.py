"""How a run ends: failures, stops, the merge into the user's branch, and owners that die."""

from __future__ import annotations

from datetime import timedelta

import pytest

from muster.model.attempts import Cause, Failure
from muster.model.gates import Autonomy, Stage
from muster.model.journal import events as ev
from muster.model.plan import Changes, OnFailure, Task
from muster.model.policy import RunPolicy
from muster.model.running import steps as do
from muster.model.running.decide import MAX_INTERRUPTIONS, decide
from muster.model.running.messages import Message, respond
from muster.model.running.state import CancelRequest, Station, TaskStatus, replace
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import BASE, START, World, after, begin, moves, play, restarts, settle, write

ALL = Menu(
    work=(Cause.EXIT, Cause.AUTH),
    audit=(Cause.AUDIT,),
    main_blocks=True,
    stops_run=True,
    stops_task=True,
    restarts=MAX_INTERRUPTIONS,
)
# Wrong work, after which a person may allow one more attempt.
ASKED_AFTER = {
    Cause.AUDIT,
    Cause.EMPTY_RESULT,
    Cause.WROTE_WHILE_READ_ONLY,
    Cause.HOOK,
    Cause.CONFLICT,
    Cause.BROKE_INTEGRATION,
}
OPEN = RunPolicy(autonomy=Autonomy.OPEN)


def task(name: str, *needs: str, on_failure: OnFailure = OnFailure.STOP, attempts: int = 1) -> Task:
    return Task(id=name, run="x", needs=needs, on_failure=on_failure, attempts=attempts)


def run_of(*tasks: Task, policy: RunPolicy = OPEN, target: str = "refs/heads/main") -> World:
    return begin(tasks, policy, ALL, target=target)


def does(name: str) -> tuple[str, ...]:
    return (f"{name} ends ok", f"{name} audited changed", f"{name} merges", f"{name} finishes")


def restarted(run: World) -> World:
    """The run after its owner died and another one took over."""
    return next(restarts(replace(run, trail=(run.past,))))


def statuses(run: World) -> dict[str, str]:
    return {name: entry.status.value for name, entry in run.state.tasks.items()}


# Failing


def test_a_failed_task_lets_the_others_finish_what_they_do_and_then_ends_the_run() -> None:
    run = after(run_of(task("a"), task("b"), task("c", "b")), "a ends auth", "a is given up")
    assert run.steps == (do.Work(task="b", attempt=1),)

    run = after(run, *does("b"))

    assert run.state.state == "error"
    assert run.state.reason == "a failed: ended with auth"
    assert statuses(run) == {"a": "failed", "b": "done", "c": "skipped"}
    assert run.main == BASE


def test_a_failed_task_keeps_those_that_wait_for_a_slot_from_starting() -> None:
    run = run_of(task("a"), task("b"), task("c"), policy=replace(OPEN, max_parallel=1))

    run = after(run, "a ends auth", "a is given up", *does("b"))

    assert run.state.state == "error"
    assert run.state.tasks["c"].attempts == ()


def test_a_failing_run_gives_no_second_attempts_and_asks_no_questions() -> None:
    run = run_of(task("a"), task("b", attempts=3), task("c"), policy=RunPolicy())
    run = after(run, "a ends auth", "a is given up", "b ends exit", "c ends ok", "c audit fails audit")
    assert [type(step) for step in run.steps] == [do.GiveUp]
    assert run.state.gates == {}

    assert after(run, "c is given up").state.state == "error"


def test_only_the_tasks_that_need_the_failed_one_are_skipped() -> None:
    run = run_of(task("a", on_failure=OnFailure.SKIP_DEPENDENTS), task("b"), task("c", "a"), task("d", "c"))
    run = after(run, "a ends auth", "a is given up", *does("b"))

    assert statuses(run) == {"a": "failed", "b": "done", "c": "skipped", "d": "skipped"}
    assert run.state.tasks["d"].reason == "needs a, which is not done"
    run = after(run, "main prepared", "main moves")
    assert (run.state.state, run.state.reason) == ("complete", "3 of 4 tasks are not done")


def test_a_skipped_task_never_starts_its_own_dependents_even_if_it_would_let_them_continue() -> None:
    lenient = task("c", "a", on_failure=OnFailure.CONTINUE)
    run = run_of(task("a", on_failure=OnFailure.SKIP_DEPENDENTS), lenient, task("d", "c"))

    assert statuses(after(run, "a ends auth", "a is given up")) == {"a": "failed", "c": "skipped", "d": "skipped"}


def test_what_needs_a_failed_task_that_continues_runs_all_the_same() -> None:
    run = run_of(task("a", on_failure=OnFailure.CONTINUE), task("b", "a"))

    assert after(run, "a ends auth", "a is given up").steps == (do.Work(task="b", attempt=1),)


# Asking for a given-up task again


def asked_again(run: World, name: str = "a") -> ev.Event:
    """What the run answers to somebody who asks for a dead letter's task again."""
    message = Message(id="m", run="r", kind="requeue", sender="anna", at=run.now, data={"task": name})
    return respond(run.state, message)[0]


def test_a_given_up_task_gets_one_more_attempt_on_the_newest_state_and_keeps_its_history() -> None:
    run = run_of(task("a", on_failure=OnFailure.SKIP_DEPENDENTS), task("b"), task("c"), task("d", "a"))
    run = after(run, "a ends exit", "a is given up", *does("b"))

    run = settle(write(run, [asked_again(run)]))

    assert do.Work(task="a", attempt=2) in run.steps
    assert run.state.tasks["a"].last.base == run.integration
    run = after(run, "a ends exit", "a is given up")
    letter = run.state.dead["a"]
    assert (letter.added.attempts, letter.settled) == (2, "")
    assert statuses(run)["d"] == "skipped"


def test_a_stopped_task_that_never_started_waits_for_its_needs_when_it_is_asked_for_again() -> None:
    run = after(run_of(task("a"), task("b", "a", on_failure=OnFailure.CONTINUE)), "stop b")
    assert run.state.dead["b"].added.reason == "manual"

    run = settle(write(run, [asked_again(run, "b")]))
    assert run.steps == (do.Work(task="a", attempt=1),)

    assert after(run, *does("a")).steps == (do.Work(task="b", attempt=1),)


def test_a_given_up_task_cannot_come_back_where_that_would_undo_what_went_on_without_it() -> None:
    lenient = after(run_of(task("a", on_failure=OnFailure.CONTINUE), task("b", "a")), "a ends auth", "a is given up")
    ending = after(run_of(task("a"), task("b")), "a ends auth", "a is given up")
    over = after(
        run_of(task("a", on_failure=OnFailure.SKIP_DEPENDENTS), task("b"), policy=RunPolicy()),
        *("a ends auth", "a is given up", *does("b")),
    )

    for run, why in ((lenient, "gone on without it"), (ending, "about to end"), (over, "a new run can try it")):
        answer = asked_again(run)
        assert isinstance(answer, ev.CommandRefused)
        assert why in answer.reason
    assert isinstance(asked_again(lenient, "b"), ev.CommandRefused)


def test_a_task_cannot_come_back_behind_one_that_is_about_to_be_skipped() -> None:
    tasks = (task("a", on_failure=OnFailure.SKIP_DEPENDENTS), task("b", "a"), task("d"))
    run = after(run_of(*tasks, task("c", "b", on_failure=OnFailure.CONTINUE)), "stop c", "a ends auth")

    failure = Failure(cause=Cause.AUTH, message="401")
    run = write(run, [ev.TaskFailed(task="a", failure=failure)])
    answer = asked_again(run, "c")

    assert isinstance(answer, ev.CommandRefused)
    assert "it needs b, which is not done" in answer.reason


# Stopping one task


def test_a_stopped_task_is_ended_and_counts_as_given_up() -> None:
    run = after(run_of(task("a"), task("b", on_failure=OnFailure.CONTINUE)), "stop b")
    assert do.StopTask(task="b", source="stop-command") in run.steps

    run = after(run, "b stops", *does("a"), "main prepared", "main moves")
    assert statuses(run) == {"a": "done", "b": "cancelled"}
    assert run.state.state == "complete"


@pytest.mark.parametrize("name", ["waiting", "ready"])
def test_a_stopped_task_that_has_not_begun_is_closed_at_once_without_an_attempt(name: str) -> None:
    tasks = (task("a"), task("ready"), task("waiting", "a", on_failure=OnFailure.CONTINUE))
    run = after(run_of(*tasks, policy=replace(OPEN, max_parallel=1)), f"stop {name}")

    assert run.state.tasks[name].status is TaskStatus.CANCELLED
    assert run.state.tasks[name].attempts == ()
    assert run.steps == (do.Work(task="a", attempt=1),)


def test_a_task_stopped_before_the_plan_is_approved_never_starts() -> None:
    tasks = (task("a", on_failure=OnFailure.SKIP_DEPENDENTS), task("b", "a"), task("c"))
    run = after(run_of(*tasks, policy=RunPolicy(autonomy=Autonomy.CLOSED)), "stop a", "approve r.1")

    assert statuses(run) == {"a": "cancelled", "b": "skipped", "c": "running"}


def test_a_stopped_task_is_not_tried_again_although_its_time_has_come() -> None:
    run = after(run_of(task("a", attempts=2)), "a ends exit", "stop a")
    late = replace(run, now=run.now + timedelta(minutes=1))

    assert settle(late).steps == (do.StopTask(task="a", source="stop-command"),)


def test_a_task_that_is_stopped_while_the_integration_ref_moves_is_done() -> None:
    run = after(run_of(task("a")), "a ends ok", "a audited changed", "a merges", "stop a", "a finishes")

    assert statuses(run) == {"a": "done"}


def test_a_question_about_a_stopped_task_is_a_question_no_more() -> None:
    run = run_of(task("a", on_failure=OnFailure.CONTINUE), task("b"), policy=RunPolicy())
    run = after(run, "a ends ok", "a audit fails audit")
    assert len(run.state.waiting_gates) == 1

    assert after(run, "stop a", "a stops").state.waiting_gates == ()


# Stopping the run


def test_a_stopped_run_ends_what_runs_and_starts_nothing_more() -> None:
    run = run_of(task("a"), task("b"), task("c"), policy=replace(OPEN, max_parallel=2))
    run = after(run, "stop")
    assert run.steps == (do.StopTask(task="a", source="stop-command"), do.StopTask(task="b", source="stop-command"))

    run = after(run, "a stops", "b stops")
    assert (run.state.state, run.state.stage) == ("cancelled", Stage.IDLE)
    assert statuses(run) == {"a": "cancelled", "b": "cancelled", "c": "skipped"}


def test_the_time_from_the_request_to_the_end_of_a_stopped_run_is_recorded() -> None:
    run = after(run_of(task("a")), "stop")
    run = after(replace(run, now=run.now + timedelta(milliseconds=250)), "a stops")

    (cancelled,) = [entry.event for entry in run.past.entries if isinstance(entry.event, ev.RunCancelled)]
    assert (cancelled.latency_ms, cancelled.source) == (250, "stop-command")


def test_salvaging_after_the_last_process_is_gone_does_not_count_as_stopping() -> None:
    run = after(run_of(task("a")), "stop")
    (stops,) = [move for move in moves(run) if move.name == "a stops"]
    assert stops.result is not None
    ended, *rest = stops.result.facts
    assert isinstance(ended, ev.AttemptEnded)
    lasted = replace(ended, outcome=replace(ended.outcome, duration_ms=80))
    later = replace(run, now=run.now + timedelta(seconds=3))

    run = play(later, replace(stops, result=replace(stops.result, facts=(lasted, *rest))))

    assert [e.event.latency_ms for e in run.past.entries if isinstance(e.event, ev.RunCancelled)] == [80]


def test_a_task_of_which_a_process_outlived_its_kill_is_named_when_the_run_is_cancelled() -> None:
    run = after(run_of(task("a"), task("b"), policy=replace(OPEN, max_parallel=2)), "stop", "a stops")
    (stops,) = [move for move in moves(run) if move.name == "b stops"]
    assert stops.result is not None
    outlived = ev.ProcessSwept(task="b", attempt=1, pids=(), left=(4711,))

    run = play(run, replace(stops, result=replace(stops.result, facts=(outlived, *stops.result.facts))))

    assert [e.event.partial for e in run.past.entries if isinstance(e.event, ev.RunCancelled)] == [("b",)]


def test_a_merge_that_is_recorded_is_finished_before_the_run_is_cancelled() -> None:
    run = after(run_of(task("a"), task("b")), "a ends ok", "a audited changed", "a merges", "stop", "b stops")
    assert run.steps == (do.Finish(task="a", before=BASE, after=f"{BASE}a.1;"),)

    assert statuses(after(run, "a finishes")) == {"a": "done", "b": "cancelled"}


def at_the_merge(policy: RunPolicy = OPEN, target: str = "refs/heads/main") -> World:
    return after(run_of(task("a"), policy=policy, target=target), *does("a"))


def test_a_stop_before_the_move_of_main_is_announced_leaves_main_alone() -> None:
    run = after(at_the_merge(), "stop")

    assert run.state.state == "cancelled"
    assert run.main == BASE


def test_an_announcement_that_comes_after_the_stop_moves_nothing() -> None:
    run = after(at_the_merge(), "main prepared")
    (announced,) = [entry.event for entry in run.past.entries if isinstance(entry.event, ev.MainMergeStarted)]
    request = ev.RunStateChanged(state="cancel_requested", run_id="r", source="ctrl-c")

    run = settle(write(replace(at_the_merge(), flights=()), [request, announced]))

    assert run.state.state == "cancelled"


def test_a_stop_after_the_move_of_main_was_announced_waits_for_it_and_the_run_is_complete() -> None:
    run = after(at_the_merge(), "main prepared", "stop")
    assert [type(step) for step in run.steps] == [do.MoveMain]

    run = after(run, "main moves")
    assert (run.state.state, run.state.stage) == ("complete", Stage.MAIN_MERGED)


def test_a_stop_while_main_cannot_be_moved_cancels_the_run() -> None:
    run = after(at_the_merge(), "main prepared", "stop", "main blocked")

    assert run.state.state == "cancelled"
    assert run.main == BASE


# Merging into the user's branch


def test_main_moves_as_announced_and_the_run_is_complete() -> None:
    run = after(at_the_merge(), "main prepared")
    commit = f"{BASE}<{run.state.integration}>"
    assert run.steps == (do.MoveMain(target="refs/heads/main", before=BASE, after=commit),)

    run = after(run, "main moves")
    assert (run.state.state, run.state.stage, run.main) == ("complete", Stage.MAIN_MERGED, commit)


def test_a_person_is_asked_before_main_moves_and_a_no_cancels_the_run() -> None:
    run = at_the_merge(RunPolicy())
    assert [gate.asked.question for gate in run.state.waiting_gates if gate.asked] == ["Merge 1 of 1 tasks into main?"]
    assert run.steps == ()

    assert [type(step) for step in after(run, "approve r.1").steps] == [do.PrepareMain]
    run = after(run, "deny r.1")
    assert (run.state.state, run.main) == ("cancelled", BASE)


def test_a_branch_that_cannot_be_moved_parks_the_run_and_the_next_owner_tries_without_asking_again() -> None:
    run = after(at_the_merge(RunPolicy()), "approve r.1", "main blocked")
    assert decide(run.state, run.now) == (do.Park(reason="main was left alone: it has local changes"),)

    run = restarted(run)
    assert [type(step) for step in run.steps] == [do.PrepareMain]
    assert after(run, "main prepared", "main moves").state.state == "complete"


def test_a_run_that_changed_nothing_completes_without_touching_main() -> None:
    run = after(begin([Task(id="a", run="x", changes=Changes.ANY)], RunPolicy()), "a ends ok", "a audited unchanged")

    run = after(run, "a finishes")

    assert (run.state.state, run.state.reason, run.main) == ("complete", "", BASE)
    assert run.state.gates == {}


def test_on_a_detached_head_the_result_stays_where_it_is_and_the_reason_names_it() -> None:
    run = at_the_merge(target="")

    assert (run.state.state, run.main) == ("complete", BASE)
    assert run.state.reason == "HEAD was detached; the result is refs/muster/r/integration"


# Dying


def test_an_attempt_of_a_dead_owner_is_adopted_and_never_started_again() -> None:
    run = restarted(run_of(task("a")))

    assert run.steps == (do.Adopt(task="a", attempt=1),)
    assert after(run, "a ends ok").steps == (do.Audit(task="a", attempt=1),)


def test_an_interrupted_attempt_is_followed_by_the_next_one_and_does_not_count() -> None:
    run = after(restarted(run_of(task("a", attempts=1))), "a ends interrupted")

    assert run.steps == (do.Work(task="a", attempt=2),)
    assert run.state.tasks["a"].used_attempts == 1


def test_the_next_attempt_after_an_interruption_still_knows_what_was_wrong_with_the_work() -> None:
    run = after(run_of(task("a", attempts=2)), "a ends ok", "a audit fails audit")

    run = after(restarted(run), "a ends interrupted")

    failure = run.state.tasks["a"].failure
    assert failure is not None
    assert failure.cause is Cause.AUDIT


def test_a_task_that_is_interrupted_ten_times_is_parked_as_a_crash_loop() -> None:
    run = run_of(task("a"))
    for _ in range(MAX_INTERRUPTIONS - 1):
        run = after(restarted(run), "a ends interrupted")
    assert run.steps == (do.Work(task="a", attempt=MAX_INTERRUPTIONS),)

    run = after(restarted(run), "a ends interrupted")

    assert [step.reason for step in run.steps if isinstance(step, do.GiveUp)] == ["crash-loop"]
    assert after(run, "a is given up").state.state == "error"


def test_a_crash_loop_waits_for_a_person_where_people_are_asked() -> None:
    run = run_of(task("a"), policy=replace(OPEN, autonomy=Autonomy.ADAPTIVE))
    for _ in range(MAX_INTERRUPTIONS):
        run = after(restarted(run), "a ends interrupted")
    (gate,) = run.state.waiting_gates
    assert gate.asked is not None
    assert "interrupted 10 times" in gate.asked.question

    run = after(run, f"approve {gate.id}")

    assert run.steps == (do.Work(task="a", attempt=MAX_INTERRUPTIONS + 1),)


def test_a_retry_keeps_its_time_when_the_owner_dies() -> None:
    run = after(run_of(task("a", attempts=2)), "a ends exit")
    waits = decide(run.state, START)
    assert [type(step) for step in waits] == [do.WakeAt]

    assert decide(restarted(run).state, START) == waits


# Every status, every station


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("station", Station)
def test_every_station_is_known_at_every_stage(station: Station, stage: Stage) -> None:
    asked = after(run_of(task("a"), policy=RunPolicy()), "a ends ok", "a audit fails audit").state
    entry = replace(asked.tasks["a"], station=station)
    merging: dict[str, None] = {"a": None} if station is Station.MERGING else {}
    state = replace(asked, stage=stage, tasks={"a": entry}, merging=merging)
    cancelled = replace(state, cancel=CancelRequest(source="x", requested=START, acknowledged=START))

    for one in (state, cancelled):
        for status in TaskStatus:
            steps = decide(replace(one, tasks={"a": replace(entry, status=status)}), START)
            assert steps
            assert steps == decide(replace(one, tasks={"a": replace(entry, status=status)}), START)


def test_exactly_the_statuses_that_nothing_follows_are_closed() -> None:
    closed = {TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}

    assert {status for status in TaskStatus if status.closed} == closed


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("autonomy", Autonomy)
def test_every_cause_of_a_failure_leads_to_a_retry_a_question_or_the_end_of_the_task(
    cause: Cause, autonomy: Autonomy
) -> None:
    policy = RunPolicy(autonomy=autonomy)
    world = begin([task("a")], policy, Menu(work=(cause,), grants=0))
    if autonomy is Autonomy.CLOSED:
        world = after(world, "approve r.1")

    world = after(world, f"a ends {cause.value}")

    station = world.state.tasks["a"].station
    asks = autonomy is not Autonomy.OPEN and cause in ASKED_AFTER
    expected = Station.ASKING if asks else Station.WORKING if cause is Cause.INTERRUPTED else Station.JUDGING
    assert station is expected
