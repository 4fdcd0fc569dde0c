"""What each event means for the metrics; the only place that says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from muster.model.attempts import Cause, Receipt, Usage
from muster.model.journal import events as ev
from muster.model.journal.entries import Entry
from muster.telemetry.catalogue import OUTCOMES, Catalogue

# What a metric's label says when the journal does not.
UNKNOWN = "unknown"
MILLISECOND = timedelta(milliseconds=1)


@dataclass
class _Task:
    """What is remembered of a task until it is closed."""

    started: datetime | None = None
    attempts: int = 0
    agent: str = UNKNOWN
    model: str = ""
    attempt_started: datetime | None = None
    agent_ms: int = 0
    silent_ms: int = 0


@dataclass
class _Run:
    """What is remembered of a run until it has ended."""

    profile: str = UNKNOWN
    workflow: str = "plan"
    phase: str = "execute"
    started: datetime | None = None
    tasks: defaultdict[str, _Task] = field(default_factory=lambda: defaultdict(_Task))
    gates: dict[str, tuple[str, datetime]] = field(default_factory=dict)


class Meter:
    """Folds entries into metrics, of one run as it happens or of all runs of a journal."""

    def __init__(self, metrics: Catalogue) -> None:
        self._metrics = metrics
        self._runs: defaultdict[str, _Run] = defaultdict(_Run)

    def on_entry(self, entry: Entry, event: ev.Event) -> None:
        """Take in one entry; entries of a run come in order."""
        self._count(entry.run, entry.at, event)

    def recall(self, entries: Iterable[Entry], scratch: Catalogue) -> None:
        """Learn what a run was about before this session; what happened then is not counted again."""
        metrics, self._metrics = self._metrics, scratch
        try:
            for entry in entries:
                self.on_entry(entry, entry.event)
        finally:
            self._metrics = metrics

    def _count(self, run_id: str, at: datetime, event: ev.Event) -> None:
        metrics, run = self._metrics, self._runs[run_id]
        match event:
            # First, since most entries are one of these.
            case ev.AgentUsed() | ev.AgentSaid() | ev.AgentNoticed() | ev.ToolCalled():
                pass
            case ev.RunStateChanged():
                self._run_state(run_id, run, at, event)
            case ev.RunCancelled():
                metrics.cancel_latency.observe(event.latency_ms)
            case ev.RunResumed():
                metrics.resumed.inc()
            case ev.PlanAccepted():
                run.profile = event.policy.profile
                run.workflow = event.workflow or run.workflow
            case ev.PhaseStarted():
                run.phase = event.phase
            case ev.GateAsked():
                run.gates[event.gate] = (event.boundary.value, at)
                metrics.mailbox.inc(direction="out")
            case ev.GateAnswered():
                metrics.mailbox.inc(direction="in")
                if event.gate in run.gates:
                    boundary, asked = run.gates.pop(event.gate)
                    metrics.gate_wait.observe((at - asked) / MILLISECOND, boundary=boundary)
            case ev.AttemptStarted():
                task = run.tasks[event.task]
                task.started = task.started or at
                task.attempts += 1
                task.attempt_started, task.agent_ms = at, 0
                task.agent, task.model = event.agent or "command", event.model
                metrics.attempts.inc(status="started")
            case ev.AttemptEnded():
                task = run.tasks[event.task]
                task.agent_ms, task.silent_ms = event.outcome.duration_ms, 0
                metrics.attempts.inc(status=event.outcome.ending.value)
                self._use(run, task, event.outcome.usage)
                self._settle_staleness()
            case ev.TaskAudited():
                task = run.tasks[event.task]
                if task.attempt_started is not None:
                    took_ms = (at - task.attempt_started) / MILLISECOND
                    metrics.overhead.observe(max(0.0, took_ms - task.agent_ms - _length(event.receipts)))
            case ev.RetryScheduled():
                metrics.retries.inc()
                metrics.retry_delay.observe(event.delay_ms)
            case ev.TaskSucceeded():
                self._close(run, event.task, at, "done")
            case ev.TaskFailed():
                cancelled = event.failure.cause is Cause.CANCELLED
                self._close(run, event.task, at, "cancelled" if cancelled else "failed")
            case ev.TaskSkipped():
                self._close(run, event.task, at, "skipped")
            case ev.DeadLetterAdded():
                metrics.dead_letters.inc(reason=event.reason)
            case ev.HeartbeatLevelChanged():
                run.tasks[event.task].silent_ms = 0 if event.after == "healthy" else event.elapsed_ms
                metrics.heartbeats.inc(level=event.after)
                if event.after == "dead":
                    metrics.dead.inc()
                self._settle_staleness()
            case (
                ev.TaskTold()
                | ev.TaskCancelRequested()
                | ev.CommandRefused()
                | ev.DeadLetterRequeued()
                | ev.DeadLetterDropped()
            ):
                metrics.mailbox.inc(direction="in")
            case ev.NotificationSent():
                metrics.mailbox.inc(direction="out")
            case ev.ExportFailed():
                metrics.exports_failed.inc(exporter=event.exporter)
            case ev.ReactionMatched():
                metrics.reactions.inc(result="match", reason="")
            case ev.ReactionSkipped():
                metrics.reactions.inc(result="skip", reason=event.reason)
            case (
                ev.RunReleased()
                | ev.TaskPlanned()
                | ev.PhaseFinished()
                | ev.GatePassed()
                | ev.AutonomyTransition()
                | ev.TaskQueued()
                | ev.TaskMerged()
                | ev.TaskMergeFailed()
                | ev.WaveFinished()
                | ev.WorkSalvaged()
                | ev.ProcessSwept()
                | ev.MainMergeStarted()
                | ev.MainMerged()
                | ev.MainMergeBlocked()
                | ev.MainUndone()
                | ev.ConfigResolved()
                | ev.PermissionAsked()
                | ev.SessionOpened()
                | ev.HeartbeatLost()
                | ev.ReviewFinished()
                | ev.BudgetReserved()
                | ev.BudgetSettled()
                | ev.BudgetExceeded()
                | ev.BudgetLimitSet()
                | ev.UnknownEvent()
            ):
                pass
            case _:
                assert_never(event)

    def _run_state(self, run_id: str, run: _Run, at: datetime, event: ev.RunStateChanged) -> None:
        metrics = self._metrics
        metrics.runs.inc(status=event.state)
        match event.state:
            case "start":
                run.started = at
            case "cancel_requested":
                metrics.mailbox.inc(direction="in")
            case "complete" | "cancelled" | "error":
                metrics.run_outcomes.inc(outcome=OUTCOMES[event.state])
                took_ms = event.duration_ms
                if took_ms is None:
                    took_ms = (at - (run.started or at)) // MILLISECOND
                metrics.run_duration.observe(took_ms, workflow=run.workflow)
                del self._runs[run_id]
                self._settle_staleness()
            case _:
                pass

    def _use(self, run: _Run, task: _Task, usage: Usage) -> None:
        metrics, model = self._metrics, usage.model or task.model or UNKNOWN
        for kind in ("input", "cache_read", "cache_write", "output", "reasoning"):
            if tokens := getattr(usage, kind):
                metrics.tokens.inc(tokens, kind=kind, model=model)
        if usage.cost_usd:
            metrics.cost.inc(usage.cost_usd, profile=run.profile, phase=run.phase, model=model)

    def _close(self, run: _Run, name: str, at: datetime, status: str) -> None:
        task = run.tasks.pop(name, _Task())
        self._metrics.tasks.inc(status=status)
        if task.started is not None:
            took_ms = (at - task.started) / MILLISECOND
            self._metrics.task_duration.observe(took_ms, phase=run.phase, agent=task.agent)
            self._metrics.retry_count.observe(task.attempts - 1)

    def _settle_staleness(self) -> None:
        silent = (task.silent_ms for run in self._runs.values() for task in run.tasks.values())
        self._metrics.staleness.set(max(silent, default=0))


def _length(receipts: Iterable[Receipt]) -> int:
    return sum(receipt.duration_ms for receipt in receipts)
