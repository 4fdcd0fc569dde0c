"""How a run leaves a stage, and how it ends."""

from __future__ import annotations

from datetime import datetime, timedelta

from muster.model import events as ev
from muster.model.attempts import Ending
from muster.model.gates import Stage
from muster.model.lifecycle import run_state
from muster.model.state import RunState, TaskStatus


def moved(state: RunState, after: Stage, *, by: str, why: str) -> ev.AutonomyTransition:
    """The run goes from its stage to another."""
    return ev.AutonomyTransition(before=state.stage, after=after, by=by, why=why)


def complete(state: RunState, now: datetime, reason: str = "") -> ev.RunStateChanged:
    """The end of a run that did what it could; says what is not done."""
    failed = state.count(TaskStatus.FAILED) + state.count(TaskStatus.SKIPPED) + state.count(TaskStatus.CANCELLED)
    open_ends = f"{failed} of {len(state.tasks)} tasks are not done" if failed else ""
    return ended(state, "complete", now, "; ".join(part for part in (open_ends, reason) if part))


def over(state: RunState, outcome: str, now: datetime, why: str) -> tuple[ev.Event, ...]:
    """The end of a run that leaves tasks undone: they are closed with it, as nothing will ever start them."""
    left = (name for name, entry in state.tasks.items() if not entry.status.closed)
    reason = f"the run was cancelled: {why}" if outcome == "cancelled" else f"the run failed: {why}"
    return (*(ev.TaskSkipped(task=name, reason=reason) for name in left), ended(state, outcome, now, why))


def ended(state: RunState, outcome: str, now: datetime, reason: str = "") -> ev.RunStateChanged:
    """A terminal state and how long the run took."""
    duration = (now - state.started_at) if state.started_at is not None else timedelta()
    milliseconds = max(0, duration // timedelta(milliseconds=1))
    return run_state(state, outcome, duration_ms=milliseconds, reason=reason)


def gone_at(state: RunState, now: datetime) -> datetime:
    """When the last process of a cancelled run was gone."""
    attempts = [entry.last for entry in state.tasks.values() if entry.status is TaskStatus.CANCELLED and entry.attempts]
    lasted = ((one.started_at, one.outcome) for one in attempts)
    return max(
        (
            start + timedelta(milliseconds=outcome.duration_ms)
            for start, outcome in lasted
            if outcome is not None and outcome.ending is Ending.CANCELLED and outcome.duration_ms
        ),
        default=now,
    )
