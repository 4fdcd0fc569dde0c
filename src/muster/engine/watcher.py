"""The watch over the attempts of one run: what changes in their signs of life, as events."""

from __future__ import annotations

from datetime import datetime

from muster.model.heartbeats import DEAD_TICKS, Finding, Heartbeat, Level, Memory, age_s, may_end, watch
from muster.model.ids import attempt_id
from muster.model.journal import events as ev
from muster.model.running.state import RunState, Station, TaskState
from muster.ports import Executor


class Watcher:
    """Remembers from tick to tick how each attempt was; what has ended is forgotten."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._memory: Memory = {}

    def look(self, state: RunState, now: datetime) -> tuple[ev.Event, ...]:
        """Look at all attempts that the executor is at; nothing is said of a run that has ended.

        An attempt that it does not know is one for which Muster itself is at work: its folder is prepared, or
        its work collected.
        """
        working = {} if state.ended else _working(state)
        known = {id: beat for id in working if (beat := self._executor.beat(id)) is not None}
        thresholds = state.policy.heartbeat
        self._memory, findings = watch(self._memory, known, thresholds, now)
        events: list[ev.Event] = []
        for one in findings:
            entry, beat = working[one.attempt], known[one.attempt]
            if one.before is not one.after:
                events.append(_changed(entry, beat, one, now))
            limits = {"stall_timeout_s": state.policy.stall_timeout_s, "grace_s": state.policy.grace_s}
            if one.dead_ticks >= DEAD_TICKS and entry.silence is None and may_end(beat, thresholds, now, **limits):
                events.append(
                    ev.HeartbeatLost(
                        task=entry.task.id,
                        attempt=entry.last.number,
                        ticks=one.dead_ticks,
                        elapsed_ms=_milliseconds(beat.last_seen, now),
                        evidence=beat.evidence,
                    )
                )
        return tuple(events)


def _working(state: RunState) -> dict[str, TaskState]:
    busy = [state.tasks[name] for name in state.busy]
    return {
        attempt_id(state.run, entry.task.id, entry.last.number): entry
        for entry in busy
        if entry.station is Station.WORKING
    }


def _changed(entry: TaskState, beat: Heartbeat, finding: Finding, now: datetime) -> ev.HeartbeatLevelChanged:
    quiet = finding.after is Level.WARN and beat.last_news
    return ev.HeartbeatLevelChanged(
        task=entry.task.id,
        attempt=entry.last.number,
        before=finding.before.value,
        after=finding.after.value,
        elapsed_ms=_milliseconds(beat.last_news if quiet else beat.last_seen, now),
        evidence=beat.evidence,
    )


def _milliseconds(seen: str, now: datetime) -> int:
    return max(0, round((age_s(seen, now) or 0.0) * 1000))
