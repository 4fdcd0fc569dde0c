"""Starting: which attempts may begin now, by slots, needs, provider limits and money."""

from __future__ import annotations

from datetime import datetime

from muster.model.journal import events as ev
from muster.model.limits import Limit
from muster.model.plan import chosen
from muster.model.policy import Schedule, role_of
from muster.model.record import Record
from muster.model.running.budget import Elsewhere, book, exceeded, reservation
from muster.model.running.fallback import choice
from muster.model.running.phases import queued
from muster.model.running.retry import is_parked
from muster.model.running.sessions import session_to_resume
from muster.model.running.state import RunState, Station, TaskState

# More merges waiting than this per slot means that starting more work would only make worktrees pile up.
MERGE_BACKLOG_PER_SLOT = 2
# A task that only has to give its folder back keeps its slot, so that the next one can have the folder.
_HOLDS_SLOT = frozenset({Station.WORKING, Station.AUDITING, Station.PASSED})


class Starts(Record, frozen=True):
    """What may begin, as events, and the first start that a budget refused, with the limit that it does not fit."""

    events: tuple[ev.Event, ...] = ()
    refused: ev.BudgetReserved | None = None
    limit: Limit | None = None


def starts(state: RunState, now: datetime, elsewhere: Elsewhere) -> Starts:
    """The attempts that begin now, each after what is set aside for it; what does not fit is left where it is."""
    busy = [state.tasks[name] for name in state.busy]
    free = state.policy.max_parallel - sum(1 for entry in busy if entry.station in _HOLDS_SLOT)
    if free <= 0 or len(state.merging) > MERGE_BACKLOG_PER_SLOT * state.policy.max_parallel:
        return Starts()
    waves = state.policy.schedule is Schedule.WAVES
    retries = [entry for entry in busy if entry.retry_at is not None and entry.retry_at <= now]
    wanted = [(entry, state.integration) for entry in retries if not entry.stop_source]
    fresh_base = state.wave_base if waves else state.integration
    wanted += [(state.tasks[name], fresh_base) for name in state.ready if not state.tasks[name].task.milestone]
    shut = {
        (entry.last.agent, entry.last.model)
        for entry in busy
        if entry.retry_at is not None and entry.retry_at > now and is_parked(entry.failure)
    }
    found: list[ev.Event] = []
    ledger, refused, limit = state.ledger, None, None
    for entry, base in wanted:
        if free == 0:
            break
        if not entry.task.is_command:
            if shut and agent_and_model(state, entry) in shut:
                continue
            if state.limits:
                wish = _wish(state, entry)
                over = exceeded(state.limits, ledger, wish, now, elsewhere)
                if over is not None:
                    refused, limit = refused or wish, limit or over
                    continue
                ledger = book(ledger, wish, now)
                found.append(wish)
        found.append(_start(state, entry, base))
        free -= 1
    if not waves and state.unblocked:
        names = tuple(state.unblocked)
        wave = max([state.wave, *(state.tasks[name].wave for name in names)])
        found.extend(queued(state, wave, names))
    return Starts(events=tuple(found), refused=refused, limit=limit)


def kind_of(agent: str, model: str, role: str) -> str:
    """By what attempts are compared when one asks what such an attempt needs as a rule."""
    return f"{agent}/{model}/{role}"


def agent_and_model(state: RunState, entry: TaskState) -> tuple[str, str]:
    """What the next attempt of a task is started with."""
    task = entry.task
    if task.is_command:
        return ("command", "")
    agent, _ = choice(entry, state.policy)
    return (agent, chosen(agent).model or state.policy.phase_models.get(task.phase, ""))


def _wish(state: RunState, entry: TaskState) -> ev.BudgetReserved:
    task, policy = entry.task, state.policy
    return reservation(
        task.id,
        len(entry.attempts) + 1,
        state.limits,
        cap_usd=task.max_cost.usd if task.max_cost is not None else None,
        usual=policy.usual.get(kind_of(*agent_and_model(state, entry), task.role)),
        slots=policy.max_parallel,
    )


def _start(state: RunState, entry: TaskState, base: str) -> ev.AttemptStarted:
    agent, model = agent_and_model(state, entry)
    resumes = chosen(agent).name in state.policy.resumes
    session = session_to_resume(entry, agent) if resumes else ""
    return ev.AttemptStarted(
        task=entry.task.id,
        attempt=len(entry.attempts) + 1,
        base=entry.last.base if session else base,
        session=session,
        agent=agent,
        model=model,
        effort="" if entry.task.is_command else chosen(agent).effort or role_of(state.policy, entry.task).effort,
    )
