"""Who is asked next: the first agent of a task, or the one after it when that cannot be had."""

from __future__ import annotations

from muster.model.attempts import Cause
from muster.model.policy import RunPolicy
from muster.model.running.retry import is_parked, is_retryable, retry_of
from muster.model.running.state import TaskState

# It says nothing about the work: another agent may well do it.
UNAVAILABLE = frozenset(
    {
        *(Cause.NOT_INSTALLED, Cause.AUTH, Cause.INVALID_MODEL, Cause.LIMIT_BUDGET),
        *(Cause.RATE_LIMIT, Cause.OVERLOADED, Cause.SERVER, Cause.TRANSPORT),
    }
)


def choice(entry: TaskState, policy: RunPolicy) -> tuple[str, int]:
    """The agent for the next attempt, and how many attempts that count it has had.

    An agent is left for the next one when it failed for a reason that is not
    the work's and will not be tried again soon: at once, or when its attempts
    are used up.
    """
    agents = (entry.task.agent, *entry.task.fallbacks)
    if len(agents) == 1:
        return agents[0], entry.used_attempts
    place = used = 0
    for attempt in entry.attempts:
        failure = attempt.failure
        if failure is not None and failure.cause in (Cause.INTERRUPTED, Cause.SESSION_LOST):
            continue
        used += not is_parked(failure)
        if failure is None or failure.cause not in UNAVAILABLE or place + 1 == len(agents):
            continue
        tried = used >= entry.allowed_attempts(policy)
        if tried or is_parked(failure) or not is_retryable(retry_of(entry.task, policy.retry), failure):
            place, used = place + 1, 0
    return agents[place], used
