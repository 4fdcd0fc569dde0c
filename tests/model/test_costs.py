"""What attempts cost, what caches gave, and how alike plans are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.attempts import Cause, Ending, Failure, Outcome, Usage
from muster.model.journal.events import AgentUsed, AttemptEnded, AttemptStarted, TaskPlanned, TaskQueued
from muster.model.plan import Plan, Task
from muster.model.planning.plan_compare import compare, rouge_l
from muster.model.views.costs import Charge, cache_by_wave, charges, profile_cost, spent, spent_by
from tests.model.test_entries import journal

AT = datetime(2026, 1, 2, tzinfo=UTC)
WORDS = st.lists(st.sampled_from("abcde"), max_size=30)


def charged(usage: Usage, **more: Any) -> Charge:
    facts = {"run": "r", "task": "T", "attempt": 1, "agent": "claude", "model": "m", "profile": "p", "phase": "execute"}
    return Charge(at=AT, usage=usage, **{**facts, **more})


def played(outcome: Outcome | None, heard: AgentUsed | None = None, *, run: str = "") -> tuple[Charge, ...]:
    """The charges of a journal with one attempt of one task."""
    events: list[Any] = [
        TaskPlanned(task=Task(id="T", agent="claude", run=run)),
        TaskQueued(wave=1, tasks=("T",)),
        AttemptStarted(task="T", attempt=1, base="b", agent="claude"),
        *([heard] if heard else []),
        *([AttemptEnded(task="T", attempt=1, outcome=outcome)] if outcome else []),
    ]
    return charges(journal(*events))


def test_a_price_that_nobody_knows_is_never_nothing() -> None:
    priced = charged(Usage(input=5, cost_usd=0.25))
    unpriced = charged(Usage(input=5))

    assert spent("x", [priced, unpriced]).words == "0.2500 usd + 1 unknown"
    assert spent("x", [unpriced]).words == "unknown"
    assert spent("x", [charged(Usage(cost_usd=0.0))]).words == "0.0000 usd"


def test_what_an_attempt_told_before_it_was_cut_off_is_what_it_cost() -> None:
    heard = AgentUsed(task="T", attempt=1, input=70, output=7, cost_usd=0.5, model="big")

    (one,) = played(Outcome(ending=Ending.TIMEOUT), heard)

    assert (one.cost_usd, one.usage.input, one.usage.model) == (0.5, 70, "big")
    assert played(None, heard)[0].cost_usd == 0.5


def test_an_agent_that_failed_without_a_word_used_nothing_and_one_that_worked_silently_is_unknown() -> None:
    failure = Failure(cause=Cause.AUTH, message="no")

    assert played(Outcome(ending=Ending.ERROR, failure=failure))[0].cost_usd == 0.0
    assert played(Outcome(ending=Ending.OK))[0].cost_usd is None
    assert played(Outcome(ending=Ending.INTERRUPTED))[0].cost_usd is None


def test_a_command_is_no_charge() -> None:
    assert played(Outcome(ending=Ending.OK), run="make") == ()


def test_the_model_that_answered_counts_and_not_the_one_that_was_asked_for() -> None:
    rows = spent_by([charged(Usage(cost_usd=1, model="real")), charged(Usage(cost_usd=2)), charged(Usage())], "model")

    assert [(row.key, row.attempts) for row in rows] == [("m", 2), ("real", 1)]


@pytest.mark.parametrize(
    ("writes", "verdict"),
    [
        ((1_400, 1_500, 9_000), "POSITIVE"),
        ((0, 1_501, 9_000), "INCONCLUSIVE"),
        ((0, 3_499, 9_000), "INCONCLUSIVE"),
        ((0, 3_500, 9_000), "NEGATIVE"),
        ((100, 100), "INCONCLUSIVE"),
    ],
)
def test_children_of_a_wave_share_a_cache_or_do_not(writes: tuple[int, ...], verdict: str) -> None:
    wave = [charged(Usage(cache_write=n, cache_read=9), task=f"T{at}", wave=2) for at, n in enumerate(writes)]
    retried = charged(Usage(cache_write=50_000), attempt=2, wave=2)
    mute = [charged(Usage(input=10), task=f"M{at}", wave=2) for at in range(5)]

    (use,) = cache_by_wave([*wave, retried, *mute])

    assert (use.verdict, use.children, use.cache_write) == (verdict, len(writes), sum(writes))


def test_a_profile_is_measured_after_three_finished_runs_with_known_prices() -> None:
    runs = [[charged(Usage(cost_usd=usd), profile="premium")] for usd in (1.0, 2.0, 10.0)]
    unpriced = [charged(Usage(input=5), profile="premium"), charged(Usage(cost_usd=99.0), profile="premium")]

    before = profile_cost("premium", [*runs[:2], unpriced], tasks=30)
    after = profile_cost("premium", [*runs, unpriced, [charged(Usage(cost_usd=50), profile="economy")], []])

    assert (before.basis, before.low, before.high, before.n, before.unpriced_runs) == ("estimate", 12, 45, 2, 1)
    assert (after.basis, after.low, after.high, after.n, after.unpriced_runs) == ("measured", 2.0, 10.0, 3, 1)
    assert profile_cost("mine", []).basis == "unknown"


@given(WORDS, WORDS)
def test_rouge_l_is_the_longest_common_subsequence(first: list[str], second: list[str]) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])

    expected = 2 * table[-1][-1] / (len(first) + len(second)) if first or second else 1.0

    assert rouge_l(first, second) == pytest.approx(expected)


@given(st.lists(st.text(max_size=20), max_size=5), st.lists(st.text(max_size=20), max_size=5))
def test_likeness_is_the_same_from_both_sides_and_whole_with_itself(first: list[str], second: list[str]) -> None:
    plans = [
        Plan(slug="p", tasks=tuple(Task(id=f"T{at}", prompt=words) for at, words in enumerate(texts)))
        for texts in (first, second)
    ]

    there, back, same = compare(*plans), compare(*reversed(plans)), compare(plans[0], plans[0])

    assert (there.jaccard, there.minhash) == (back.jaccard, back.minhash)
    assert there.rouge_l == pytest.approx(back.rouge_l)
    assert (same.jaccard, same.rouge_l, same.minhash) == (1, 1, 1)
    assert all(0 <= value <= 1 for value in (there.jaccard, there.rouge_l, there.minhash))
