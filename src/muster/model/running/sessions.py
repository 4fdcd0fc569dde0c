"""Whether a task's next attempt goes on with the agent's session of the last one, and what that session has used."""

from __future__ import annotations

from muster.model.attempts import Attempt, Cause, Usage, together
from muster.model.running.state import TaskState

# What failed was not the work: it goes on from where it stopped.
_BROKEN_OFF = frozenset(
    {
        *(Cause.INTERRUPTED, Cause.TIMEOUT, Cause.STALLED, Cause.INCOMPLETE, Cause.TRANSPORT),
        *(Cause.RATE_LIMIT, Cause.OVERLOADED, Cause.SERVER),
    }
)
# Whoever did the work is told once what was wrong with it; after that, a fresh mind sees more.
_SENT_BACK = frozenset({Cause.AUDIT, Cause.EMPTY_RESULT, Cause.HOOK})


def session_to_resume(entry: TaskState, agent: str) -> str:
    """The session that the next attempt of ``agent`` goes on with, in the folder as it is; empty for a fresh start.

    A conflict with what others merged, and files written where none may be, need a clean folder.
    """
    if not entry.attempts or entry.last.failure is None or entry.last.agent != agent:
        return ""
    cause, again = entry.last.failure.cause, bool(entry.last.resumes)
    return entry.last.session if cause in _BROKEN_OFF or (cause in _SENT_BACK and not again) else ""


def spent_before(entry: TaskState, attempt: Attempt) -> Usage:
    """What the session that ``attempt`` goes on with had used, as the outcomes of the attempts before say."""
    if not attempt.resumes:
        return Usage()
    earlier = (one for one in entry.attempts if one.number < attempt.number and one.session == attempt.resumes)
    return together(one.outcome.usage for one in earlier if one.outcome is not None)
