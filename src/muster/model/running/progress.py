"""How far a project's plan is, as a file that people and scripts read."""

from __future__ import annotations

from datetime import datetime

from muster.model.record import Record
from muster.model.running.state import RunState, TaskState, TaskStatus


class TaskProgress(Record, frozen=True):
    """A task's status and what each of its attempts came to: ``ok``, a failure's class, or ``running``."""

    title: str
    status: str
    attempts: tuple[str, ...] = ()
    commit: str = ""
    reason: str = ""


class Progress(Record, frozen=True):
    """The newest run of a plan: where it began, its waves and tasks, and what happens next."""

    run: str
    state: str
    session_start_sha: str
    waves: tuple[tuple[str, ...], ...]
    tasks: dict[str, TaskProgress]
    integration: str = ""
    next_action: str = ""
    updated_at: datetime | None = None


def progress_of(state: RunState) -> Progress:
    """What a run's progress file says."""
    return Progress(
        run=state.run,
        state=state.state,
        session_start_sha=state.accepted.base,
        waves=state.waves,
        tasks={name: _task(task) for name, task in state.tasks.items()},
        integration=state.integration,
        next_action=next_action(state),
        updated_at=state.last_at,
    )


def next_action(state: RunState) -> str:
    """What a person would do next, in one line."""
    gates = state.waiting_gates
    if gates:
        subject = f" about {gates[0].subject}" if gates[0].subject else ""
        return f"answer gate {gates[0].id} ({gates[0].boundary.value}{subject}): muster approve {gates[0].id}"
    if not state.ended:
        return f"muster continue {state.run}"
    if state.main_commit:
        return "nothing: the work is in your branch"
    unfinished = len(state.tasks) - state.count(TaskStatus.DONE)
    if unfinished:
        return f"{unfinished} of {len(state.tasks)} tasks are not done: muster continue {state.run}"
    return state.main_hint or f"muster show {state.run}"


def _task(task: TaskState) -> TaskProgress:
    attempts = []
    for attempt in task.attempts:
        if attempt.failure is not None:
            attempts.append(attempt.failure.cause.value)
        else:
            attempts.append("ok" if attempt.ended_at is not None else "running")
    return TaskProgress(
        title=task.task.title,
        status=task.status.value,
        attempts=tuple(attempts),
        commit=task.last.commit if task.attempts else "",
        reason=task.failure.message.partition("\n")[0] if task.failure else task.reason,
    )
