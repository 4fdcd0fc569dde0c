"""The phases of a run: which begin and end with the tasks that are queued, and which models did their work."""

from __future__ import annotations

from muster.model import events as ev
from muster.model.policy import model_of
from muster.model.state import RunState


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


def phase_finished(state: RunState, phase: str) -> ev.PhaseFinished:
    """The end of a phase, with the models that were asked for and those that did the work."""
    policy = state.policy
    entries = [entry for entry in state.tasks.values() if entry.task.phase == phase and entry.attempts]
    outcomes = [attempt.outcome for entry in entries for attempt in entry.attempts if attempt.outcome is not None]
    used = dict.fromkeys(outcome.usage.model for outcome in outcomes if outcome.usage.model)
    agents = {attempt.agent.partition(":")[0] for entry in entries for attempt in entry.attempts}
    resolved = sorted({model_of(policy, agent, phase) for agent in agents} - {""})
    return ev.PhaseFinished(
        phase=phase,
        profile=policy.profile,
        profile_source=policy.profile_source,
        phase_models=policy.phase_models,
        phase_models_resolved={phase: ", ".join(resolved)} if resolved else {},
        model_used=", ".join(used) or policy.phase_models.get(phase, ""),
    )
