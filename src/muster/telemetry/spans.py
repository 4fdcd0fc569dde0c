"""A run's spans, derived from its journal: the run, its attempts, and the tools that agents used.

The names are those of OpenTelemetry's conventions for generative AI. The ids
are those that entries carry and that programs got in ``TRACEPARENT``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from muster.model.attempts import Outcome, Usage
from muster.model.journal.correlation import Correlation, correlation_of, span_id
from muster.model.journal.entries import Entry
from muster.model.journal.events import AttemptEnded, AttemptStarted, Event, PlanAccepted, RunStateChanged, ToolCalled
from muster.model.record import Record
from muster.model.redaction import Redactor
from muster.model.running.state import ENDED, replace
from muster.model.views.disclosure import Told, disclosed_event
from muster.telemetry import genai

# Who answers, where an agent's name says so; the names are the conventions'.
PROVIDERS = {"claude": "anthropic", "codex": "openai", "gemini": "gcp.gemini"}
# Collectors drop spans that are too big; the journal has all of it.
MOST_EVENTS = 128


class Kind(Enum):
    """What a span is towards its parent, in OTLP's numbers."""

    INTERNAL = 1
    CLIENT = 3


class SpanEvent(Record, frozen=True):
    """Something that happened within a span."""

    name: str
    at: datetime
    attributes: dict[str, Told] = {}


class Span(Record, frozen=True):
    """A piece of time with a name; ``error`` is empty when it went well."""

    trace: str
    span: str
    name: str
    start: datetime
    end: datetime
    parent: str = ""
    kind: Kind = Kind.INTERNAL
    attributes: dict[str, Told] = {}
    events: tuple[SpanEvent, ...] = ()
    error: str = ""


def spans_of(entries: Sequence[Entry], redactor: Redactor) -> tuple[Span, ...]:
    """The spans of one run's entries; what is still open ends with the last entry."""
    if not entries:
        return ()
    found: dict[str, Span] = {}
    tools: list[Span] = []
    since: dict[str, datetime] = {}
    run = Correlation(run=entries[0].run)
    found[run.id] = _span(run, entries[0].at, genai.INVOKE_WORKFLOW, {"muster.run": run.run})
    for entry in entries:
        event = entry.event
        belongs = correlation_of(run, event)
        if isinstance(event, AttemptStarted):
            found[belongs.id] = _attempt(belongs, event, entry.at)
        elif isinstance(event, ToolCalled) and belongs.id in found:
            tools.append(_tool(belongs, event, since.get(belongs.id, entry.at), entry))
        since[belongs.id] = entry.at
        # What is told of an attempt whose start is not here is told of the run.
        place = belongs.id if belongs.id in found else run.id
        found[place] = _with(found[place], entry, event, redactor)
    return tuple(_clean(span, redactor) for span in (*found.values(), *tools))


def _with(span: Span, entry: Entry, event: Event, redactor: Redactor) -> Span:
    match event:
        case PlanAccepted():
            name = f"{genai.INVOKE_WORKFLOW} {event.slug}"
            span = replace(span, name=name, attributes={**span.attributes, genai.WORKFLOW: event.slug})
        case AttemptEnded():
            return _ended(span, event.outcome, entry.at)
        case RunStateChanged() if event.state in ENDED:
            span = replace(span, error="" if event.state == "complete" else event.state)
        case AttemptStarted() | ToolCalled():
            return span
        case _:
            pass
    seen = SpanEvent(name=entry.type, at=entry.at, attributes=_prefixed(disclosed_event(event, redactor)))
    events = (*span.events, seen)[-MOST_EVENTS:]
    return replace(span, end=max(span.end, entry.at), events=events)


def _attempt(belongs: Correlation, event: AttemptStarted, at: datetime) -> Span:
    agent = event.agent or "command"
    attributes: dict[str, Told] = {
        genai.AGENT: agent,
        "muster.run": belongs.run,
        "muster.task": belongs.task,
        "muster.attempt": belongs.attempt,
    }
    if event.model:
        attributes[genai.REQUEST_MODEL] = event.model
    if agent in PROVIDERS:
        attributes[genai.PROVIDER] = PROVIDERS[agent]
    return _span(belongs, at, genai.INVOKE_AGENT, attributes, agent, kind=Kind.CLIENT)


def _ended(span: Span, outcome: Outcome, at: datetime) -> Span:
    attributes = {**span.attributes, "muster.ending": outcome.ending.value, **used_attributes(outcome.usage)}
    if outcome.session:
        attributes[genai.CONVERSATION] = outcome.session
    error = "" if outcome.ok else outcome.failure.cause.value if outcome.failure else outcome.ending.value
    if error:
        attributes[genai.ERROR] = error
    return replace(span, end=at, attributes=attributes, error=error)


def used_attributes(usage: Usage) -> dict[str, Told]:
    """What was used, in the conventions' names; what is zero or unknown is left out."""
    told: dict[str, Told] = {
        genai.INPUT_TOKENS: usage.input + usage.cache_read + usage.cache_write,
        genai.CACHE_READ_TOKENS: usage.cache_read,
        genai.CACHE_CREATION_TOKENS: usage.cache_write,
        genai.OUTPUT_TOKENS: usage.output,
        genai.REASONING_TOKENS: usage.reasoning,
    }
    if usage.model:
        told[genai.RESPONSE_MODEL] = usage.model
    if usage.cost_usd is not None:
        told["muster.cost_usd"] = usage.cost_usd
    return {name: value for name, value in told.items() if value}


def _tool(belongs: Correlation, event: ToolCalled, since: datetime, entry: Entry) -> Span:
    """A tool's end is told and its start is not: it began at the earliest after what the agent told before."""
    return Span(
        trace=belongs.trace,
        span=span_id(f"{belongs.id}:{entry.seq}"),
        parent=belongs.span,
        name=f"{genai.EXECUTE_TOOL} {event.tool}",
        start=since,
        end=entry.at,
        attributes={genai.OPERATION: genai.EXECUTE_TOOL, genai.TOOL: event.tool},
        error="" if event.ok else "tool_error",
    )


def _span(
    belongs: Correlation,
    at: datetime,
    operation: str,
    attributes: dict[str, Told],
    subject: str = "",
    kind: Kind = Kind.INTERNAL,
) -> Span:
    return Span(
        trace=belongs.trace,
        span=belongs.span,
        parent=belongs.parent,
        name=f"{operation} {subject}".strip(),
        kind=kind,
        start=at,
        end=at,
        attributes={genai.OPERATION: operation, **attributes},
    )


def _clean(span: Span, redactor: Redactor) -> Span:
    told = {name: redactor(value) if isinstance(value, str) else value for name, value in span.attributes.items()}
    return replace(span, name=redactor(span.name), attributes=told)


def _prefixed(values: dict[str, Told]) -> dict[str, Told]:
    return {f"muster.{name}": value for name, value in values.items()}
