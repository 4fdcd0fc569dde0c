"""Caps on money and tokens, as a person sets them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from muster.model.quantities import MONEY_FORMS, TOKEN_FORMS, format_money, parse_money, parse_tokens
from muster.model.record import Record

USD, TOKENS = "usd", "tokens"
RUN, DAY, PROJECT = "run", "day", "project"


class Amount(Record, frozen=True):
    """Money and tokens side by side."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(usd=self.usd + other.usd, tokens=self.tokens + other.tokens)

    def of(self, unit: str) -> float:
        """The part in one unit."""
        return self.usd if unit == USD else self.tokens


class Limit(Record, frozen=True):
    """A cap for one run, for a day (UTC) or for all time of a project; ``unit`` is usd or tokens."""

    scope: str
    unit: str
    amount: float

    @property
    def name(self) -> str:
        """What the limit is called: scope and unit."""
        return f"{self.scope} {self.unit}"

    @property
    def words(self) -> str:
        """The limit for people."""
        return f"the {self.scope}'s budget of {worded(self.unit, self.amount)}"


def parse_budget(text: str, scope: str = RUN) -> tuple[Limit, ...]:
    """Read a budget: money, tokens or both.

    >>> [limit.amount for limit in parse_budget("5 usd, 200k tokens")]
    [5.0, 200000]
    >>> parse_budget("")
    ()

    Raises:
        ValueError: the text is something else, or not more than nothing.
    """
    limits: list[Limit] = []
    for part in filter(None, (part.strip() for part in re.split(r",| and ", text))):
        try:
            unit, amount = (TOKENS, parse_tokens(part)) if "token" in part.lower() else (USD, parse_money(part))
        except ValueError as error:
            raise ValueError(f"{part!r} is neither {MONEY_FORMS} nor {TOKEN_FORMS}") from error
        if amount <= 0 or any(limit.unit == unit for limit in limits):
            raise ValueError(f"{text!r} needs one amount of more than 0 for each of usd and tokens")
        limits.append(Limit(scope=scope, unit=unit, amount=amount))
    return tuple(limits)


def worded(unit: str, amount: float) -> str:
    """An amount for people.

    >>> worded("usd", 1 / 3), worded("tokens", 200000)
    ('0.3333 usd', '200,000 tokens')
    """
    return format_money(round(amount, 4)) if unit == USD else f"{amount:,.0f} tokens"


def total(amounts: Iterable[Amount]) -> Amount:
    """All together."""
    found = Amount()
    for amount in amounts:
        found += amount
    return found
