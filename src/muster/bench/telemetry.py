"""What measuring costs: one count, one observation, one snapshot, one event, beside two established libraries."""

from __future__ import annotations

import math
import statistics
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from muster.bench import journal, summary
from muster.clock import SystemClock
from muster.model.attempts import Ending, Outcome, Usage
from muster.model.errors import EnvironmentProblem
from muster.model.journal.entries import decode_event, encode_event
from muster.model.journal.task_events import AttemptEnded
from muster.model.record import Record
from muster.model.redaction import Redactor
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.telemetry.composite import CompositeExporter
from muster.telemetry.metrics import Counter, Gauge, Histogram
from muster.telemetry.registry import Registry

Call = Callable[[], Any]
LABELS = ("status", "agent")
ROUNDS, THREADS = 9, 4
EVENT_BYTES = 246


class Figure(Record, frozen=True):
    """One cost beside its budget; ``others`` are the same thing in other libraries. Best and median of some rounds."""

    what: str
    unit: str
    budget: float
    best: float
    median: float
    others: dict[str, float] = {}


def measure(calls: int, entries: int) -> Iterator[Figure]:
    """Take every figure with so many calls a round, and summaries of logs of so many entries."""
    registry = Registry(SystemClock())
    known = dict.fromkeys(LABELS, ())
    counter = registry.counter("crew.bench.count", "A counter.", known)
    histogram = registry.histogram("crew.bench.duration_ms", "A histogram.", known)
    others = [library for kind in (_Prometheus, _OpenTelemetry) if (library := _library(kind)) is not None]

    def beside(name: str) -> dict[str, Call]:
        return {library.name: call for library in others if (call := library.calls.get(name)) is not None}

    own: dict[str, Call] = {
        "inc": lambda: counter.inc(status="done", agent="claude"),
        "inc bound": counter.labels(status="done", agent="claude").inc,
        "observe": lambda: histogram.observe(123.4, status="done", agent="claude"),
        "observe bound": partial(histogram.labels(status="done", agent="claude").observe, 123.4),
    }
    for name, call in own.items():
        budget = 1.0 if name.startswith("inc") else 1.5
        yield _figure(name, "us", budget, call, beside(name), calls)
        yield _figure(f"{name}, {THREADS} threads", "us", budget, call, beside(name), calls, threads=THREADS)
    yield _snapshot("counters, all changed", _hundred(_counters), beside("snapshot"))
    yield _snapshot("as in the catalogue, all changed", _hundred(_mixed), {})
    yield _snapshot("histograms, all changed", _hundred(_histograms), {})
    yield _snapshot("as in the catalogue, unchanged", (_hundred(_mixed)[0], lambda: None), {})
    event = _event()
    data = encode_event(event)
    yield _figure(f"encode an event of {len(data)} bytes", "us", 0.5, lambda: encode_event(event), {}, calls)
    yield _figure("decode and validate it", "us", 1.0, lambda: decode_event(event.type, data), {}, calls)
    for append in journal.measure():
        yield Figure(what=append.what, unit="us", budget=50.0, best=append.best, median=append.median)
    for name, values in samples(20_000).items():
        worst = _worst_error(values)
        yield Figure(what=f"error of p50, p95, p99: {name}", unit="%", budget=1.2, best=worst, median=worst)
    yield _isolation(_hundred(_counters)[0])
    for cost in summary.measure(entries):
        yield Figure(what=cost.what, unit="s", budget=2.0, best=cost.seconds, median=cost.median_seconds)
        yield Figure(what=cost.what, unit="MiB", budget=64.0, best=cost.peak_mib, median=cost.peak_mib)


def samples(count: int) -> dict[str, list[float]]:
    """Values of three shapes, the same in each call."""
    random = Random("sketch")
    return {
        "lognormal": [random.lognormvariate(6, 1.5) for _ in range(count)],
        "bimodal": [random.gauss(20, 3) if random.random() < 0.7 else random.gauss(4000, 300) for _ in range(count)],
        "constant": [250.0] * count,
    }


def _isolation(registry: Registry) -> Figure:
    """What handing a snapshot to three exporters costs the caller, of which one hangs and one fails each time."""
    let_go, arrived, snapshot = threading.Event(), threading.Semaphore(0), registry.snapshot()
    exporters = [_Sink("hangs", let_go.wait), _Sink("fails", lambda: 1 / 0), _Sink("healthy", arrived.release)]
    composite = CompositeExporter(exporters, time.monotonic, lambda _: None, Redactor())
    times = []
    for _ in range(ROUNDS * 10):
        begun = time.perf_counter()
        composite.export(snapshot)
        times.append((time.perf_counter() - begun) * 1e6)
        if not arrived.acquire(timeout=10):
            raise EnvironmentProblem("A healthy exporter did not get what was handed to it.")
    let_go.set()
    composite.close()
    return Figure(
        what="export beside one that hangs and one that fails",
        unit="us",
        budget=200,
        best=min(times),
        median=statistics.median(times),
    )


class _Sink:
    """An exporter that does one thing with whatever it gets."""

    def __init__(self, name: str, act: Call) -> None:
        self.name, self._act = name, act

    def export(self, snapshot: MetricsSnapshot) -> None:
        self._act()

    def close(self) -> None:
        """Nothing is kept open."""


def _worst_error(values: list[float]) -> float:
    """The largest relative error in percent, against the value of that rank."""
    histogram = Registry(SystemClock()).histogram("crew.bench.error_ms", "Errors.")
    for value in values:
        histogram.observe(value)
    ranked, worst = sorted(values), 0.0
    for q in (0.5, 0.95, 0.99):
        exact = ranked[math.ceil(q * len(ranked)) - 1]
        worst = max(worst, abs(histogram.quantile({}, q) - exact) / exact * 100)
    return worst


def _figure(
    what: str, unit: str, budget: float, call: Call, others: dict[str, Call], calls: int, threads: int = 1
) -> Figure:
    rounds = [_time(call, calls, threads) for _ in range(ROUNDS)]
    beside = {name: min(_time(other, calls, threads) for _ in range(3)) for name, other in others.items()}
    return Figure(
        what=what, unit=unit, budget=budget, best=min(rounds), median=statistics.median(rounds), others=beside
    )


def _time(call: Call, calls: int, threads: int) -> float:
    """Microseconds of CPU that one call takes, so that what else the machine does counts less."""
    each = calls // threads
    timer = timeit.Timer("call()", globals={"call": call})
    crew = [threading.Thread(target=timer.timeit, args=(each,)) for _ in range(threads)]
    begun = time.process_time()
    if threads == 1:
        timer.timeit(each)
    else:
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    return (time.process_time() - begun) * 1e6 / (each * threads)


def _snapshot(what: str, kit: tuple[Registry, Call], others: dict[str, Call]) -> Figure:
    registry, touch = kit
    registry.snapshot()
    times = []
    for _ in range(ROUNDS * 3):
        touch()
        begun = time.process_time()
        registry.snapshot()
        times.append((time.process_time() - begun) * 1000)
    beside = {name: min(_time(other, 1, 1) for _ in range(5)) / 1000 for name, other in others.items()}
    return Figure(
        what=f"snapshot 100 x 10: {what}",
        unit="ms",
        budget=1.0,
        best=min(times),
        median=statistics.median(times),
        others=beside,
    )


def _hundred(make: Callable[[Registry, int], Counter | Gauge | Histogram]) -> tuple[Registry, Call]:
    """A hundred metrics of ten series each, and a call that changes every one of them."""
    registry = Registry(SystemClock())
    metrics = [make(registry, number) for number in range(100)]
    count = iter(range(1_000_000))

    def touch() -> None:
        value = next(count)
        for metric in metrics:
            for agent in range(10):
                if isinstance(metric, Counter):
                    metric.inc(status="done", agent=str(agent))
                elif isinstance(metric, Gauge):
                    metric.set(value, status="done", agent=str(agent))
                else:
                    metric.observe(1.5 ** (value % 20), status="done", agent=str(agent))

    for _ in range(20):
        touch()
    return registry, touch


def _name(number: int) -> str:
    return f"crew.bench.{chr(97 + number // 26)}{chr(97 + number % 26)}"


def _counters(registry: Registry, number: int) -> Counter:
    return registry.counter(_name(number), "One of a hundred.", dict.fromkeys(LABELS, ()))


def _histograms(registry: Registry, number: int) -> Histogram:
    return registry.histogram(_name(number), "One of a hundred.", dict.fromkeys(LABELS, ()))


def _mixed(registry: Registry, number: int) -> Counter | Gauge | Histogram:
    """Two thirds counters, as with the metrics that Muster has."""
    if number % 3:
        return _counters(registry, number)
    if number % 2:
        return _histograms(registry, number)
    return registry.gauge(_name(number), "One of a hundred.", dict.fromkeys(LABELS, ()))


def _event() -> AttemptEnded:
    usage = Usage(input=1200, cache_read=48_000, output=900, cost_usd=0.0421, cost_source="agent", model="sonnet")
    event = AttemptEnded(task="T1", attempt=1, outcome=Outcome(ending=Ending.OK, usage=usage, duration_ms=5120))
    missing = EVENT_BYTES - len(encode_event(event)) - len(',"session":""')
    session = "s" * missing
    return AttemptEnded(
        task="T1", attempt=1, outcome=Outcome(ending=Ending.OK, usage=usage, duration_ms=5120, session=session)
    )


class _Prometheus:
    """prometheus_client, with a registry of its own."""

    name = "prometheus_client"

    def __init__(self) -> None:
        import prometheus_client as client

        registry = client.CollectorRegistry()
        counter = client.Counter("bench_count", "A counter.", LABELS, registry=registry)
        histogram = client.Histogram("bench_ms", "A histogram.", LABELS, registry=registry)
        many = client.CollectorRegistry()
        for number in range(100):
            one = client.Counter(f"bench_{number}", "One of a hundred.", LABELS, registry=many)
            for agent in range(10):
                one.labels("done", str(agent)).inc()
        self.calls: dict[str, Call] = {
            "inc": lambda: counter.labels("done", "claude").inc(),
            "inc bound": counter.labels("done", "claude").inc,
            "observe": lambda: histogram.labels("done", "claude").observe(123.4),
            "observe bound": partial(histogram.labels("done", "claude").observe, 123.4),
            "snapshot": lambda: [list(family.samples) for family in many.collect()],
        }


class _OpenTelemetry:
    """The OpenTelemetry SDK with its default views, read in memory."""

    name = "OTel SDK"

    def __init__(self) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
        counter, histogram = meter.create_counter("bench.count"), meter.create_histogram("bench.ms")
        reader = InMemoryMetricReader()
        many = MeterProvider([reader]).get_meter("bench")
        for number in range(100):
            one = many.create_counter(f"bench.{number}")
            for agent in range(10):
                one.add(1, {"status": "done", "agent": str(agent)})
        self.calls: dict[str, Call] = {
            "inc": lambda: counter.add(1, {"status": "done", "agent": "claude"}),
            "observe": lambda: histogram.record(123.4, {"status": "done", "agent": "claude"}),
            "snapshot": reader.get_metrics_data,
        }


def _library(kind: type[_Prometheus] | type[_OpenTelemetry]) -> _Prometheus | _OpenTelemetry | None:
    """The library, where it is installed."""
    with suppress(ImportError):
        return kind()
    return None
