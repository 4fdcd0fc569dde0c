"""Several exporters as one, each with a thread of its own, so that none holds up another or the caller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, runtime_checkable

from muster.model.journal.events import ExportFailed
from muster.model.redaction import Redactor
from muster.model.views.disclosure import disclosed
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.ports import Exporter
from muster.telemetry.spans import Span

# As the circuit breakers of most libraries do it: five failures in a row, then a try now and then.
FAILURES_TO_OPEN = 5
RETRY_AFTER_S = 30.0
CLOSE_WITHIN_S = 3.0
# A dead collector must not fill the memory of a daemon with spans.
MOST_WAITING = 32
MOST_WORDS = 500

Failed = Callable[[ExportFailed], None]
Work = Callable[[], None]


@runtime_checkable
class SpanExporter(Protocol):
    """An exporter that takes the spans of runs as well."""

    def export_spans(self, spans: Sequence[Span], resource: Mapping[str, str]) -> None:
        """Hand over the spans of a run; raises like `Exporter.export`."""


class CompositeExporter:
    """Hands on to all exporters and returns at once; ``failed`` is called from their threads."""

    name = "all"

    def __init__(
        self, exporters: Sequence[Exporter], monotonic: Callable[[], float], failed: Failed, redact: Redactor
    ) -> None:
        self._monotonic, self._redact = monotonic, redact
        self._lanes = [_Lane(exporter, _Breaker(monotonic), partial(_tell, failed, redact)) for exporter in exporters]

    def export(self, snapshot: MetricsSnapshot) -> None:
        """Every exporter gets it as soon as it can; one that is busy finds the latest when it is done."""
        for lane in self._lanes:
            lane.offer("metrics", partial(self._export, lane.exporter, snapshot))

    def export_spans(self, spans: Sequence[Span], resource: Mapping[str, str]) -> None:
        """Every exporter that takes spans gets those of this run."""
        for lane in self._lanes:
            if spans and isinstance(lane.exporter, SpanExporter):
                lane.offer(spans[0].trace, partial(lane.exporter.export_spans, spans, resource))

    def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Wait for what was handed on, at most so long; an exporter that hangs then is left to its own timeout."""
        deadline = self._monotonic() + within_s
        for lane in self._lanes:
            lane.close()
        for lane in self._lanes:
            lane.thread.join(max(0.0, deadline - self._monotonic()))
            if lane.thread.is_alive():
                lane.give_up()

    def _export(self, exporter: Exporter, snapshot: MetricsSnapshot) -> None:
        # Here and not before, since the caller does not wait for it.
        exporter.export(disclosed(snapshot, self._redact))


class _Breaker:
    """Open after five failures in a row; then it lets one try through every 30 s, until that succeeds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._again = 0.0
        self.failures = 0

    def allows(self) -> bool:
        return self.failures < FAILURES_TO_OPEN or self._monotonic() >= self._again

    def tell(self, *, ok: bool) -> None:
        self.failures = 0 if ok else self.failures + 1
        self._again = self._monotonic() + RETRY_AFTER_S


class _Lane:
    """One exporter's thread. Of each kind of work only the latest waits."""

    def __init__(self, exporter: Exporter, breaker: _Breaker, failed: Failed) -> None:
        self.exporter = exporter
        self._left = False
        self._breaker = breaker
        self._failed = failed
        self._changed = threading.Condition()
        self._waiting: dict[str, Work] = {}
        self._closing = False
        # A daemon: one that hangs in the operating system must not keep the process from ending.
        self.thread = threading.Thread(target=self._run, name=f"export {exporter.name}", daemon=True)
        self.thread.start()

    def offer(self, kind: str, work: Work) -> None:
        with self._changed:
            self._waiting[kind] = work
            if len(self._waiting) > MOST_WAITING:
                del self._waiting[next(iter(self._waiting))]
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()

    def give_up(self) -> None:
        """Nobody waits for this exporter any longer; what it has not begun it will not begin."""
        with self._changed:
            self._waiting.clear()
        self._breaker.tell(ok=False)
        self._fail("it did not end in time")
        self._left = True

    def _run(self) -> None:
        while work := self._next():
            if self._breaker.allows():
                self._try(work)
        with suppress(Exception):
            self.exporter.close()

    def _next(self) -> Work | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None

    def _try(self, work: Work) -> None:
        try:
            work()
        except Exception as error:
            self._breaker.tell(ok=False)
            self._fail(f"{type(error).__name__}: {error}")
        else:
            self._breaker.tell(ok=True)

    def _fail(self, reason: str) -> None:
        if not self._left:
            self._failed(ExportFailed(exporter=self.exporter.name, reason=reason, failures=self._breaker.failures))


def _tell(failed: Failed, redact: Redactor, event: ExportFailed) -> None:
    reason = redact(event.reason)[:MOST_WORDS]
    failed(ExportFailed(exporter=event.exporter, reason=reason, failures=event.failures))
