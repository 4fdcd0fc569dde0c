"""What every exporter promises, against a real destination."""

from __future__ import annotations

from abc import abstractmethod

from muster.model.journal.events import ExportFailed
from muster.model.redaction import Redactor
from muster.model.views.metric_snapshot import Labels, MetricsSnapshot
from muster.ports import Exporter
from muster.telemetry.composite import CompositeExporter
from tests.integration.metrics_examples import counter, everyday, snapshot

CANARY = "canary-5ecret-value"

Read = dict[tuple[str, Labels], float]


def export(exporter: Exporter, told: MetricsSnapshot) -> list[ExportFailed]:
    """Hand it over as a session does; returns what failed."""
    failures: list[ExportFailed] = []
    composite = CompositeExporter([exporter], lambda: 0.0, failures.append, Redactor([CANARY]))
    composite.export(told)
    composite.close(within_s=30)
    return failures


class ExporterContract:
    """Subclass it and give an exporter, what its destination got, and one whose destination is dead."""

    @abstractmethod
    def exporter(self) -> Exporter: ...

    @abstractmethod
    def dead(self) -> Exporter:
        """An exporter whose destination cannot be reached."""

    @abstractmethod
    def received(self) -> Read:
        """Counters and gauges as the destination read them, by Muster's name with underscores."""

    @abstractmethod
    def raw(self) -> bytes:
        """Every byte that the destination got."""

    def test_a_session_without_metrics_can_be_exported(self) -> None:
        assert export(self.exporter(), snapshot()) == []

        assert self.received() == {}

    def test_the_latest_values_arrive(self) -> None:
        exporter = self.exporter()
        assert export(exporter, snapshot(counter("crew.run.count", ((), 1)))) == []

        assert export(exporter, everyday()) == []

        read = self.received()
        assert read["crew_run_active", ()] == -1.5
        assert read["crew_run_count", (("status", "complete"),)] == 3
        assert read["crew_task_tokens_total", (("kind", "input"), ("model", 'o"p\\u\ns'))] == 12345

    def test_no_secret_leaves_and_the_metric_stays(self) -> None:
        labels: Labels = (("auth_token", "abc-def"), ("model", f"x {CANARY}"), ("kind", "ghp_" + "a1B2" * 9))
        told = snapshot(counter("crew.run.count", (labels, 7)), service_name=CANARY, host_name="secret-host")

        assert export(self.exporter(), told) == []

        assert self.received() == {
            ("crew_run_count", (("auth_token", "***"), ("kind", "***"), ("model", "x ***"))): 7.0
        }
        for secret in ("abc-def", CANARY, "a1B2a1B2", "secret-host"):
            assert secret.encode() not in self.raw()

    def test_a_label_that_nobody_allowed_keeps_its_name_and_loses_its_value(self) -> None:
        points = (((("path", "/a"), ("status", "ok")), 2.0), ((("path", "/b"), ("status", "ok")), 3.0))

        assert export(self.exporter(), snapshot(counter("crew.run.count", *points))) == []

        assert self.received() == {("crew_run_count", (("path", "***"), ("status", "ok"))): 5.0}

    def test_a_dead_destination_is_told_and_nothing_is_raised(self) -> None:
        exporter = self.dead()

        [failure] = export(exporter, everyday())

        assert (failure.exporter, failure.failures) == (exporter.name, 1)
        assert failure.reason

    def test_it_can_be_closed_twice(self) -> None:
        exporter = self.exporter()

        exporter.close()
        exporter.close()
