"""The words of commits that Muster makes for a run."""

from __future__ import annotations

from muster.model.attempts import Attempt
from muster.model.plan import chosen
from muster.model.running.state import RunState, TaskState
from muster.ports import CommitNote


def task_note(state: RunState, entry: TaskState, attempt: Attempt) -> CommitNote:
    """The commit that keeps what an attempt left uncommitted; the same after a crash."""
    agent = agent_name(entry)
    trailers = [f"Muster-Run: {state.run}", f"Muster-Task: {entry.task.id}", f"Muster-Attempt: {attempt.number}"]
    model = attempt.outcome.usage.model if attempt.outcome is not None else ""
    trailers.append(f"Muster-Model: {model or 'none'}")
    title = entry.task.title or entry.task.id
    return CommitNote(
        message=f"{title}\n\n" + "\n".join(trailers) + "\n",
        author=agent,
        at=attempt.started_at,
    )


def merge_note(state: RunState, entry: TaskState, attempt: Attempt) -> CommitNote:
    """The merge of one task into the run's integration branch."""
    title = entry.task.title or entry.task.id
    message = (
        f"Merge {entry.task.id}: {title}\n\n"
        f"Muster-Run: {state.run}\nMuster-Task: {entry.task.id}\nMuster-Attempt: {attempt.number}\n"
    )
    return CommitNote(message=message, author="muster", at=attempt.ended_at or attempt.started_at)


def main_note(state: RunState) -> CommitNote:
    """The merge of the whole run into the user's branch."""
    accepted = state.accepted
    done = [name for name, entry in state.tasks.items() if entry.status.value == "done"]
    lines = "\n".join(f"  {name}: {state.tasks[name].task.title or name}" for name in done[:50])
    more = f"\n  and {len(done) - 50} more" if len(done) > 50 else ""
    message = f"Merge {accepted.title or accepted.slug}\n\n{lines}{more}\n\nMuster-Run: {state.run}\n"
    at = state.last_at or state.started_at
    if at is None:
        raise ValueError(f"run {state.run} has no entries")
    return CommitNote(message=message, author="muster", at=at)


def agent_name(entry: TaskState) -> str:
    """Who does the work: a plain command, or the adapter without model and effort."""
    agent = (entry.last.agent if entry.attempts else "") or entry.task.agent
    return "command" if entry.task.is_command else chosen(agent).name
