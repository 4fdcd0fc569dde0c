"""The phases of a run: which begin and end with the tasks that are queued, and which models did their work."""

from __future__ import annotations

from collections.abc import Iterable

from muster.model.journal import events as ev
from muster.model.plan import chosen
from muster.model.policy import model_of
from muster.model.running.state import RunState
from muster.model.running.verdicts import Next, next_of

REVIEW = "review"


def queued(state: RunState, wave: int, names: tuple[str, ...]) -> tuple[ev.Event, ...]:
    """The next tasks, and the phases that end before them and begin with them."""
    phases = dict.fromkeys(state.tasks[name].task.phase for name in names)
    if phases.keys() == state.phases.keys():
        return (ev.TaskQueued(wave=wave, tasks=names),)
    still = {entry.task.phase for entry in state.tasks.values() if not entry.status.closed}
    return (
        *(phase_finished(state, phase) for phase in state.phases if phase not in still),
        *(ev.PhaseStarted(phase=phase) for phase in phases if phase not in state.phases),
        ev.TaskQueued(wave=wave, tasks=names),
    )


def review_turn(state: RunState) -> ev.PhaseStarted | ev.PhaseFinished | None:
    """The beginning or end of the review phase, when it is due; it ends with the models of the agents that reviewed."""
    due, begun = next_of(state) is Next.REVIEW, REVIEW in state.phases
    if due == begun:
        return None
    if due:
        return ev.PhaseStarted(phase=REVIEW)
    models = dict.fromkeys(state.reviewed.models.values()) if state.reviewed is not None else {}
    return _finished(state, REVIEW, models, models)


def phase_finished(state: RunState, phase: str) -> ev.PhaseFinished:
    """The end of a phase of tasks, with the models that were asked for and those that did the work."""
    policy = state.policy
    entries = [entry for entry in state.tasks.values() if entry.task.phase == phase and entry.attempts]
    outcomes = [attempt.outcome for entry in entries for attempt in entry.attempts if attempt.outcome is not None]
    used = dict.fromkeys(outcome.usage.model for outcome in outcomes if outcome.usage.model)
    agents = {chosen(attempt.agent).name for entry in entries for attempt in entry.attempts}
    resolved = sorted({model_of(policy, agent, phase) for agent in agents} - {""})
    return _finished(state, phase, resolved, used or filter(None, [policy.phase_models.get(phase)]))


def _finished(state: RunState, phase: str, resolved: Iterable[str], used: Iterable[str]) -> ev.PhaseFinished:
    policy, named = state.policy, ", ".join(resolved)
    return ev.PhaseFinished(
        phase=phase,
        profile=policy.profile,
        profile_source=policy.profile_source,
        phase_models=policy.phase_models,
        phase_models_resolved={phase: named} if named else {},
        model_used=", ".join(used),
    )
