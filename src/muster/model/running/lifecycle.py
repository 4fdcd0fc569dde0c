"""The events of a run's own life: it moves from stage to stage, comes to a state, and ends; each says whose it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from muster.model.attempts import Ending
from muster.model.gates import Stage
from muster.model.journal.events import AutonomyTransition, Event, RunStateChanged, TaskSkipped
from muster.model.plan import Task, chosen
from muster.model.running.state import RunState, TaskStatus


def moved(state: RunState, after: Stage, *, by: str, why: str) -> AutonomyTransition:
    """The run goes from its stage to another."""
    return AutonomyTransition(before=state.stage, after=after, by=by, why=why)


def complete(state: RunState, now: datetime, reason: str = "") -> RunStateChanged:
    """The end of a run that did what it could; says what is not done."""
    failed = state.count(TaskStatus.FAILED) + state.count(TaskStatus.SKIPPED) + state.count(TaskStatus.CANCELLED)
    open_ends = f"{failed} of {len(state.tasks)} tasks are not done" if failed else ""
    return ended(state, "complete", now, "; ".join(part for part in (open_ends, reason) if part))


def over(state: RunState, outcome: str, now: datetime, why: str) -> tuple[Event, ...]:
    """The end of a run that leaves tasks undone: they are closed with it, as nothing will ever start them."""
    left = (name for name, entry in state.tasks.items() if not entry.status.closed)
    reason = f"the run was cancelled: {why}" if outcome == "cancelled" else f"the run failed: {why}"
    return (*(TaskSkipped(task=name, reason=reason) for name in left), ended(state, outcome, now, why))


def ended(state: RunState, outcome: str, now: datetime, reason: str = "") -> RunStateChanged:
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


def run_state(state: RunState, word: str, **facts: Any) -> RunStateChanged:
    """The event that a run came to the state ``word``."""
    whose: dict[str, Any] = {"session_id": state.session, "channel": state.channel, "backend": backend_of(state)}
    return RunStateChanged(state=word, run_id=state.run, **whose, **facts)


def planned_backend(tasks: Iterable[Task]) -> str:
    """The agents that tasks are meant for, by name, as one text.

    >>> planned_backend([Task(id="a", agent="codex:gpt-5@high"), Task(id="b", run="true"), Task(id="c", agent="pi")])
    'codex,command,pi'
    """
    return _together("command" if task.is_command else task.agent for task in tasks if not task.milestone)


def backend_of(state: RunState) -> str:
    """The agents that attempts of a run were started with; before the first one, those that are planned."""
    used = (one.agent or "command" for entry in state.tasks.values() for one in entry.attempts)
    return _together(used) or planned_backend(entry.task for entry in state.tasks.values())


def _together(agents: Iterable[str]) -> str:
    return ",".join(sorted({chosen(agent).name for agent in agents} - {""}))
