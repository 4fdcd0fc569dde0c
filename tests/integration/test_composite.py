"""Exporters side by side: none harms another or the caller."""

from __future__ import annotations

import threading
from collections.abc import Callable

from muster.model.journal.events import ExportFailed
from muster.model.redaction import Redactor
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.ports import Exporter
from muster.telemetry.composite import FAILURES_TO_OPEN, RETRY_AFTER_S, CompositeExporter
from tests.integration.metrics_examples import counter, snapshot

PATIENCE_S = 20.0


def numbered(number: int) -> MetricsSnapshot:
    return snapshot(counter("crew.run.count", ((), number)))


class Healthy:
    """Remembers what it got, and says when it is done with one."""

    name = "healthy"

    def __init__(self) -> None:
        self.got: list[float] = []
        self.done = threading.Semaphore(0)
        self.closed = 0

    def export(self, snapshot: MetricsSnapshot) -> None:
        self.got.append(snapshot.families[0].points[0].value)
        self.done.release()

    def close(self) -> None:
        self.closed += 1


class Failing(Healthy):
    """Fails until it is mended."""

    name = "failing"
    mended = False

    def export(self, snapshot: MetricsSnapshot) -> None:
        super().export(snapshot)
        if not self.mended:
            raise OSError("no route with token=hunter2-hunter2")


class Hanging(Healthy):
    """Begins and does not come back until it is let go."""

    name = "hanging"

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def export(self, snapshot: MetricsSnapshot) -> None:
        self.begun.release()
        assert self.go.wait(PATIENCE_S)
        super().export(snapshot)


class Time:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def compose(
    *exporters: Exporter, time: Callable[[], float] | None = None
) -> tuple[CompositeExporter, list[ExportFailed]]:
    failures: list[ExportFailed] = []
    return CompositeExporter(exporters, time or Time(), failures.append, Redactor()), failures


def export_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("export ")]


def test_a_healthy_exporter_gets_everything_beside_one_that_hangs_and_one_that_fails() -> None:
    healthy, failing, hanging = Healthy(), Failing(), Hanging()
    composite, failures = compose(hanging, failing, healthy)

    for number in range(50):
        composite.export(numbered(number))
        assert healthy.done.acquire(timeout=PATIENCE_S)
    composite.close(within_s=0.05)

    assert healthy.got == list(range(50))
    assert hanging.got == []
    assert "failing" in {one.exporter for one in failures}
    [left] = [one for one in failures if one.exporter == "hanging"]
    assert (left.reason, left.failures) == ("it did not end in time", 1)
    hanging.go.set()


def test_one_that_was_busy_finds_only_the_latest() -> None:
    slow = Hanging()
    composite, failures = compose(slow)
    composite.export(numbered(0))
    assert slow.begun.acquire(timeout=PATIENCE_S)

    for number in range(1, 100):
        composite.export(numbered(number))
    slow.go.set()
    composite.close(PATIENCE_S)

    assert slow.got == [0, 99]
    assert failures == []


def test_after_five_failures_it_is_tried_only_now_and_then_until_it_succeeds() -> None:
    failing, time = Failing(), Time()
    composite, failures = compose(failing, time=time)

    def offer(number: int, *, tried: bool) -> None:
        composite.export(numbered(number))
        assert failing.done.acquire(timeout=PATIENCE_S if tried else 0.05) is tried

    for number in range(FAILURES_TO_OPEN):
        offer(number, tried=True)
    offer(10, tried=False)
    time.now += RETRY_AFTER_S
    offer(11, tried=True)
    offer(12, tried=False)
    failing.mended = True
    time.now += RETRY_AFTER_S
    offer(13, tried=True)
    offer(14, tried=True)
    composite.close(PATIENCE_S)

    assert failing.got == [0, 1, 2, 3, 4, 11, 13, 14]
    assert [one.failures for one in failures] == [1, 2, 3, 4, 5, 6]
    assert all("hunter2" not in one.reason for one in failures)


def test_three_cycles_leave_no_thread_and_close_each_exporter_once() -> None:
    before = export_threads()
    healthy = [Healthy() for _ in range(3)]

    for exporter in healthy:
        composite, _ = compose(exporter, Failing())
        composite.export(numbered(1))
        composite.close(PATIENCE_S)
        assert export_threads() == before

    assert [(exporter.got, exporter.closed) for exporter in healthy] == [([1.0], 1)] * 3


def test_what_was_handed_on_before_the_close_is_still_exported() -> None:
    healthy = Healthy()
    composite, _ = compose(healthy)

    composite.export(numbered(1))
    composite.close(PATIENCE_S)

    assert healthy.got == [1.0]


def test_a_thread_that_hangs_does_not_keep_the_process_and_ends_when_it_can() -> None:
    hanging = Hanging()
    composite, _ = compose(hanging)
    composite.export(numbered(1))
    assert hanging.begun.acquire(timeout=PATIENCE_S)
    composite.export(numbered(2))

    composite.close(within_s=0.01)

    [thread] = export_threads()
    assert thread.daemon
    hanging.go.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert (hanging.closed, hanging.got) == (1, [1.0]), "what waited was given up"
