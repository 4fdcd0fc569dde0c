"""Which trace and span everything belongs to, derived from names and so the same in every process and after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote

from muster.model.ids import attempt_id
from muster.model.record import Record


class Correlation(Record, frozen=True):
    """A run, or one attempt of one of its tasks, as W3C Trace Context names it: https://www.w3.org/TR/trace-context."""

    run: str
    task: str = ""
    attempt: int = 0

    @property
    def id(self) -> str:
        """The name for people: ``run``, or ``run:task:attempt``.

        >>> Correlation(run="01r", task="T1", attempt=2).id, Correlation(run="01r").id
        ('01r:T1:2', '01r')
        """
        return attempt_id(self.run, self.task, self.attempt) if self.attempt else self.run

    @property
    def trace(self) -> str:
        """The trace id of the run, 32 hex digits.

        >>> Correlation(run="01kdvd1c00mcs3w8k9gemjdtmd").trace
        'd988a08a8c0557e583c67317474f1a07'
        """
        return sha256(self.run.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def span(self) -> str:
        """The span id, 16 hex digits."""
        return span_id(self.id)

    @property
    def parent(self) -> str:
        """The span that this one is in; empty for a run."""
        return span_id(self.run) if self.attempt else ""

    def environment(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a program needs so that its own telemetry joins the trace; keeps the resource attributes in ``given``.

        >>> for item in Correlation(run="01r", task="T1", attempt=2).environment().items(): print(*item)
        TRACEPARENT 00-b0b7c5be40131cace2f2669d6ce256f6-ba8a75c236912622-01
        OTEL_RESOURCE_ATTRIBUTES muster.run=01r,muster.task=T1,muster.attempt=2
        """
        own = {"run": self.run} | ({"task": self.task, "attempt": str(self.attempt)} if self.attempt else {})
        before = (given or {}).get("OTEL_RESOURCE_ATTRIBUTES", "").strip(",")
        pairs = [f"muster.{name}={quote(value, safe='')}" for name, value in own.items()]
        return {
            "TRACEPARENT": f"00-{self.trace}-{self.span}-01",
            "OTEL_RESOURCE_ATTRIBUTES": ",".join([*([before] if before else []), *pairs]),
        }


def correlation_of(outer: Correlation, event: object) -> Correlation:
    """What an event belongs to: the attempt that it names, or else what is worked for, ``outer``.

    >>> from muster.model.journal.events import AgentSaid, RunResumed
    >>> run = Correlation(run="01r")
    >>> correlation_of(run, AgentSaid(task="T1", attempt=2, text="hello")).id
    '01r:T1:2'
    >>> correlation_of(run, RunResumed(from_seq=1)).id
    '01r'
    """
    task, attempt = getattr(event, "task", ""), getattr(event, "attempt", 0)
    if isinstance(task, str) and task and isinstance(attempt, int) and attempt:
        return Correlation(run=outer.run, task=task, attempt=attempt)
    return outer


def span_id(name: str) -> str:
    """The span id of a name: 16 hex digits, as good as never all zero."""
    return sha256(b"span:" + name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
