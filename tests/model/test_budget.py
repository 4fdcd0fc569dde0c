"""Budgets: nothing starts that does not fit, whatever is used, crashes or is raised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.model.attempts import Attempt, Cause, Ending, Failure, Outcome, Usage
from muster.model.gates import Answer, Autonomy, Boundary
from muster.model.journal import events as ev
from muster.model.limits import Amount, parse_budget
from muster.model.plan import Money, OnFailure, Task
from muster.model.policy import RunPolicy, Schedule
from muster.model.running.budget import Hold, Ledger, book, committed, reservation, settlement
from muster.model.running.state import replace
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import World, after, begin, moves, play, run_to_end

E = TypeVar("E")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIVE = parse_budget("5 usd")


def work(count: int, **manifest: object) -> tuple[Task, ...]:
    return tuple(
        Task(id=f"t{n}", agent="claude", on_failure=OnFailure.CONTINUE, **manifest)  # type: ignore[arg-type]
        for n in range(count)
    )


@st.composite
def priced_plans(draw: st.DrawFn) -> tuple[Task, ...]:
    costs = st.none() | st.sampled_from([0.3, 1.0, 2.5, 9.0]).map(lambda usd: Money(usd=usd))
    return tuple(
        Task(
            id=f"t{n}",
            agent="claude",
            run=draw(st.sampled_from(["", "", "", "make"])),
            max_cost=draw(costs),
            attempts=draw(st.sampled_from([1, 2, 3])),
            on_failure=draw(st.sampled_from(OnFailure)),
            needs=tuple(draw(st.lists(st.sampled_from([f"t{i}" for i in range(n)]), max_size=2))) if n else (),
        )
        for n in range(draw(st.integers(1, 8)))
    )


@settings(deadline=None, max_examples=150)
@given(
    priced_plans(),
    st.integers(1, 4),
    st.sampled_from(Schedule),
    st.sampled_from(["5 usd", "1 usd", "0.5 usd", "20 usd"]),
    st.integers(0, 2**32),
)
def test_the_cap_is_overrun_by_one_reservation_per_slot_at_most_whatever_happens(
    tasks: tuple[Task, ...], slots: int, schedule: Schedule, budget: str, seed: int
) -> None:
    harsh = Menu(
        work=(Cause.EXIT, Cause.RATE_LIMIT), uses=(None, 0.0, 0.4, 1.0, 2.0), restarts=4, stops_task=True, late=True
    )
    policy = RunPolicy(max_parallel=slots, schedule=schedule, budgets=parse_budget(budget))

    end = run_to_end(begin(tasks, policy, harsh), Random(seed).randrange)

    # What must hold of money is checked after every entry, see `check_money`.
    assert end.state.ended or end.state.main_blocked
    assert not end.state.ledger.holds, "everything is settled in the end"


def test_what_does_not_fit_waits_for_what_runs_and_then_for_a_person() -> None:
    world = begin(work(3, max_cost=Money(usd=2.0)), RunPolicy(budgets=FIVE), Menu(uses=(1.0,)))

    assert started(world) == ["t0", "t1"]
    assert not world.state.waiting_gates
    world = after(world, *done("t0"), *done("t1"))
    (gate,) = world.state.waiting_gates
    assert gate.boundary is Boundary.BUDGET_RAISE
    assert gate.asked is not None
    assert "t2 needs 2 usd (cap) and the run's budget of 5 usd has 1 usd left" in gate.asked.question
    assert not list(world.flights)

    world = after(world, f"approve {gate.id}")

    assert started(world) == ["t0", "t1", "t2"]
    assert [limit.amount for limit in world.state.limits] == [10.0]


@pytest.mark.parametrize("autonomy", Autonomy)
def test_no_autonomy_raises_a_budget_by_itself(autonomy: Autonomy) -> None:
    policy = RunPolicy(budgets=parse_budget("1 usd"), autonomy=autonomy)
    world = begin(work(1, max_cost=Money(usd=2.0)), policy)

    while world.state.waiting_gates and world.state.waiting_gates[0].boundary is not Boundary.BUDGET_RAISE:
        world = after(world, f"approve {world.state.waiting_gates[0].id}")

    assert [gate.boundary for gate in world.state.waiting_gates] == [Boundary.BUDGET_RAISE]
    assert started(world) == []


def test_a_budget_that_is_not_raised_ends_the_run_with_what_was_merged() -> None:
    world = begin(work(2, max_cost=Money(usd=3.0)), RunPolicy(budgets=FIVE), Menu(uses=(1.0,)))
    world = after(world, *done("t0"))
    (gate,) = world.state.waiting_gates

    world = after(world, f"deny {gate.id}")

    assert (world.state.state, world.state.reason) == ("cancelled", "budget")
    assert [entry.status.value for entry in world.state.tasks.values()] == ["done", "skipped"]
    assert world.state.changed


def test_at_four_fifths_the_run_warns_once_and_again_after_a_raise() -> None:
    world = begin(work(4, max_cost=Money(usd=1.0)), RunPolicy(max_parallel=1, budgets=FIVE), Menu(uses=(1.0,)))

    for name in ("t0", "t1", "t2"):
        world = after(world, *done(name))
    assert not of(world, ev.BudgetExceeded)
    world = after(world, *done("t3"))

    (warning,) = of(world, ev.BudgetExceeded)
    assert (warning.level, warning.limit, warning.spent) == ("warn", 5.0, 4.0)


def test_an_attempt_that_takes_more_than_twice_its_share_of_a_used_up_budget_is_stopped_and_asked_about() -> None:
    world = begin(work(1, max_cost=Money(usd=3.0)), RunPolicy(budgets=FIVE), Menu(uses=(1.5, 2.5)))

    world = after(world, "t0 tells 4.5")
    assert [type(step).__name__ for step in world.steps] == ["Work"]
    world = after(world, "t0 tells 7.5")
    assert [type(step).__name__ for step in world.steps] == ["Halt"]
    world = after(world, "t0 ends interrupted")

    assert [settled.cost_usd for settled in of(world, ev.BudgetSettled)] == [7.5]
    assert [gate.boundary for gate in world.state.waiting_gates] == [Boundary.BUDGET_RAISE]
    assert world.state.tasks["t0"].used_attempts == 0


def test_what_a_crashed_attempt_is_known_to_have_used_stays_used() -> None:
    hold = Hold(task="t", attempt=1, reserved=Amount(usd=1.0, tokens=100), used_tokens=60, used_usd=0.7)

    settled = settlement(hold, ended(Ending.INTERRUPTED))

    assert (settled.cost_usd, settled.tokens) == (0.7, 60)


@pytest.mark.parametrize(
    ("ending", "usage", "charge"),
    [
        (Ending.OK, Usage(output=50), Amount(usd=1.0, tokens=50)),  # no price: as it was set aside, never as nothing
        (Ending.OK, Usage(), Amount(usd=1.0, tokens=100)),
        (Ending.INTERRUPTED, Usage(), Amount(usd=1.0, tokens=100)),
        (Ending.ERROR, Usage(), Amount()),  # it says itself that it did nothing
        (Ending.OK, Usage(input=10, cache_read=900, output=50, cost_usd=0.2), Amount(usd=0.2, tokens=60)),
    ],
)
def test_what_is_not_known_counts_as_it_was_set_aside(ending: Ending, usage: Usage, charge: Amount) -> None:
    reserved = ev.BudgetReserved(task="t", attempt=1, cost_usd=1.0, tokens=100)
    ledger = book(Ledger(), reserved, NOW)

    ledger = book(ledger, settlement(ledger.holds["t:1"], ended(ending, usage)), NOW)

    assert ledger.spent() == ledger.committed() == charge


def test_a_day_counts_what_was_settled_on_it_and_all_that_is_set_aside() -> None:
    ledger = Ledger()
    for number, at in enumerate((NOW - timedelta(days=1), NOW), start=1):
        ledger = book(ledger, ev.BudgetReserved(task="t", attempt=number, cost_usd=1.0), at)
        ledger = book(ledger, ev.BudgetSettled(task="t", attempt=number, cost_usd=2.0), at)
    ledger = book(ledger, ev.BudgetReserved(task="t", attempt=3, cost_usd=0.5), NOW)

    from muster.model.running.budget import Elsewhere

    elsewhere = Elsewhere(day=Amount(usd=10.0), project=Amount(usd=100.0))
    assert [committed(ledger, scope, NOW, elsewhere).usd for scope in ("run", "day", "project")] == [4.5, 12.5, 104.5]


@given(st.floats(0.01, 1e6), st.integers(1, 256))
def test_a_default_reservation_lets_every_slot_start(usd: float, slots: int) -> None:
    limits = parse_budget(f"{usd:.2f} usd")
    ledger = Ledger()

    for slot in range(slots):
        wish = reservation(f"t{slot}", 1, limits, cap_usd=None, usual=None, slots=slots)
        ledger = book(ledger, wish, NOW)

    assert ledger.committed().usd <= limits[0].amount * (1 + 1e-9)


def test_a_task_whose_provider_is_shut_waits_without_using_up_its_attempts_and_so_does_its_neighbour() -> None:
    tasks = (*work(2), Task(id="cmd", run="make"))
    world = begin(tasks, RunPolicy(max_parallel=1), Menu())
    failure = Failure(cause=Cause.RATE_LIMIT, message="5-hour limit", retry_after_s=18_000.0)
    (limited,) = [m for m in moves(world) if m.name == "t0 ends ok"]
    assert limited.result is not None
    shut = ev.AttemptEnded(task="t0", attempt=1, outcome=Outcome(ending=Ending.ERROR, failure=failure))

    world = play(world, replace(limited, result=replace(limited.result, facts=(shut,))))

    assert started(world) == ["t0", "cmd"]
    entry = world.state.tasks["t0"]
    assert (entry.used_attempts, entry.retry_at) == (0, world.now + timedelta(hours=5))
    world = after(world, "cmd ends ok", "cmd audited changed", "cmd merges", "cmd finishes")
    assert started(world) == ["t0", "cmd"]
    world = after(world, "wake")
    assert world.now == NOW.replace(month=1, day=1, hour=0) + timedelta(hours=5)
    assert started(world) == ["t0", "cmd", "t0"]


def test_an_answer_may_name_the_new_limit_and_not_less_than_the_old_one() -> None:
    from muster.model.running.messages import answered

    world = begin(work(1, max_cost=Money(usd=9.0)), RunPolicy(budgets=FIVE))
    (gate,) = world.state.waiting_gates

    _, new = answered(world.state, gate, Answer.APPROVE, "uma", budget="12 usd")

    assert new == ev.BudgetLimitSet(scope="run", unit="usd", limit=12.0, by="uma")
    for wrong in ("4 usd", "200k tokens", "lots"):
        with pytest.raises(ValueError, match="usd"):
            answered(world.state, gate, Answer.APPROVE, "uma", budget=wrong)


def ended(ending: Ending, usage: Usage | None = None) -> Attempt:
    return Attempt(number=1, base="", started_at=NOW, outcome=Outcome(ending=ending, usage=usage or Usage()))


def done(name: str) -> tuple[str, ...]:
    return (f"{name} ends ok having used 1.0", f"{name} audited changed", f"{name} merges", f"{name} finishes")


def started(world: World) -> list[str]:
    return [event.task for event in of(world, ev.AttemptStarted)]


def of(world: World, kind: type[E]) -> list[E]:
    return [entry.event for entry in world.past.entries if isinstance(entry.event, kind)]
