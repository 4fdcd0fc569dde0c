"""One line of text for each thing that happens in a run, for people who watch."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import assert_never

from muster.model.attempts import Cause
from muster.model.journal import events as ev
from muster.model.planning.waves import waves as in_waves
from muster.model.quantities import counted
from muster.model.running.retry import is_parked
from muster.model.running.state import RunState
from muster.reports.views import crew_words, left_alone


class Narrator:
    """Words entries as lines; remembers when attempts began, to say how long they took."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._merged: set[str] = set()
        self._noticed: set[tuple[str, str]] = set()
        self._agents = defaultdict[str, str](lambda: "its provider")

    def line(self, event: ev.Event, at: datetime) -> str:
        """The line for an event; empty when people need not be told."""
        match event:
            case ev.TaskQueued():
                return f"wave {event.wave}: {_some(event.tasks)}"
            case ev.AttemptStarted():
                self._since[event.task] = at
                self._agents[event.task] = event.agent
                again = f" again (attempt {event.attempt})" if event.attempt > 1 else ""
                return f"  > {event.task} started{again}"
            case ev.AttemptEnded():
                if event.outcome.ok:
                    return ""
                failure = event.outcome.failure
                why = failure.message if failure is not None else event.outcome.ending.value
                return f"  ! {event.task} attempt {event.attempt}: {_first_line(why)}"
            case ev.TaskAudited():
                if event.ok or event.failure is None:
                    return ""
                return f"  ! {event.task} attempt {event.attempt} not accepted: {_first_line(event.failure.message)}"
            case ev.TaskMergeFailed():
                return f"  ! {event.task} attempt {event.attempt} not merged: {_first_line(event.failure.message)}"
            case ev.TaskMerged():
                self._merged.add(event.task)
                return f"  + {event.task} merged as {event.commit[:9]}{self._took(event.task, at)}"
            case ev.TaskSucceeded():
                merged = event.task in self._merged
                return "" if merged else f"  + {event.task} done{self._took(event.task, at)}, nothing to merge"
            case ev.RetryScheduled() if is_parked(event.failure):
                return f"  ~ {event.task} waits for {self._agents[event.task]} until {event.due:%Y-%m-%d %H:%M} UTC"
            case ev.RetryScheduled():
                return f"  ~ {event.task} will be tried again" + _in(event.delay_ms)
            case ev.TaskFailed() if event.failure.cause is Cause.CANCELLED:
                return f"  x {event.task} cancelled: {_first_line(event.failure.message)}"
            case ev.TaskFailed():
                return f"  x {event.task} given up: {_first_line(event.failure.message)}"
            case ev.TaskSkipped():
                return f"  - {event.task} skipped: {event.reason}"
            case ev.WaveFinished():
                checks = len(event.receipts)
                proof = f", {counted(checks, 'check')} passed on the merged tree" if checks else ""
                return f"wave {event.wave} done{proof}" if event.ok else f"wave {event.wave} does not hold together"
            case ev.GateAsked():
                return question(event)
            case ev.GateAnswered():
                why = f": {event.why}" if event.why else ""
                return f"  {event.by} said {event.answer.value}{why}"
            case ev.AgentNoticed():
                known, count = (event.task, event.text), len(self._noticed)
                self._noticed.add(known)
                return f"  ~ {event.task}: {_first_line(event.text)}" if len(self._noticed) > count else ""
            case ev.WorkSalvaged():
                return f"  s {event.task}: unfinished work saved as {event.ref or event.kept}"
            case ev.ProcessSwept() if event.left:
                pids = ", ".join(map(str, event.left))
                return f"  ! {event.task}: process {pids} outlived SIGKILL; it goes when the system lets it"
            case ev.ProcessSwept():
                return f"  s {event.task}: {len(event.pids)} left-over process(es) ended"
            case ev.MainMerged():
                return f"merged into {event.target.removeprefix('refs/heads/')} as {event.commit[:9]}"
            case ev.MainMergeBlocked():
                branch = event.target.removeprefix("refs/heads/")
                hint = f"\n  {event.hint}" if event.hint else ""
                return f"! {branch} was left alone: {left_alone(event.reason)}{hint}"
            case ev.MainUndone():
                return f"{event.target.removeprefix('refs/heads/')} is back at {event.after[:9]}"
            case ev.RunStateChanged():
                return _run_state(event)
            case ev.RunResumed():
                return f"resumed after entry {event.from_seq}"
            case ev.TaskTold():
                return f"  ~ {event.task}: {event.by} said: {event.text[:60]}"
            case ev.CommandRefused():
                return f"! {event.kind} refused: {event.reason}"
            case ev.HeartbeatLevelChanged():
                return f"  ~ {event.task} is {event.after}: no sign of progress for {event.elapsed_ms // 1000}s"
            case ev.HeartbeatLost():
                return f"  ! {event.task} shows no life for {event.elapsed_ms // 1000}s and is ended"
            case ev.DeadLetterRequeued():
                return f"  ~ {event.task} was put back into the queue by {event.by}"
            case ev.DeadLetterDropped():
                return f"  - {event.task} was dropped by {event.by}{': ' if event.why else ''}{event.why}"
            case ev.BudgetExceeded():
                word = "nearly used up" if event.level == "warn" else "used up"
                return f"! the {event.scope}'s budget of {event.limit:g} {event.unit} is {word} ({event.spent:g} spent)"
            case ev.ReviewFinished():
                counts = ", ".join(f"{count} {name}" for name, count in event.counts.items() if count)
                return (
                    f"review: {event.verdict} ({counts or 'no findings'}), see .muster/projects/{event.slug}/review.md"
                )
            case (
                ev.RunCancelled()
                | ev.RunReleased()
                | ev.PlanAccepted()
                | ev.TaskPlanned()
                | ev.MainMergeStarted()
                | ev.PhaseStarted()
                | ev.PhaseFinished()
                | ev.GatePassed()
                | ev.AutonomyTransition()
                | ev.TaskCancelRequested()
                | ev.DeadLetterAdded()
                | ev.ConfigResolved()
                | ev.AgentUsed()
                | ev.AgentSaid()
                | ev.ToolCalled()
                | ev.BudgetLimitSet()
                | ev.BudgetReserved()
                | ev.BudgetSettled()
                | ev.PermissionAsked()
                | ev.SessionOpened()
                | ev.NotificationSent()
                | ev.ExportFailed()
                | ev.ReactionMatched()
                | ev.ReactionSkipped()
                | ev.UnknownEvent()
            ):
                return ""
            case _:
                assert_never(event)

    def _took(self, task: str, at: datetime) -> str:
        since = self._since.get(task)
        return f" after {(at - since).total_seconds():.1f}s" if since is not None else ""


def question(gate: ev.GateAsked) -> str:
    """What a person is asked, and as much of its id as answers it."""
    return f"? {gate.question}  [{gate.gate[-8:]}]"


def headline(state: RunState) -> str:
    """What is about to happen; with agents in it, on a second line by whom."""
    count, waves = len(state.tasks), len(state.waves or in_waves([entry.task for entry in state.tasks.values()]))
    size = f"{counted(count, 'task')} in {counted(waves, 'wave')}"
    crew = crew_words(state)
    return f"Run {state.run}: {size}, gates {state.policy.autonomy.value}" + (f"\nagents: {crew}" if crew else "")


def _run_state(event: ev.RunStateChanged) -> str:
    match event.state:
        case "cancel_requested":
            again = "; Ctrl-C again kills at once" if event.source == "signal" else ""
            return f"stopping ({event.source}){again}"
        case "complete" | "cancelled" | "error":
            word = {"complete": "complete", "cancelled": "cancelled", "error": "failed"}[event.state]
            why = f": {_first_line(event.reason)}" if event.reason else ""
            return f"run {word} in {(event.duration_ms or 0) / 1000:.1f}s{why}"
        case _:
            return ""


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"


def _in(delay_ms: int) -> str:
    return f" in {delay_ms / 1000:.1f}s" if delay_ms else ""


def _first_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return lines[0][:200] + (" …" if len(lines) > 1 or len(lines[0]) > 200 else "")
