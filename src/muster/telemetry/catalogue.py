"""Every metric that Muster has, under its stable name."""

from __future__ import annotations

from muster.model.gates import Boundary
from muster.telemetry.registry import Registry

SECOND, MINUTE, HOUR = 1000.0, 60_000.0, 3_600_000.0
# Tasks, runs and answers of people take from a second to a working day.
WIDE_MS = (
    *(SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND),
    *(MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR),
)
RETRIES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0)

RUN_STATES = ("start", "complete", "cancel_requested", "cancelled", "error")
OUTCOMES = {"complete": "completed", "cancelled": "cancelled", "error": "errored"}
ENDINGS = ("started", "ok", "error", "cancelled", "timeout", "stalled", "incomplete", "interrupted")
LEVELS = ("healthy", "warn", "stale", "dead")
REASONS = ("max-retries", "crash-loop", "heartbeat-dead", "manual")
BOUNDARIES = tuple(boundary.value for boundary in Boundary)
# Not known beforehand.
ANY: tuple[str, ...] = ()


class Catalogue:
    """The metrics of a session, by the name that the code uses."""

    def __init__(self, registry: Registry) -> None:
        counter, gauge, histogram = registry.counter, registry.gauge, registry.histogram
        self.runs = counter("crew.run.count", "Runs that reached a state.", {"status": RUN_STATES})
        self.run_outcomes = counter("crew.run.state", "Runs that ended.", {"outcome": tuple(OUTCOMES.values())})
        self.run_duration = histogram(
            "crew.run.duration_ms", "From the start of a run to its end.", {"workflow": ANY}, bounds=WIDE_MS
        )
        self.resumed = counter("crew.run.resumed", "Runs that were taken over by a new owner.")
        self.cancel_latency = histogram(
            "crew.run.cancel_latency_ms", "From the request to stop a run to no process left."
        )
        self.tasks = counter(
            "crew.task.count", "Tasks that were closed.", {"status": ("done", "failed", "cancelled", "skipped")}
        )
        self.task_duration = histogram(
            "crew.task.duration_ms",
            "From the start of a task's first attempt to its closing.",
            {"phase": ANY, "agent": ANY},
            bounds=WIDE_MS,
        )
        self.tokens = counter(
            "crew.task.tokens_total",
            "Tokens that attempts used; input is what no cache gave or took.",
            {"kind": ANY, "model": ANY},
        )
        self.cost = counter(
            "crew.task.cost_usd",
            "Money that attempts cost, where the price is known.",
            {"profile": ANY, "phase": ANY, "model": ANY},
        )
        self.retries = counter("crew.task.retry_attempt", "Attempts that were scheduled after a failed one.")
        self.retry_delay = histogram("crew.task.retry_delay_ms", "Wait before an attempt that follows a failed one.")
        self.retry_count = histogram(
            "crew.task.retry_count", "Attempts after the first of tasks that were closed.", bounds=RETRIES
        )
        self.dead_letters = counter(
            "crew.task.deadletter_total", "Tasks that were given up and kept.", {"reason": REASONS}
        )
        self.attempts = counter(
            "crew.subagent.count", "Attempts that were started, and how they ended.", {"status": ENDINGS}
        )
        self.heartbeats = counter(
            "crew.heartbeat.level_total", "Heartbeats that came to a level from another.", {"level": LEVELS}
        )
        self.dead = counter("crew.heartbeat.dead_total", "Heartbeats that were found dead.")
        self.staleness = gauge(
            "crew.heartbeat.staleness_ms",
            "Silence of the quietest attempt that is running, when its level last changed.",
        )
        self.mailbox = counter(
            "crew.mailbox.count",
            "Messages from people (in: answers, stops, requests) and to them (out: questions, notifications).",
            {"direction": ("in", "out")},
        )
        self.gate_wait = histogram(
            "crew.gate.wait_ms", "From a question to its answer.", {"boundary": BOUNDARIES}, bounds=WIDE_MS
        )
        self.reactions = counter(
            "crew.reaction.decision",
            "Messages and events that a rule matched, or why none was carried out.",
            {"result": ANY, "reason": ANY},
        )
        self.overhead = histogram(
            "crew.engine.overhead_ms",
            "From an attempt's start to its audit, less the time of the agent and of verify commands.",
        )
        self.exports_failed = counter(
            "crew.export.failed", "Exports that did not arrive at their destination.", {"exporter": ANY}
        )
