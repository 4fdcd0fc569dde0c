"""What agents tell of themselves as OTLP, cut down to known spans and to what was used.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from muster.model.attempts import Usage, together
from muster.model.journal.correlation import Correlation, span_id
from muster.model.redaction import Redactor
from muster.model.running.state import replace
from muster.model.views.disclosure import AGENT_OPERATIONS, AGENT_SPANS, Told, disclosed_attributes
from muster.telemetry import genai
from muster.telemetry.spans import Kind, Span, used_attributes

# Of one attempt: spans, and as many points or records of each source of numbers.
MOST_KEPT = 1000
# Beyond this a number is a mistake or a lie.
_MOST_USED = 1e12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CUMULATIVE = 2
_ERROR = 2
_API_REQUEST = "api_request"
# Codex makes a span of this name for each piece of an answer; the last one has the numbers.
_PIECE = "handle_responses"
_MODEL_CALLS = frozenset({"claude_code.llm_request", "chat", "generate_content", "text_completion", _PIECE})
_CODEX_REASONING = "codex.usage.reasoning_output_tokens"
_CODEX_TOOL = ("codex.tool.phase", "dispatch")
# Metric to the attribute that says which tokens, and its values as fields of `Usage`.
_TOKENS = {
    "claude_code.token.usage": (
        "type",
        {"input": "input", "output": "output", "cacheRead": "cache_read", "cacheCreation": "cache_write"},
    ),
    "gen_ai.client.token.usage": ("gen_ai.token.type", {"input": "input", "output": "output"}),
}
_COST = "claude_code.cost.usage"

Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Shape(msgspec.Struct, frozen=True, rename="camel"):
    """A part of OTLP's JSON; what is not named here is not even looked at."""


class _Value(_Shape, frozen=True):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None


class _Pair(_Shape, frozen=True):
    key: str = ""
    value: _Value = _Value()


class _Told(_Shape, frozen=True):
    """What has attributes: a resource, a span, a point of a metric, a log record."""

    attributes: tuple[_Pair, ...] = ()
    span_id: str = ""
    parent_span_id: str = ""
    name: str = ""
    event_name: str = ""
    start_time_unix_nano: Nanoseconds = 0
    end_time_unix_nano: Nanoseconds = 0
    time_unix_nano: Nanoseconds = 0
    status: dict[str, int | str] = {}
    as_int: int | None = None
    as_double: float | None = None
    sum: float | None = None

    @property
    def values(self) -> dict[str, Told]:
        """The attributes that are plain values."""
        return {pair.key: one for pair in self.attributes for one in _values(pair.value)}

    @property
    def number(self) -> float:
        """The value of a point."""
        return next((one for one in (self.as_int, self.as_double, self.sum) if one is not None), 0)


class _Points(_Shape, frozen=True):
    aggregation_temporality: int = 0
    data_points: tuple[_Told, ...] = ()


class _Metric(_Shape, frozen=True):
    name: str = ""
    sum: _Points = _Points()
    histogram: _Points = _Points()


class _Scope(_Shape, frozen=True):
    spans: tuple[_Told, ...] = ()
    metrics: tuple[_Metric, ...] = ()
    log_records: tuple[_Told, ...] = ()


class _Part(_Shape, frozen=True):
    resource: _Told = _Told()
    scope_spans: tuple[_Scope, ...] = ()
    scope_metrics: tuple[_Scope, ...] = ()
    scope_logs: tuple[_Scope, ...] = ()


class Request(_Shape, frozen=True):
    """The body of an export request for traces, metrics or logs."""

    resource_spans: tuple[_Part, ...] = ()
    resource_metrics: tuple[_Part, ...] = ()
    resource_logs: tuple[_Part, ...] = ()


_JSON = msgspec.json.Decoder(Request, strict=False)


def from_json(body: bytes) -> Request:
    """Read a request; a ``msgspec.MsgspecError`` if it is none. Numbers may be texts, as OTLP writes long ones."""
    return _JSON.decode(body)


def from_protobuf(body: bytes, message: Any) -> Request:
    """Read a request with the official ``message`` of its signal."""
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

    shape = MessageToDict(message.FromString(body), use_integers_for_enums=True)
    return msgspec.convert(shape, Request, strict=False)


class Account:
    """What one attempt told of itself; the same told twice is kept once. Whoever calls it holds its ``lock``."""

    def __init__(self, belongs: Correlation, redact: Redactor) -> None:
        self._belongs, self._redact = belongs, redact
        self.lock = threading.Lock()
        self._spans: dict[str, tuple[str, Span]] = {}
        # The same numbers come as metrics, as log records and in spans, so each source is counted for itself.
        self._used: dict[str, dict[object, Usage]] = {}

    def take(self, request: Request) -> None:
        """Keep what may be kept of a request."""
        for part in (*request.resource_spans, *request.resource_metrics, *request.resource_logs):
            if self._is_of_another(part.resource.values):
                continue
            whose = _mark(part.resource.attributes)
            for scope in (*part.scope_spans, *part.scope_metrics, *part.scope_logs):
                for span in scope.spans:
                    self._take_span(span)
                for metric in scope.metrics:
                    self._take_metric(metric, whose)
                for record in scope.log_records:
                    self._take_record(record)

    def used(self) -> Usage:
        """What was used: that of the source that knows most, as each can have lost its last words."""
        each = [together(source.values()) for source in self._used.values()]
        return max(each, key=lambda usage: (usage.tokens, usage.cost_usd or 0.0), default=Usage())

    def spans(self) -> tuple[Span, ...]:
        """The spans, in the run's trace; one whose parent is not here hangs below the attempt's own."""
        return tuple(
            replace(span, parent=self._id(parent) if parent in self._spans else self._belongs.span)
            for parent, span in self._spans.values()
        )

    def _is_of_another(self, resource: Mapping[str, Told]) -> bool:
        own = {"run": self._belongs.run, "task": self._belongs.task, "attempt": self._belongs.attempt}
        return any(str(resource.get(f"muster.{name}", value)) != str(value) for name, value in own.items())

    def _take_span(self, span: _Told) -> None:
        told = span.values
        operation = genai.EXECUTE_TOOL if told.get(_CODEX_TOOL[0]) == _CODEX_TOOL[1] else told.get(genai.OPERATION)
        if not span.span_id or (span.name not in AGENT_SPANS and operation not in AGENT_OPERATIONS):
            return
        if span.name == _PIECE and genai.OUTPUT_TOKENS not in told:
            return
        attributes = disclosed_attributes(told, self._redact)
        called = span.name if span.name in AGENT_SPANS else str(operation)
        calls_model = called in _MODEL_CALLS
        if calls_model:
            usage = _used_in(told)
            self._count("spans", span.span_id, usage)
            attributes |= used_attributes(usage)
        if called == operation:
            subject = attributes.get(genai.TOOL) or attributes.get(genai.REQUEST_MODEL) or ""
            called = f"{called} {subject}".strip()
        start = _at(span.start_time_unix_nano)
        kept = Span(
            trace=self._belongs.trace,
            span=self._id(span.span_id),
            name=called,
            kind=Kind.CLIENT if calls_model else Kind.INTERNAL,
            start=start,
            end=max(start, _at(span.end_time_unix_nano)),
            attributes={
                **attributes,
                "muster.run": self._belongs.run,
                "muster.task": self._belongs.task,
                "muster.attempt": self._belongs.attempt,
            },
            error="error" if span.status.get("code") == _ERROR else "",
        )
        _keep(self._spans, span.span_id, (span.parent_span_id, kept))

    def _take_metric(self, metric: _Metric, whose: int) -> None:
        for points in (metric.sum, metric.histogram):
            for point in points.data_points:
                if usage := _measured(metric.name, point):
                    since = None if points.aggregation_temporality == _CUMULATIVE else point.time_unix_nano
                    key = (metric.name, point.start_time_unix_nano, since, whose, _mark(point.attributes))
                    self._count(metric.name.partition(".")[0], key, usage)

    def _take_record(self, log: _Told) -> None:
        told = log.values
        if str(log.event_name or told.get("event.name", "")).removeprefix("claude_code.") == _API_REQUEST:
            self._count("logs", (log.time_unix_nano, _mark(log.attributes)), _used_in(told))

    def _count(self, source: str, key: object, usage: Usage) -> None:
        model = self._redact(usage.model)
        _keep(self._used.setdefault(source, {}), key, replace(usage, model=model))

    def _id(self, theirs: str) -> str:
        # Ids of ours, so that no program can take the place of a span that it did not make.
        return span_id(f"{self._belongs.id}:{theirs}")


def _keep(kept: dict[Any, Any], key: object, value: object) -> None:
    if key in kept or len(kept) < MOST_KEPT:
        kept[key] = value


def _measured(name: str, point: _Told) -> Usage | None:
    told, value = point.values, _number(point.number)
    if name == _COST:
        return Usage(cost_usd=value, cost_source="reported", model=_model(told))
    attribute, fields = _TOKENS.get(name, ("", {}))
    field = fields.get(str(told.get(attribute)))
    return replace(Usage(model=_model(told)), **{field: int(value)}) if field else None


def _used_in(told: Mapping[str, Told]) -> Usage:
    """The numbers of one call of a model, by the conventions' names or by Claude Code's own."""
    own = "input_tokens" in told or "output_tokens" in told
    names = {
        "input": "input_tokens" if own else genai.INPUT_TOKENS,
        "output": "output_tokens" if own else genai.OUTPUT_TOKENS,
        "cache_read": "cache_read_tokens" if own else genai.CACHE_READ_TOKENS,
        "cache_write": "cache_creation_tokens" if own else genai.CACHE_CREATION_TOKENS,
        "reasoning": _CODEX_REASONING if _CODEX_REASONING in told else genai.REASONING_TOKENS,
    }
    count: dict[str, Any] = {field: int(_number(told.get(name))) for field, name in names.items()}
    if not own:
        # The conventions count what a cache gave or took as input too.
        count["input"] = max(0, count["input"] - count["cache_read"] - count["cache_write"])
    if "cost_usd" in told:
        count |= {"cost_usd": _number(told["cost_usd"]), "cost_source": "reported"}
    return Usage(**count, model=_model(told))


def _model(told: Mapping[str, Told]) -> str:
    names = ("model", genai.REQUEST_MODEL, genai.RESPONSE_MODEL)  # the last one wins
    return str(disclosed_attributes({name: told[name] for name in names if name in told}).get(genai.REQUEST_MODEL, ""))


def _number(value: Told | None) -> float:
    try:
        number = float(value or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and 0 <= number < _MOST_USED else 0.0


def _values(value: _Value) -> Iterator[Told]:
    each = (value.string_value, value.bool_value, value.int_value, value.double_value)
    yield from (one for one in each if one is not None)


def _mark(pairs: Sequence[_Pair]) -> int:
    """What tells a series from others, also by attributes that are not kept."""
    return hash(msgspec.json.encode(sorted(pairs, key=lambda pair: pair.key)))


def _at(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
