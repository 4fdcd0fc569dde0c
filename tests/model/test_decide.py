"""What a run does next: the main paths, one sentence each."""

from __future__ import annotations

from datetime import timedelta

import pytest

from muster.model.attempts import Cause, Ending, Failure, Outcome
from muster.model.gates import Autonomy, Stage
from muster.model.journal import events as ev
from muster.model.plan import Changes, OnFailure, Task
from muster.model.policy import RetryPolicy, RunPolicy, Schedule
from muster.model.running import steps as do
from muster.model.running.decide import MAX_DELAY_MS, decide
from muster.model.running.state import TaskStatus, initial, replace
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import BASE, START, World, after, begin, settle, write

ALL = Menu(
    work=(Cause.EXIT, Cause.RATE_LIMIT, Cause.AUTH),
    audit=(Cause.AUDIT,),
    merge=(Cause.CONFLICT,),
    verify_fails=True,
    main_blocks=True,
    stops_run=True,
    stops_task=True,
    grants=9,
)
OPEN = RunPolicy(autonomy=Autonomy.OPEN)


def task(name: str, *needs: str, **manifest: object) -> Task:
    return Task(**{"id": name, "run": "x", "needs": needs, **manifest})  # type: ignore[arg-type]


def run_of(
    *tasks: Task, policy: RunPolicy = OPEN, target: str = "refs/heads/main", done: tuple[str, ...] = ()
) -> World:
    return begin(tasks, policy, ALL, target=target, done=done)


def does(name: str) -> tuple[str, ...]:
    """The moves of a task that goes well."""
    return (f"{name} ends ok", f"{name} audited changed", f"{name} merges", f"{name} finishes")


def events_of(run: World, kind: type[ev.Event]) -> list[ev.Event]:
    return [entry.event for entry in run.past.entries if isinstance(entry.event, kind)]


# Starting


def test_nothing_is_decided_before_a_plan_is_accepted() -> None:
    assert decide(initial("r"), START) == ()


def test_a_run_starts_all_tasks_that_need_nothing_from_the_base() -> None:
    run = run_of(task("a"), task("b"), task("c", "a"))

    assert run.steps == (do.Work(task="a", attempt=1), do.Work(task="b", attempt=1))
    assert {run.state.tasks[name].last.base for name in ("a", "b")} == {BASE}
    assert run.state.stage is Stage.EXECUTING


def test_no_more_attempts_run_than_there_are_slots() -> None:
    run = run_of(task("a"), task("b"), task("c"), policy=RunPolicy(autonomy=Autonomy.OPEN, max_parallel=2))
    assert len(run.steps) == 2

    run = after(run, "a ends ok")
    assert do.Work(task="c", attempt=1) not in run.steps, "the audit still holds the slot"

    run = after(run, "a audited changed")
    assert do.Work(task="c", attempt=1) in run.steps


def test_work_is_audited_then_merged_onto_the_integration_head_then_finished() -> None:
    run = run_of(task("a"))

    assert after(run, "a ends ok").steps == (do.Audit(task="a", attempt=1),)
    run = after(run, "a ends ok", "a audited changed")
    assert run.steps == (do.Merge(task="a", attempt=1, onto=BASE),)
    run = after(run, "a merges")
    assert run.steps == (do.Finish(task="a", before=BASE, after=run.state.integration),)


def test_a_task_that_changed_nothing_is_finished_without_a_merge() -> None:
    run = after(run_of(task("a", changes=Changes.NONE)), "a ends ok", "a audited unchanged")

    assert run.steps == (do.Finish(task="a"),)


def test_a_need_that_is_named_twice_or_is_no_task_of_the_plan_holds_nothing_up() -> None:
    run = after(run_of(task("a"), task("b", "a", "a", "elsewhere")), *does("a"))

    assert run.steps == (do.Work(task="b", attempt=1),)


def test_tasks_that_an_earlier_run_finished_are_not_done_again() -> None:
    run = run_of(task("a"), task("b", "a"), task("c", "b"), done=("a",))

    assert run.steps == (do.Work(task="b", attempt=1),)
    assert run.state.tasks["a"].status is TaskStatus.DONE


def test_a_run_whose_tasks_are_all_carried_over_completes() -> None:
    assert run_of(task("a"), task("b", "a"), done=("a", "b")).state.state == "complete"


# Schedules


def test_a_wave_waits_for_all_of_the_one_before_and_starts_from_its_result() -> None:
    run = after(run_of(task("a"), task("b"), task("c", "a")), *does("a"))
    assert run.steps == (do.Work(task="b", attempt=1),)

    run = after(run, *does("b"))
    assert run.steps == (do.Work(task="c", attempt=1),)
    assert run.state.tasks["c"].last.base == run.state.integration == f"{BASE}a.1;b.1;"


def test_an_eager_run_starts_a_task_as_soon_as_its_needs_are_merged() -> None:
    policy = replace(OPEN, schedule=Schedule.EAGER)
    run = after(run_of(task("a"), task("b"), task("c", "a"), policy=policy), *does("a"))

    assert run.steps == (do.Work(task="b", attempt=1), do.Work(task="c", attempt=1))
    assert run.state.tasks["c"].last.base == f"{BASE}a.1;"


def test_an_eager_task_that_had_to_wait_for_a_slot_starts_from_the_newest_head() -> None:
    policy = replace(OPEN, schedule=Schedule.EAGER, max_parallel=1)
    run = after(run_of(task("a"), task("b"), task("c"), policy=policy), "a ends ok", "a audited changed", "a merges")

    run = after(run, "b ends ok", "b audited changed")

    assert run.state.tasks["c"].last.base == f"{BASE}a.1;"


# Merging


def test_merges_go_one_at_a_time_in_the_order_in_which_the_audits_passed() -> None:
    run = run_of(task("a"), task("b"), task("c"))
    run = after(run, "a ends ok", "b ends ok", "c ends ok", "c audited changed", "a audited changed")

    assert do.Merge(task="c", attempt=1, onto=BASE) in run.steps, "a ended first, but its audit passed later"
    run = after(run, "b audited changed", "c merges")
    assert run.steps == (do.Finish(task="c", before=BASE, after=f"{BASE}c.1;"),)
    run = after(run, "c finishes")
    assert run.steps == (do.Merge(task="a", attempt=1, onto=f"{BASE}c.1;"),)
    run = after(run, "a merges", "a finishes")
    assert run.steps == (do.Merge(task="b", attempt=1, onto=f"{BASE}c.1;a.1;"),)


def test_nothing_starts_while_too_many_merges_wait() -> None:
    run = run_of(*(task(name) for name in "abcde"), policy=replace(OPEN, max_parallel=1))
    run = after(run, "a ends ok", "a audited changed", "b ends ok", "b audited changed", "c ends ok")
    run = after(run, "c audited changed")

    assert run.steps == (do.Merge(task="a", attempt=1, onto=BASE),)
    assert do.Work(task="d", attempt=1) in after(run, "a merges").steps


def test_after_a_conflict_the_next_attempt_starts_at_once_from_the_new_head_and_knows_why() -> None:
    run = run_of(task("a"), task("b", attempts=2))
    run = after(run, "a ends ok", "b ends ok", "a audited changed", "b audited changed", "a merges", "a finishes")

    run = after(run, "b merge fails conflict")

    assert run.steps == (do.Work(task="b", attempt=2),)
    entry = run.state.tasks["b"]
    assert entry.last.base == f"{BASE}a.1;"
    assert entry.failure is not None
    assert entry.failure.cause is Cause.CONFLICT
    assert entry.status is TaskStatus.RUNNING


# Retrying


def test_a_failed_attempt_is_tried_again_after_the_recorded_delay() -> None:
    run = after(run_of(task("a", attempts=2)), "a ends exit")

    (retry,) = events_of(run, ev.RetryScheduled)
    assert isinstance(retry, ev.RetryScheduled)
    assert 700 <= retry.delay_ms <= 1300
    assert retry.due == START + timedelta(milliseconds=retry.delay_ms)
    assert decide(run.state, run.now) == (do.WakeAt(at=retry.due),)
    assert after(run, "wake").steps == (do.Work(task="a", attempt=2),)


def test_what_a_provider_asks_for_wins_over_the_formula() -> None:
    run = after(run_of(task("a", attempts=2)), "a ends rate_limit")

    assert decide(run.state, run.now) == (do.WakeAt(at=START + timedelta(seconds=30)),)


@pytest.mark.parametrize("seconds", [1e300, 1e18, -7.0, 0.0])
def test_a_senseless_wait_is_cut_to_something_that_ends(seconds: float) -> None:
    failure = Failure(cause=Cause.RATE_LIMIT, message="429", retry_after_s=seconds)
    ended = ev.AttemptEnded(task="a", attempt=1, outcome=Outcome(ending=Ending.ERROR, failure=failure))

    run = settle(write(run_of(task("a", attempts=2)), [ended]))

    (retry,) = events_of(run, ev.RetryScheduled)
    assert isinstance(retry, ev.RetryScheduled)
    assert 0 <= retry.delay_ms <= MAX_DELAY_MS


def test_a_retry_that_is_due_waits_for_a_slot_and_not_for_the_time() -> None:
    run = run_of(task("a", attempts=2), task("b"), policy=replace(OPEN, max_parallel=1))
    run = after(run, "a ends exit", "wake")

    assert run.steps == (do.Work(task="b", attempt=1),)
    assert decide(run.state, run.now) == (do.Work(task="b", attempt=1),)
    assert do.Work(task="a", attempt=2) in after(run, "b ends ok", "b audited changed").steps


def test_without_consent_a_task_has_one_attempt() -> None:
    assert after(run_of(task("a")), "a ends exit").steps[0] == do.GiveUp(
        task="a", failure=Failure(cause=Cause.EXIT, message="ended with exit"), reason="max-retries"
    )


def test_a_task_can_say_which_of_its_failures_are_tried_again() -> None:
    stubborn = replace(task("a", attempts=2), retryable=("auth",))
    picky = replace(task("a", attempts=2), non_retryable=("exit",))
    lenient = replace(OPEN, retry=RetryPolicy(non_retryable=("auth",)))

    assert after(run_of(stubborn), "a ends auth", "wake").steps == (do.Work(task="a", attempt=2),)
    assert isinstance(after(run_of(picky), "a ends exit").steps[0], do.GiveUp)
    assert isinstance(after(run_of(stubborn, policy=lenient), "a ends auth").steps[0], do.GiveUp)


def test_a_policy_can_consent_for_all_tasks() -> None:
    policy = replace(OPEN, retry=RetryPolicy(auto_retry=True, max_attempts=2))

    assert after(run_of(task("a"), policy=policy), "a ends exit", "wake").steps == (do.Work(task="a", attempt=2),)


def test_a_task_whose_attempts_are_used_up_becomes_a_dead_letter() -> None:
    run = after(run_of(task("a", attempts=2)), "a ends exit", "wake", "a ends exit", "a is given up")

    assert run.state.tasks["a"].status is TaskStatus.FAILED
    letter = run.state.dead["a"].added
    assert (letter.reason, letter.attempts) == ("max-retries", 2)


def test_a_failure_that_no_attempt_can_change_is_given_up_at_once() -> None:
    run = after(run_of(task("a", attempts=3), policy=RunPolicy()), "a ends auth")

    assert isinstance(run.steps[0], do.GiveUp)
    assert run.state.gates == {}


# Asking


def failed_twice() -> World:
    run = run_of(task("a", attempts=2, on_failure=OnFailure.CONTINUE), policy=RunPolicy())
    return after(run, "a ends ok", "a audit fails audit", "a ends ok", "a audit fails audit")


def test_when_the_attempts_of_wrong_work_are_used_up_a_person_is_asked() -> None:
    run = failed_twice()

    steps = decide(run.state, run.now)
    assert steps[0] == do.Ask(gate="r.1")
    assert isinstance(steps[1], do.Park)
    assert steps[1].reason == "a is not done after 2 attempts. Give it one more attempt?"


def test_a_yes_gives_one_more_attempt_and_then_the_person_is_asked_again() -> None:
    run = after(failed_twice(), "approve r.1")
    assert run.steps == (do.Work(task="a", attempt=3),)

    run = after(run, "a ends ok", "a audit fails audit")
    assert [gate.id for gate in run.state.waiting_gates] == ["r.2"]


def test_a_no_makes_it_a_dead_letter() -> None:
    run = after(failed_twice(), "deny r.1", "a is given up")

    assert list(run.state.dead) == ["a"]


def test_a_yes_counts_also_where_the_policy_forbids_to_try_again() -> None:
    policy = RunPolicy(retry=RetryPolicy(non_retryable=("audit",)))
    run = run_of(task("a", attempts=3), policy=policy)

    run = after(run, "a ends ok", "a audit fails audit", "approve r.1")

    assert run.steps == (do.Work(task="a", attempt=2),)


def test_two_tasks_that_fail_at_the_same_moment_have_a_question_each() -> None:
    run = run_of(task("a"), task("b"), policy=RunPolicy())
    run = after(run, "a ends ok", "b ends ok")
    failure = Failure(cause=Cause.AUDIT, message="no")
    facts = [ev.TaskAudited(task=name, attempt=1, ok=False, commit="", tree="", failure=failure) for name in ("a", "b")]

    run = settle(write(run, facts))

    assert {gate.id: gate.subject for gate in run.state.waiting_gates} == {"r.1": "a", "r.2": "b"}
    assert len(after(run, "approve r.2", "approve r.1").steps) == 2


def test_a_closed_run_asks_before_it_starts_and_between_waves() -> None:
    run = run_of(task("a"), task("b", "a"), policy=RunPolicy(autonomy=Autonomy.CLOSED))
    assert [gate.boundary.value for gate in run.state.waiting_gates] == ["plan-ready"]

    run = after(run, "approve r.1", *does("a"))
    assert [gate.boundary.value for gate in run.state.waiting_gates] == ["wave-done"]

    run = after(run, "approve r.2", *does("b"))
    assert [gate.boundary.value for gate in run.state.waiting_gates] == ["main-merge"]


def test_a_plan_that_is_denied_never_starts() -> None:
    run = after(run_of(task("a"), policy=RunPolicy(autonomy=Autonomy.CLOSED)), "deny r.1")

    assert run.state.state == "cancelled"
    assert run.state.reason == "denied at plan-ready by anna"
    assert run.state.tasks["a"].attempts == ()


# Waves that do not verify


def broken_wave(policy: RunPolicy) -> World:
    run = run_of(task("a", verify=("make",)), task("b"), policy=policy)
    run = after(run, *does("a"), *does("b"))
    assert run.steps == (do.VerifyWave(wave=1, commit=run.state.integration),)
    return after(run, "wave 1 fails")


def test_a_lone_task_is_not_verified_a_second_time_on_the_same_tree() -> None:
    run = after(run_of(task("a", verify=("make",))), *does("a"))

    assert run.steps == (do.PrepareMain(integration=run.state.integration),)


def test_a_wave_that_does_not_verify_ends_an_open_run_and_main_stays() -> None:
    run = broken_wave(OPEN)

    assert run.state.state == "error"
    assert run.state.reason == "`make` fails (exit 1) on the integrated work of wave 1"


def test_a_wave_is_checked_again_as_often_as_a_person_says_yes() -> None:
    run = after(broken_wave(RunPolicy()), "approve r.1", "wave 1 fails", "approve r.2")
    assert run.steps == (do.VerifyWave(wave=1, commit=run.state.integration),)

    run = after(run, "wave 1 verifies")
    assert run.state.stage is Stage.MERGE_PENDING


def test_a_wave_that_a_person_does_not_want_checked_again_ends_the_run() -> None:
    assert after(broken_wave(RunPolicy()), "approve r.1", "wave 1 fails", "deny r.2").state.state == "error"
