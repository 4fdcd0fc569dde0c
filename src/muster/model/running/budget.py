"""The ledger of a run: what is set aside before a start, what was really used, and what still fits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from muster.model.attempts import Attempt, Ending, Usage
from muster.model.journal.task_events import AgentUsed, AttemptEnded
from muster.model.journal.watch_events import BudgetReserved, BudgetSettled
from muster.model.limits import TOKENS, USD, Amount, Limit, total
from muster.model.record import Record

WARN_AT = 0.8
# What is set aside for an attempt that nothing is known about, if the budget leaves that much to each slot.
DEFAULT_USD = 1.0
DEFAULT_TOKENS = 200_000
# Below this many attempts of a kind the dearest tenth of them says nothing.
MIN_HISTORY = 3
# A running attempt may use this many times what was set aside for it once the budget is used up: with one, an
# attempt that is nearly done would be thrown away for a cent; so a cap is overrun by a reservation per slot at most.
OVERDRAFT = 2.0
# Sums of decimal fractions must not miss a limit that they meet.
_EPSILON = 1e-9


class Hold(Record, frozen=True):
    """What is set aside for an attempt, and what it is known to have used so far; no price means None."""

    task: str
    attempt: int
    reserved: Amount
    used_tokens: int = 0
    used_usd: float | None = None

    @property
    def used(self) -> Amount:
        """What is known, with an unknown price as nothing."""
        return Amount(usd=self.used_usd or 0.0, tokens=self.used_tokens)

    @property
    def charge(self) -> Amount:
        """What counts against a limit until the attempt is settled."""
        return Amount(usd=max(self.reserved.usd, self.used.usd), tokens=max(self.reserved.tokens, self.used.tokens))


class Ledger(Record, frozen=True):
    """The money of one run: settled by day, set aside by attempt; ``unpriced`` counts what had no known price."""

    settled: dict[str, Amount] = {}
    holds: dict[str, Hold] = {}
    unpriced: int = 0

    def spent(self, day: str = "") -> Amount:
        """What was used, of one day or altogether, running attempts included."""
        settled = [self.settled.get(day, Amount())] if day else self.settled.values()
        return total([*settled, *(hold.used for hold in self.holds.values())])

    def committed(self, day: str = "") -> Amount:
        """What was used or is set aside, of one day or altogether."""
        settled = [self.settled.get(day, Amount())] if day else self.settled.values()
        return total([*settled, *(hold.charge for hold in self.holds.values())])


class Elsewhere(Record, frozen=True):
    """What the project's other runs have used or set aside, today and altogether."""

    day: Amount = Amount()
    project: Amount = Amount()


NOTHING = Elsewhere()


def day_of(at: datetime) -> str:
    """The day that a moment belongs to, in UTC."""
    return at.astimezone(UTC).date().isoformat()


def tokens_of(usage: Usage | AgentUsed) -> int:
    """The tokens that count: read for the first time or written; what a cache gave costs a fraction and is left out."""
    return usage.input + usage.cache_write + usage.output


def book(ledger: Ledger, event: BudgetReserved | BudgetSettled | AgentUsed | AttemptEnded, at: datetime) -> Ledger:
    """The ledger after an event; what is not known of a settled attempt counts as set aside, never as nothing."""
    key = f"{event.task}:{event.attempt}"
    hold = ledger.holds.get(key)
    match event:
        case BudgetReserved():
            reserved = Amount(usd=event.cost_usd or 0.0, tokens=event.tokens or 0)
            fresh = Hold(task=event.task, attempt=event.attempt, reserved=reserved)
            return _with(ledger, holds={**ledger.holds, key: fresh})
        case AgentUsed() if hold is not None:
            usd = hold.used_usd if event.cost_usd is None else max(hold.used_usd or 0.0, event.cost_usd)
            tokens = max(hold.used_tokens, tokens_of(event))
            fresh = Hold(task=hold.task, attempt=hold.attempt, reserved=hold.reserved, used_tokens=tokens, used_usd=usd)
            return _with(ledger, holds={**ledger.holds, key: fresh})
        case BudgetSettled() if hold is not None:
            usd = hold.reserved.usd if event.cost_usd is None else event.cost_usd
            tokens = hold.reserved.tokens if event.tokens is None else event.tokens
            return _spend(_without(ledger, key), Amount(usd=usd, tokens=tokens), event.cost_usd is None, at)
        case AttemptEnded() if hold is None:
            # Nothing was set aside, as there was no limit then; a later limit of the day or project counts it.
            usage = event.outcome.usage
            used = Amount(usd=usage.cost_usd or 0.0, tokens=tokens_of(usage))
            return ledger if used == Amount() else _spend(ledger, used, usage.cost_usd is None, at)
        case _:
            return ledger


def settlement(hold: Hold, attempt: Attempt | None) -> BudgetSettled:
    """What an attempt that has ended used: what its agent said in the end, or else what was heard until then.

    One that was never started used nothing, and so did one whose agent failed and reported nothing; what one used
    that was cut off or never reports is not known.
    """
    if attempt is None:
        return BudgetSettled(task=hold.task, attempt=hold.attempt, cost_usd=0.0, tokens=0)
    outcome = attempt.outcome
    usage = outcome.usage if outcome is not None else Usage()
    tokens = max(tokens_of(usage), hold.used_tokens)
    usd = hold.used_usd if usage.cost_usd is None else max(usage.cost_usd, hold.used_usd or 0.0)
    silent = tokens == 0 and usd is None
    failed = outcome is not None and outcome.ending in (Ending.ERROR, Ending.INCOMPLETE)
    return BudgetSettled(
        task=hold.task,
        attempt=hold.attempt,
        cost_usd=0.0 if silent and failed else usd,
        tokens=None if silent and not failed else tokens,
    )


def committed(ledger: Ledger, scope: str, now: datetime, elsewhere: Elsewhere) -> Amount:
    """What counts against a limit of this scope."""
    match scope:
        case "day":
            return ledger.committed(day_of(now)) + elsewhere.day
        case "project":
            return ledger.committed() + elsewhere.project
        case _:
            return ledger.committed()


def spent(ledger: Ledger, scope: str, now: datetime, elsewhere: Elsewhere) -> Amount:
    """What was really used, as far as it is known here; of other runs also what they have set aside."""
    match scope:
        case "day":
            return ledger.spent(day_of(now)) + elsewhere.day
        case "project":
            return ledger.spent() + elsewhere.project
        case _:
            return ledger.spent()


def exceeded(
    limits: Iterable[Limit], ledger: Ledger, wanted: BudgetReserved, now: datetime, elsewhere: Elsewhere
) -> Limit | None:
    """The first limit that a reservation does not fit into, beside all but an earlier one for the same attempt."""
    ledger = _without(ledger, f"{wanted.task}:{wanted.attempt}")
    asked = Amount(usd=wanted.cost_usd or 0.0, tokens=wanted.tokens or 0)
    for limit in limits:
        after = committed(ledger, limit.scope, now, elsewhere) + asked
        if after.of(limit.unit) > limit.amount * (1 + _EPSILON):
            return limit
    return None


def overdrawn(limits: Iterable[Limit], ledger: Ledger, hold: Hold, now: datetime, elsewhere: Elsewhere) -> Limit | None:
    """The used-up limit for which a running attempt has used far more than was set aside for it."""
    for limit in limits:
        over = spent(ledger, limit.scope, now, elsewhere).of(limit.unit) > limit.amount * (1 + _EPSILON)
        if over and hold.used.of(limit.unit) > OVERDRAFT * hold.reserved.of(limit.unit) * (1 + _EPSILON):
            return limit
    return None


def reservation(
    task: str,
    attempt: int,
    limits: Iterable[Limit],
    *,
    cap_usd: float | None,
    usual: Amount | None,
    slots: int,
) -> BudgetReserved:
    """What to set aside: the attempt's own cap, what nine of ten such attempts stayed below, or a default.

    >>> five = (Limit(scope="run", unit="usd", amount=5.0),)
    >>> reservation("T1", 1, five, cap_usd=None, usual=Amount(usd=0.4), slots=4).cost_usd
    0.4
    >>> reservation("T1", 1, five, cap_usd=2.0, usual=Amount(usd=0.4), slots=4).basis
    'cap'
    >>> [reservation("T1", 1, five, cap_usd=None, usual=None, slots=slots).cost_usd for slots in (1, 10)]
    [1.0, 0.5]
    """
    usd = [limit.amount / slots for limit in limits if limit.unit == USD]
    tokens = [limit.amount / slots for limit in limits if limit.unit == TOKENS]
    cost = cap_usd if cap_usd is not None else usual.usd if usual is not None and usual.usd else None
    count = usual.tokens if usual is not None and usual.tokens else None
    basis = "cap" if usd and cap_usd is not None else "p90" if (cost if usd else count) is not None else "default"
    return BudgetReserved(
        task=task,
        attempt=attempt,
        cost_usd=None if not usd else cost if cost is not None else min(DEFAULT_USD, *usd),
        tokens=None if not tokens else count if count is not None else math.ceil(min(DEFAULT_TOKENS, *tokens)),
        basis=basis,
    )


def p90(values: Sequence[float]) -> float | None:
    """What nine of ten stayed at or below, by the nearest rank; None with fewer than three.

    >>> p90(range(1, 11)), p90([5.0, 5.0])
    (9, None)
    """
    return nearest_rank(values, 0.9) if len(values) >= MIN_HISTORY else None


def nearest_rank(values: Sequence[float], q: float) -> float | None:
    """The value that a share ``q`` of all stayed at or below, by the nearest rank; None of no values.

    >>> nearest_rank([3.0, 1.0, 2.0], 0.5), nearest_rank([], 0.5)
    (2.0, None)
    """
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)] if values else None


def _spend(ledger: Ledger, amount: Amount, unpriced: bool, at: datetime) -> Ledger:
    day = day_of(at)
    settled = {**ledger.settled, day: ledger.settled.get(day, Amount()) + amount}
    return Ledger(settled=settled, holds=ledger.holds, unpriced=ledger.unpriced + unpriced)


def _without(ledger: Ledger, key: str) -> Ledger:
    return _with(ledger, {other: hold for other, hold in ledger.holds.items() if other != key})


def _with(ledger: Ledger, holds: dict[str, Hold]) -> Ledger:
    return Ledger(settled=ledger.settled, holds=holds, unpriced=ledger.unpriced)
