"""Who is asked next when an agent cannot be had: a decision from the attempts so far and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from muster.model.attempts import Attempt, Cause, Failure
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.running.fallback import UNAVAILABLE, choice
from muster.model.running.state import TaskState

AT = datetime(2026, 1, 1, tzinfo=UTC)
TASK = Task(id="T1", agent="a", fallbacks=("b", "c"), attempts=2)


def after(*failures: Failure | Cause, task: Task = TASK) -> tuple[str, int]:
    found = [each if isinstance(each, Failure) else Failure(cause=each, message="") for each in failures]
    attempts = tuple(Attempt(number=n, base="x", started_at=AT, failure=f) for n, f in enumerate(found, start=1))
    return choice(TaskState(task=task, attempts=attempts), RunPolicy())


@pytest.mark.parametrize("cause", [Cause.NOT_INSTALLED, Cause.AUTH, Cause.INVALID_MODEL, Cause.LIMIT_BUDGET])
def test_who_cannot_be_had_is_left_at_once(cause: Cause) -> None:
    assert after(cause) == ("b", 0)


@pytest.mark.parametrize("cause", [Cause.RATE_LIMIT, Cause.OVERLOADED, Cause.SERVER, Cause.TRANSPORT])
def test_who_is_only_busy_is_left_when_its_attempts_are_used_up(cause: Cause) -> None:
    assert after(cause) == ("a", 1)
    assert after(cause, cause) == ("b", 0)


def test_who_is_away_for_hours_is_not_waited_for_while_there_is_another() -> None:
    assert after(Failure(cause=Cause.RATE_LIMIT, message="", retry_after_s=7200.0)) == ("b", 0)


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause not in UNAVAILABLE])
def test_work_that_was_not_accepted_stays_with_the_agent_that_did_it(cause: Cause) -> None:
    assert after(*[cause] * 5)[0] == "a"


def test_each_agent_has_all_attempts_and_the_last_one_is_left_for_nobody() -> None:
    assert after(Cause.AUTH, Cause.SERVER, Cause.SERVER, Cause.AUTH, Cause.AUTH)[0] == "c"
    assert after(Cause.AUTH, Cause.AUDIT) == ("b", 1)


def test_attempts_that_were_interrupted_do_not_count() -> None:
    assert after(Cause.INTERRUPTED, Cause.SERVER, Cause.INTERRUPTED) == ("a", 1)
