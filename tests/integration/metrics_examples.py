"""Snapshots that the tests of exporters share."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from muster.model.views.metric_snapshot import Family, HistogramPoint, Labels, MetricsSnapshot, Point, Sketch

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAKEN = STARTED + timedelta(minutes=5)
BOUNDS = (1.0, 2.5, 1000.0)


def counter(name: str, *points: tuple[Labels, float], help: str = "How many.") -> Family:
    made = tuple(Point(labels=labels, value=value) for labels, value in points)
    return Family(name=name, kind="counter", help=help, points=made)


def histogram(name: str = "crew.task.duration_ms", labels: Labels = (("phase", "execute"),)) -> Family:
    """The values 0, 1, 2 and 3000, sketched at scale 0."""
    point = HistogramPoint(
        labels=labels,
        count=4,
        sum=3003.0,
        min=0.0,
        max=3000.0,
        bounds=BOUNDS,
        counts=(2, 1, 0, 1),
        sketch=Sketch(scale=0, zero_count=1, buckets={-1: 1, 0: 1, 11: 1}),
    )
    return Family(name=name, kind="histogram", help="How long.", unit="ms", histograms=(point,))


def snapshot(*families: Family, **resource: str) -> MetricsSnapshot:
    own = {name.replace("_", "."): value for name, value in resource.items()}
    return MetricsSnapshot(started=STARTED, taken=TAKEN, families=families, resource=own)


def everyday() -> MetricsSnapshot:
    """A counter, a gauge and a histogram, with labels that are told."""
    gauge = Family(name="crew.run.active", kind="gauge", help="Now.", points=(Point(labels=(), value=-1.5),))
    runs = counter("crew.run.count", ((("status", "complete"),), 3), ((("status", "error"),), 1))
    tokens = counter("crew.task.tokens_total", ((("kind", "input"), ("model", 'o"p\\u\ns')), 12345))
    return snapshot(gauge, runs, histogram(), tokens, service_name="muster")


def snapshots() -> st.SearchStrategy[MetricsSnapshot]:
    """Counters with any values of labels, of which no two are the same."""
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    points = st.dictionaries(st.tuples(text, text), st.floats(0, 1e12, allow_nan=False), max_size=5)

    def made(found: dict[tuple[str, str], float], help: str) -> MetricsSnapshot:
        labelled = [((("status", one), ("model", two)), value) for (one, two), value in found.items()]
        return snapshot(counter("crew.run.count", *labelled, help=help))

    return st.builds(made, points, text)
