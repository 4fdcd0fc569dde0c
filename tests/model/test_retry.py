"""Which failures are tried again, and after how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.attempts import Cause, Failure
from muster.model.policy import RetryPolicy
from muster.model.running.retry import delay_ms, is_retryable

ANOTHER_TRY_MAY_HELP = {
    *(Cause.RATE_LIMIT, Cause.OVERLOADED, Cause.SERVER, Cause.TRANSPORT, Cause.STALLED, Cause.INCOMPLETE),
    *(Cause.TIMEOUT, Cause.INTERRUPTED, Cause.SESSION_LOST),
    *(Cause.EXIT, Cause.AUDIT, Cause.EMPTY_RESULT, Cause.WROTE_WHILE_READ_ONLY, Cause.HOOK),
    *(Cause.CONFLICT, Cause.BROKE_INTEGRATION),
}

policies = st.builds(
    RetryPolicy,
    backoff_ms=st.integers(100, 60_000),
    jitter_ratio=st.floats(0, 1),
    exponential_factor=st.floats(1, 5),
    cap_ms=st.integers(0, 600_000),
)


def failure(cause: Cause) -> Failure:
    return Failure(cause=cause, message="it went wrong")


@pytest.mark.parametrize("cause", Cause)
def test_each_class_of_failure_is_tried_again_or_not(cause: Cause) -> None:
    assert is_retryable(RetryPolicy(), failure(cause)) == (cause in ANOTHER_TRY_MAY_HELP)


@given(cause=st.sampled_from(sorted(set(Cause) - {Cause.CANCELLED}, key=lambda cause: cause.value)))
def test_non_retryable_wins_over_retryable_and_both_over_what_is_built_in(cause: Cause) -> None:
    both = RetryPolicy(retryable=("*",), non_retryable=(cause.value[:2] + "*",))

    assert is_retryable(RetryPolicy(retryable=(cause.value,)), failure(cause))
    assert not is_retryable(RetryPolicy(non_retryable=(cause.value,)), failure(cause))
    assert not is_retryable(both, failure(cause))


def test_a_cancelled_attempt_is_never_tried_again_whatever_the_policy_says() -> None:
    assert not is_retryable(RetryPolicy(retryable=("*",)), failure(Cause.CANCELLED))


@given(policy=policies, attempt=st.integers(1, 200), seed=st.text(max_size=20))
def test_a_delay_stays_within_the_jitter_around_the_formula_and_is_the_same_in_a_replay(
    policy: RetryPolicy, attempt: int, seed: str
) -> None:
    centre = min(policy.cap_ms, policy.backoff_ms * policy.exponential_factor ** (attempt - 1))

    delay = delay_ms(policy, attempt, seed)

    assert delay >= 0
    assert centre * (1 - policy.jitter_ratio) - 1 <= delay <= centre * (1 + policy.jitter_ratio) + 1
    assert delay == delay_ms(policy, attempt, seed)


def test_a_number_of_attempts_beyond_all_floats_waits_for_the_cap() -> None:
    assert delay_ms(RetryPolicy(jitter_ratio=0), 1_000_000, "01r:T1:1") == RetryPolicy().cap_ms


def test_tasks_that_failed_together_do_not_come_back_together() -> None:
    delays = {delay_ms(RetryPolicy(), 1, f"01r:T{number}:1") for number in range(20)}

    assert len(delays) > 15


@given(policy=policies, attempt=st.integers(1, 10), seconds=st.floats(0, 1e6))
def test_what_a_provider_asked_for_wins_over_the_formula(policy: RetryPolicy, attempt: int, seconds: float) -> None:
    delay = delay_ms(policy, attempt, "01r:T1:1", retry_after_s=seconds)

    assert seconds * 1000 <= delay < seconds * 1000 + 1.001


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_no_provider_can_mean_is_ignored(nonsense: float) -> None:
    assert delay_ms(RetryPolicy(jitter_ratio=0), 1, "01r:T1:1", retry_after_s=nonsense) == 1000


def test_a_time_in_the_past_means_now() -> None:
    assert delay_ms(RetryPolicy(), 1, "01r:T1:1", retry_after_s=-3.0) == 0
