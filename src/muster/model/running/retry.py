"""Whether a failed attempt may be tried again, and how long to wait before."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from random import Random
from typing import assert_never

from msgspec.structs import replace

from muster.model.attempts import Cause, Failure
from muster.model.plan import Task
from muster.model.policy import RetryPolicy

_LIMITED = frozenset({Cause.RATE_LIMIT, Cause.OVERLOADED})
# A reset that is named and further away than this is waited for, whatever the policy says.
FAR_S = 300.0
# A window that is shut ten times in a row is no window; after that the task's own attempts count.
MAX_PARKS = 10


def retry_of(task: Task, policy: RetryPolicy) -> RetryPolicy:
    """The policy for one task: what its manifest says of classes of failure stands in place of the settings'."""
    return replace(
        policy,
        retryable=task.retryable or policy.retryable,
        non_retryable=task.non_retryable or policy.non_retryable,
    )


def is_retryable(policy: RetryPolicy, failure: Failure) -> bool:
    """Say whether one more attempt could end differently; whether attempts are left is another question.

    The policy's globs match the failure's class: ``non_retryable`` wins over
    ``retryable``, and both over what is built in. A cancelled attempt is never
    tried again, because a person said so.

    >>> is_retryable(RetryPolicy(), Failure(cause=Cause.RATE_LIMIT, message="429"))
    True
    >>> is_retryable(RetryPolicy(), Failure(cause=Cause.AUTH, message="401"))
    False
    >>> is_retryable(RetryPolicy(retryable=("limit_*",)), Failure(cause=Cause.LIMIT_TURNS, message="50 turns"))
    True
    """
    if failure.cause is Cause.CANCELLED:
        return False
    name = failure.cause.value
    if any(fnmatchcase(name, glob) for glob in policy.non_retryable):
        return False
    return any(fnmatchcase(name, glob) for glob in policy.retryable) or _by_itself(failure.cause)


def is_parked(failure: Failure | None) -> bool:
    """Whether a provider named a time, far away, at which its limit ends.

    >>> is_parked(Failure(cause=Cause.RATE_LIMIT, message="429", retry_after_s=7200.0))
    True
    >>> is_parked(Failure(cause=Cause.RATE_LIMIT, message="429", retry_after_s=20.0))
    False
    """
    return failure is not None and failure.cause in _LIMITED and (failure.retry_after_s or 0.0) > FAR_S


def delay_ms(policy: RetryPolicy, attempt: int, seed: str, retry_after_s: float | None = None) -> int:
    """How long to wait after attempt number ``attempt`` failed.

    ``backoff · factor^(attempt − 1)``, at most ``cap_ms``, then moved by up to
    ``jitter_ratio`` of itself either way, so that tasks at the cap still
    spread. ``seed`` names run, task and attempt: a replay waits as long. What
    a provider asked for (``retry_after_s``) wins over the formula.

    >>> policy = RetryPolicy(jitter_ratio=0.0)
    >>> [delay_ms(policy, attempt, "01r:T1:1") for attempt in (1, 2, 3, 40)]
    [1000, 2000, 4000, 300000]
    >>> delay_ms(RetryPolicy(), 1, "01r:T1:1") == delay_ms(RetryPolicy(), 1, "01r:T1:1")
    True
    >>> delay_ms(policy, 1, "01r:T1:1", retry_after_s=42.0)
    42000
    """
    if retry_after_s is not None and math.isfinite(retry_after_s):
        return max(0, math.ceil(retry_after_s * 1000))
    try:
        grown_ms = policy.backoff_ms * policy.exponential_factor ** (attempt - 1)
    except OverflowError:
        grown_ms = math.inf
    base_ms = min(grown_ms, policy.cap_ms)
    return max(0, round(base_ms * (1 + Random(seed).uniform(-policy.jitter_ratio, policy.jitter_ratio))))


def _by_itself(cause: Cause) -> bool:
    match cause:
        case (
            Cause.RATE_LIMIT
            | Cause.OVERLOADED
            | Cause.SERVER
            | Cause.TRANSPORT
            | Cause.STALLED
            | Cause.INCOMPLETE
            | Cause.TIMEOUT
            | Cause.INTERRUPTED
            | Cause.SESSION_LOST
        ):
            return True
        # The next attempt is told what was wrong, so it does not repeat the same thing.
        case (
            Cause.EXIT
            | Cause.AUDIT
            | Cause.EMPTY_RESULT
            | Cause.WROTE_WHILE_READ_ONLY
            | Cause.HOOK
            | Cause.CONFLICT
            | Cause.BROKE_INTEGRATION
        ):
            return True
        case (
            Cause.AUTH
            | Cause.INVALID_MODEL
            | Cause.BAD_REQUEST
            | Cause.PERMISSION
            | Cause.LIMIT_TURNS
            | Cause.LIMIT_BUDGET
            | Cause.AGENT_BUG
            | Cause.CRASH
            | Cause.NOT_INSTALLED
            | Cause.ENVIRONMENT
            | Cause.CANCELLED
        ):
            return False
        case _:
            assert_never(cause)
