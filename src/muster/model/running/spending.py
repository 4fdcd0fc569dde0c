"""Spending: what the money of a run asks for next: settling, warning, stopping, asking for more."""

from __future__ import annotations

from datetime import datetime

from muster.model.gates import Boundary
from muster.model.journal import events as ev
from muster.model.limits import Limit, parse_budget, worded
from muster.model.running import steps as do
from muster.model.running.budget import WARN_AT, Elsewhere, committed, overdrawn, settlement, spent
from muster.model.running.lifecycle import run_state
from muster.model.running.milestones import ask
from muster.model.running.starting import Starts
from muster.model.running.state import Gate, RunState, TaskState


def accounts(state: RunState, now: datetime, elsewhere: Elsewhere) -> tuple[ev.Event, ...]:
    """What has to be written down about money before anything else is decided."""
    settled: list[ev.Event] = []
    for hold in state.ledger.holds.values():
        entry = state.tasks[hold.task]
        started = entry.attempts[hold.attempt - 1 : hold.attempt]
        if entry.status.closed or (started and started[0].outcome is not None):
            settled.append(settlement(hold, started[0] if started else None))
    if settled:
        return tuple(settled)
    return tuple(
        _exceeded(state, limit, "warn", now, elsewhere)
        for limit in state.limits
        if limit not in state.warned
        and spent(state.ledger, limit.scope, now, elsewhere).of(limit.unit) >= WARN_AT * limit.amount
    )


def halt(state: RunState, entry: TaskState, now: datetime, elsewhere: Elsewhere) -> do.Halt | None:
    """The step that ends a running attempt which takes far more than was set aside, from a budget that is used up."""
    hold = state.ledger.holds.get(f"{entry.task.id}:{entry.last.number}")
    if hold is None:
        return None
    limit = overdrawn(state.limits, state.ledger, hold, now, elsewhere)
    if limit is None:
        return None
    why = f"stopped with {worded(limit.unit, hold.used.of(limit.unit))} used: {limit.words} is used up"
    return do.Halt(task=entry.task.id, attempt=entry.last.number, why=why)


def ask_for_more(state: RunState, found: Starts, now: datetime, elsewhere: Elsewhere) -> tuple[do.Step, ...]:
    """What to do about a start that no budget allows: wait for what runs, then for a person.

    No autonomy passes this gate by itself: a cap that is raised unasked is none.
    """
    if found.limit is None or found.refused is None or state.ledger.holds:
        return ()
    limit, wish = found.limit, found.refused
    gate = state.gate_for(Boundary.BUDGET_RAISE, limit.name)
    if gate is None or gate.approved:
        wanted = (wish.cost_usd if limit.unit == "usd" else wish.tokens) or 0
        left = max(0.0, limit.amount - committed(state.ledger, limit.scope, now, elsewhere).of(limit.unit))
        question = (
            f"{wish.task} needs {worded(limit.unit, wanted)} ({wish.basis}) and {limit.words} has "
            f"{worded(limit.unit, left)} left. Raise it by {worded(limit.unit, _once_more(state, limit))}?"
        )
        detail = (
            'Another amount: muster approve --budget "AMOUNT" (the new limit altogether). '
            "Nothing is lost: merged work stays, the other tasks wait."
        )
        asked = ask(state, Boundary.BUDGET_RAISE, limit.name, question, detail)
        return do.write(_exceeded(state, limit, "cap", now, elsewhere), asked)
    if gate.waiting:
        return (do.Ask(gate=gate.id),)
    assert gate.answered is not None
    cancelled = run_state(state, "cancel_requested", source="budget", requested=now, reason="budget")
    return do.write(cancelled)


def raised(state: RunState, gate: Gate, budget: str, by: str) -> ev.BudgetLimitSet:
    """The new limit after a yes at ``gate``: what ``budget`` says, or the first limit's amount once more.

    Raises:
        ValueError: ``budget`` is no budget, in another unit, or not more than the limit is already.
    """
    limit = next(limit for limit in state.limits if limit.name == gate.subject)
    amount = limit.amount + _once_more(state, limit)
    if budget:
        wanted = next((one for one in parse_budget(budget, limit.scope) if one.unit == limit.unit), None)
        if wanted is None or wanted.amount <= limit.amount:
            raise ValueError(f"the new limit must be more than {worded(limit.unit, limit.amount)}")
        amount = wanted.amount
    return ev.BudgetLimitSet(scope=limit.scope, unit=limit.unit, limit=amount, by=by)


def _once_more(state: RunState, limit: Limit) -> float:
    return next((first.amount for first in state.policy.budgets if first.name == limit.name), limit.amount)


def _exceeded(state: RunState, limit: Limit, level: str, now: datetime, elsewhere: Elsewhere) -> ev.BudgetExceeded:
    used = spent(state.ledger, limit.scope, now, elsewhere).of(limit.unit)
    held = committed(state.ledger, limit.scope, now, elsewhere).of(limit.unit) - used
    return ev.BudgetExceeded(
        scope=limit.scope, level=level, unit=limit.unit, limit=limit.amount, spent=used, reserved=max(0.0, held)
    )
