"""What a line of a log tells a summary: of a journal's entry, or of whatever else resembles one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from muster.model.journal.entries import Entry

# The types that a summary is made of.
USED = frozenset(
    {"run.state", "run.cancel", "reaction.match", "reaction.skip", "plan.accepted", "phase.started"}
    | {"task.attempt_started", "task.attempt_ended", "task.retry_scheduled", "deadletter.added"}
)
_OURS, _TYPE = b'{"pos":', b'"type":"'
# Most entries of a log are what agents said and did. To see that a line is one of them costs less than to read it.
_CHATTER = b"agent."
_BEFORE = len('{"pos":1,"run":"","seq":1,"at":"2026-01-01T00:00:00Z"') + 26
assert not any(name.startswith(_CHATTER.decode()) for name in USED)


class _Usage(msgspec.Struct, gc=False):
    cost_usd: float | None = None
    model: str | None = None


class _Outcome(msgspec.Struct, gc=False):
    usage: _Usage | None = None


class _Policy(msgspec.Struct, gc=False):
    profile: str | None = None


class Facts(msgspec.Struct, gc=False):
    """The fields of all those types that a summary asks for; each may be missing."""

    state: str | None = None
    run_id: str | None = None
    session_id: str | None = None
    channel: str | None = None
    backend: str | None = None
    duration_ms: float | None = None
    latency_ms: float | None = None
    source: str | None = None
    reason: str | None = None
    rule_name: str | None = None
    task: str | None = None
    agent: str | None = None
    model: str | None = None
    phase: str | None = None
    outcome: _Outcome | None = None
    policy: _Policy | None = None


# A time without a zone is read like a line that cannot be: of our own entries each has one.
Zoned = Annotated[datetime, msgspec.Meta(tz=True)]


class Told(msgspec.Struct, gc=False):
    """One line; a log of another program may have its facts beside the type, and call the time otherwise."""

    type: str = ""
    run: str = ""
    at: Zoned | None = None
    timestamp: datetime | None = None
    time: datetime | None = None
    ts: datetime | None = None
    data: Facts | None = None


_LINE = msgspec.json.Decoder(Told)
_FACTS = msgspec.json.Decoder(Facts)
_TIMES = ("at", "timestamp", "time", "ts")


def told(lines: Iterable[bytes]) -> Iterator[Told | None]:
    """Each line as what it tells; None for one that is skipped, an empty ``type`` for one that cannot be read."""
    decode, find = _LINE.decode, bytes.find
    for line in lines:
        # An entry's type comes behind its run and time and before its data, so the first one from there is the line's.
        begin = find(line, _TYPE, _BEFORE) + 8
        if line[begin : begin + 6] == _CHATTER and line.startswith(_OURS):
            yield None
            continue
        try:
            one = decode(line)
            if one.data is None:
                one.data = _FACTS.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if not line.strip():
                continue
            one = _salvaged(line)
        if one.at is None:
            _settle_time(one)
        yield one


def told_of(entry: Entry) -> Told | None:
    """What an entry tells; None for one that is skipped."""
    if entry.type.startswith(_CHATTER.decode()):
        return None
    facts = _FACTS.decode(entry.data) if entry.type in USED else Facts()
    return Told(type=entry.type, run=entry.run, at=entry.at, data=facts)


def _settle_time(one: Told) -> None:
    at = one.at or one.timestamp or one.time or one.ts
    one.at = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _salvaged(line: bytes) -> Told:
    """What fits of a line with a field that does not."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Told()
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        return Told()
    inner = found.get("data")
    one = Told(type=found["type"], data=_fitting(Facts, inner if isinstance(inner, dict) else found))
    if isinstance(found.get("run"), str):
        one.run = found["run"]
    for name in _TIMES:
        value = found.get(name)
        if one.at is None and value is not None and not isinstance(value, bool):
            one.at = _time(value)
    _settle_time(one)
    return one


def _fitting(cls: type[Any], found: dict[str, Any]) -> Any:
    known = {}
    for info in msgspec.structs.fields(cls):
        value = found.get(info.name)
        if isinstance(value, dict):
            inner = {"outcome": _Outcome, "usage": _Usage, "policy": _Policy}.get(info.name)
            if inner is not None:
                known[info.name] = _fitting(inner, value)
            continue
        try:
            known[info.name] = msgspec.convert(value, info.type)
        except msgspec.ValidationError:
            continue
    return cls(**known)


def _time(value: Any) -> datetime | None:
    """A time as text, or as seconds or milliseconds since 1970."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        return datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
