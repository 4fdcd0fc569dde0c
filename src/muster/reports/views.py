"""A run as the commands show it: plain mappings, the same for JSON and for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from muster.model.attempts import Attempt, Usage
from muster.model.heartbeats import Level
from muster.model.plan import chosen
from muster.model.quantities import counted
from muster.model.running.retry import is_parked
from muster.model.running.state import DeadLetter, Gate, RunState, Station, TaskState, TaskStatus
from muster.ports import RunHead


def status_of(state: RunState, live: bool) -> str:
    """The state of a run in one word, for people.

    ``running``, ``waiting`` for a person, ``stopped`` when its owner let go of
    it, ``interrupted`` when its owner is gone, ``stopping``, or how it ended.
    """
    if state.ended:
        return "undone" if state.undone else "failed" if state.state == "error" else state.state
    if live:
        return "stopping" if state.cancel is not None else "running"
    if state.waiting_gates or state.main_blocked:
        return "waiting"
    return "parked" if state.released else "interrupted"


def crew_words(state: RunState) -> str:
    """Which agents work, and who says with which models; empty when all tasks are commands."""
    policy = state.accepted.policy
    tasks = [entry.task for entry in state.tasks.values()]
    agents = dict.fromkeys(chosen(task.agent).name for task in tasks if task.agent and not task.is_command)
    return f"{', '.join(agents)}; profile {policy.profile} ({policy.profile_source})" if agents else ""


def recovery_question(state: RunState) -> str:
    """What to ask a person about a run whose owner is gone."""
    working = sum(state.tasks[name].station is Station.WORKING for name in state.busy)
    return f"Run {state.run} was interrupted at entry {state.seq}: {counted(working, 'task')} would restart. Resume?"


def head_status(head: RunHead, live: bool, counts: dict[str, int]) -> str:
    """The same from a run's head and how many entries of each type it has, without folding it."""
    if head.state in ("complete", "cancelled"):
        return "undone" if counts.get("main.undone") else head.state
    if head.state == "error":
        return "failed"
    if live:
        return "stopping" if head.state == "cancel_requested" else "running"
    if counts.get("gate.asked", 0) > counts.get("gate.answered", 0) or counts.get("main.merge_blocked"):
        return "waiting"
    return "parked" if counts.get("run.released", 0) > counts.get("run.resumed", 0) else "interrupted"


# How the workspace says why it would not move a branch; other reasons are sentences already.
_LEFT_ALONE = {
    "detached": "HEAD is detached",
    "missing": "the branch is gone",
    "elsewhere": "it is checked out in a folder that is gone",
    "in-progress": "something is unfinished where it is checked out",
    "dirty": "there are uncommitted changes where it is checked out",
    "in-the-way": "files that git does not track are in the way",
    "moved": "it has moved meanwhile",
    "refused": "git refused",
}


def left_alone(reason: str) -> str:
    """Why a branch was not moved, in words.

    >>> left_alone("dirty"), left_alone("it moved meanwhile and conflicts in a.py")
    ('there are uncommitted changes where it is checked out', 'it moved meanwhile and conflicts in a.py')
    """
    return _LEFT_ALONE.get(reason, reason)


def run_view(state: RunState, live: bool) -> dict[str, Any]:
    """All that `muster show` knows about a run."""
    accepted = state.accepted
    return {
        "run": state.run,
        "status": status_of(state, live),
        "stage": state.stage.value,
        "reason": state.reason or state.main_blocked or state.released,
        "hint": state.main_hint,
        "slug": accepted.slug,
        "title": accepted.title,
        "plan": accepted.source,
        "autonomy": accepted.policy.autonomy.value,
        "schedule": accepted.policy.schedule.value,
        "profile": accepted.policy.profile,
        "profile_source": accepted.policy.profile_source,
        "base": accepted.base,
        "target": accepted.target,
        "integration": state.integration,
        "main_commit": state.main_commit,
        "continues": accepted.continues,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "duration_ms": duration_ms(state.started_at, state.ended_at or state.last_at),
        "resumed": state.epoch,
        "entries": state.seq,
        "unknown_entries": state.unknown_entries,
        "tasks": [task_view(entry) for entry in state.tasks.values()],
        "waves": state.waves,
        "gates": [gate_view(state, gate) for gate in state.gates.values()],
        "waits_for": [
            {"task": entry.task.id, "provider": entry.last.agent, "until": entry.retry_at} for entry in parked(state)
        ],
        "budget": {
            "limits": [
                {
                    "scope": limit.scope,
                    "unit": limit.unit,
                    "limit": limit.amount,
                    "spent": state.ledger.spent().of(limit.unit),
                    "reserved": state.ledger.committed().of(limit.unit) - state.ledger.spent().of(limit.unit),
                }
                for limit in state.limits
            ],
            "unpriced_attempts": state.ledger.unpriced,
        },
        "dead_letters": list(state.dead),
    }


def parked(state: RunState) -> list[TaskState]:
    """The tasks that wait until a provider's limit ends, at the time that it named."""
    busy = () if state.ended else (state.tasks[name] for name in state.busy)
    return [entry for entry in busy if entry.retry_at is not None and is_parked(entry.failure)]


def task_view(entry: TaskState) -> dict[str, Any]:
    """One task with its attempts."""
    return {
        "id": entry.task.id,
        "title": entry.task.title,
        "status": word_for(entry),
        "wave": entry.wave,
        "needs": entry.task.needs,
        "agent": "command" if entry.task.is_command else entry.task.agent,
        "reason": entry.reason or (entry.failure.message if entry.failure is not None else ""),
        "attempts": [
            {
                "attempt": attempt.number,
                "started_at": attempt.started_at,
                "ended_at": attempt.ended_at,
                "duration_ms": duration_ms(attempt.started_at, attempt.ended_at),
                "ending": attempt.outcome.ending.value if attempt.outcome is not None else "",
                "exit_code": attempt.outcome.exit_code if attempt.outcome is not None else None,
                "cause": attempt.failure.cause.value if attempt.failure is not None else "",
                "error": attempt.failure.message if attempt.failure is not None else "",
                "tokens": tokens_of(attempt),
                "cost_usd": attempt.outcome.usage.cost_usd if attempt.outcome is not None else None,
                "commit": attempt.commit,
            }
            for attempt in entry.attempts
        ],
    }


def tokens_of(attempt: Attempt) -> dict[str, int]:
    """What an attempt used of each kind of token, as its agent says."""
    usage = attempt.outcome.usage if attempt.outcome is not None else Usage()
    kinds = ("input", "cache_read", "cache_write", "output", "reasoning")
    return {kind: getattr(usage, kind) for kind in kinds}


def letter_view(state: RunState, letter: DeadLetter, continued: str = "") -> dict[str, Any]:
    """A task that was given up; ``continued`` is the run that goes on with all that its run left open."""
    added = letter.added
    status = letter.settled or ("requeued" if continued else "open")
    return {
        "id": f"{state.run}/{added.task}",
        "run": state.run,
        "task": added.task,
        "status": status,
        "reason": added.reason,
        "attempts": added.attempts,
        "error": added.failure.message if added.failure is not None else "",
        "cause": added.failure.cause.value if added.failure is not None else "",
        "salvage": added.salvage,
        "at": letter.at,
        "by": letter.by,
        "why": letter.why,
        "continued": continued,
        "ended": state.ended,
    }


def gate_view(state: RunState, gate: Gate) -> dict[str, Any]:
    """One question and its answer."""
    answered = gate.answered
    return {
        "id": gate.id,
        "run": state.run,
        "boundary": gate.boundary.value,
        "subject": gate.subject,
        "question": gate.asked.question if gate.asked is not None else "",
        "detail": gate.asked.detail if gate.asked is not None else "",
        "asked_at": gate.asked_at,
        "answer": answered.answer.value if answered is not None else "",
        "by": answered.by if answered is not None else "",
        "why": answered.why if answered is not None else "",
    }


_WORDS = {
    Station.AUDITING: "verifying",
    Station.MERGING: "merging",
    Station.ADVANCING: "merging",
    Station.BACKOFF: "waiting",
    Station.ASKING: "needs-input",
}


def word_for(entry: TaskState) -> str:
    """How a task stands, in the words of the dashboard."""
    if entry.station is Station.WORKING and entry.level:
        return "quiet" if entry.level == Level.WARN.value else "stalled"
    if entry.status is TaskStatus.RUNNING:
        return _WORDS.get(entry.station, "running")
    status: str = entry.status.value
    return status


def exit_code_of(state: RunState) -> int:
    """What `muster run` and `muster continue` leave with, by how the run stands."""
    match state.state:
        case "complete":
            undone = sum(1 for entry in state.tasks.values() if entry.status is not TaskStatus.DONE)
            return 1 if undone else 0
        case "cancelled":
            return 7
        case "error":
            return 1
        case _:
            return 3 if state.waiting_gates or state.main_blocked else 75


def duration_ms(start: datetime | None, end: datetime | None) -> int | None:
    """Milliseconds between two moments, if both are known."""
    if start is None or end is None:
        return None
    return int((end - start).total_seconds() * 1000)
