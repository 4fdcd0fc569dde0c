"""Durations, money and sizes as people write them, and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

DURATION_FORMS = "a duration such as 90s, 30m, 1h30m, 1.5h, 2d or plain seconds"
MONEY_FORMS = 'an amount in US dollars such as "2 usd", "$2" or 2.50'
TOKEN_FORMS = 'a number of tokens such as "200k tokens", "1.5m tokens" or "9000 tokens"'

# More digits than any real quantity needs, few enough that no conversion overflows.
_MAX_CHARS = 40

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_NUMBER} ?(?:ms|s|m|h|d) ?)+")
_PLAIN = re.compile(_NUMBER)
_MONEY = re.compile(rf"\$ ?({_NUMBER})|({_NUMBER})(?: ?(?:usd|\$))?")
_TOKENS = re.compile(rf"({_NUMBER}) ?([km]?) ?tokens?")
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def parse_duration(text: str) -> float:
    """Read a duration as seconds.

    >>> [parse_duration(text) for text in ("30m", "1h30m", "90s", "1.5h", "45", "1h 30m", "250ms")]
    [1800.0, 5400.0, 90.0, 5400.0, 45.0, 5400.0, 0.25]
    >>> parse_duration("soon")
    Traceback (most recent call last):
    ValueError: 'soon' is not a duration such as 90s, 30m, 1h30m, 1.5h, 2d or plain seconds

    Raises:
        ValueError: the text is something else.
    """
    cleaned = _cleaned(text)
    if _PLAIN.fullmatch(cleaned):
        return float(cleaned)
    if not _DURATION.fullmatch(cleaned):
        raise ValueError(f"{_shown(text)} is not {DURATION_FORMS}")
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in _PART.findall(cleaned)))


def format_duration(seconds: float) -> str:
    """Write seconds so that `parse_duration` reads exactly the same number.

    >>> [format_duration(seconds) for seconds in (1800, 5400, 90, 0.25, 0, 90061)]
    ['30m', '1h30m', '1m30s', '0.25s', '0s', '1d1h1m1s']
    """
    if seconds != int(seconds):
        return f"{_plain(seconds)}s"
    parts, rest = [], int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_since(text: str, now: datetime) -> datetime:
    """Read a moment of the past: how long ago, or a date or time, which is UTC unless it says otherwise.

    >>> now = datetime(2026, 3, 8, 12, tzinfo=UTC)
    >>> [f"{parse_since(text, now):%m-%d %H:%M}" for text in ("7d", "2026-03-02", "2026-03-02T10:30+02:00")]
    ['03-01 12:00', '03-02 00:00', '03-02 08:30']

    Raises:
        ValueError: the text is something else.
    """
    try:
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        raise ValueError(f"{_shown(text)} is neither a time ago such as 7d nor a date such as 2026-01-31") from None


def parse_money(text: str) -> float:
    """Read an amount in US dollars.

    >>> [parse_money(text) for text in ("2 usd", "$2", "2.50", "0.5USD", "3$")]
    [2.0, 2.0, 2.5, 0.5, 3.0]
    >>> parse_money("2 eur")
    Traceback (most recent call last):
    ValueError: '2 eur' is not an amount in US dollars such as "2 usd", "$2" or 2.50

    Raises:
        ValueError: the text is something else.
    """
    match = _MONEY.fullmatch(_cleaned(text))
    if match is None:
        raise ValueError(f"{_shown(text)} is not {MONEY_FORMS}")
    return float(match[1] or match[2])


def format_money(usd: float) -> str:
    """Write an amount so that `parse_money` reads exactly the same number.

    >>> [format_money(usd) for usd in (2, 2.5, 0.0001)]
    ['2 usd', '2.50 usd', '0.0001 usd']
    """
    if usd == int(usd):
        return f"{int(usd)} usd"
    cents = f"{usd:.2f}"
    return f"{cents if float(cents) == usd else _plain(usd)} usd"


def parse_tokens(text: str) -> int:
    """Read a number of tokens.

    >>> [parse_tokens(text) for text in ("200k tokens", "1.5M tokens", "9000 tokens", "1 token")]
    [200000, 1500000, 9000, 1]

    Raises:
        ValueError: the text is something else.
    """
    match = _TOKENS.fullmatch(_cleaned(text))
    if match is None:
        raise ValueError(f"{_shown(text)} is not {TOKEN_FORMS}")
    return int(Decimal(match[1]) * {"": 1, "k": 1000, "m": 1_000_000}[match[2]])


def counted(count: int, noun: str) -> str:
    """A number of things for people.

    >>> counted(1, "task"), counted(2, "wave")
    ('1 task', '2 waves')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def format_size(size: int) -> str:
    """Write a number of bytes for people, rounded to a tenth.

    >>> [format_size(size) for size in (0, 1023, 1536, 10_485_760)]
    ['0 B', '1023 B', '1.5 KiB', '10 MiB']
    """
    value, power = float(size), 0
    while value >= 1024 and power < len(_UNITS) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.1f}".removesuffix(".0") + f" {_UNITS[power]}"


def _cleaned(text: str) -> str:
    stripped = text.strip()
    return stripped.lower() if len(stripped) <= _MAX_CHARS else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "…")


def _plain(number: float) -> str:
    """The shortest decimal that reads back as the same number, never with an exponent."""
    return format(Decimal(repr(float(number))), "f")
