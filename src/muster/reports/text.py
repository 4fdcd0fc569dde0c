"""A run on a terminal: a few lines that answer where it is, what went wrong, what is next."""

from __future__ import annotations

import math
from collections.abc import Sequence

from muster.model.gates import Boundary
from muster.model.limits import worded
from muster.model.running.state import RunState, TaskState
from muster.reports.views import crew_words, duration_ms, left_alone, parked, status_of, word_for

_BARS = "▁▂▃▄▅▆▇█"
_MARKS = {"done": "+", "failed": "x", "skipped": "-", "cancelled": "x", "queued": ".", "needs-input": "?"}


def sparkline(values: Sequence[float]) -> str:
    """Values as bars next to each other, the largest the highest; a gap for what is not a number.

    >>> sparkline([1, 4, math.nan, 8, 0])
    '▁▄ █▁'
    """
    top = max((value for value in values if value == value), default=0) or 1
    return "".join(_BARS[max(0, math.ceil(value / top * 8) - 1)] if value == value else " " for value in values)


def run_text(state: RunState, live: bool) -> str:
    """The whole view."""
    accepted = state.accepted
    took = duration_ms(state.started_at, state.ended_at or state.last_at) or 0
    branch = accepted.target.removeprefix("refs/heads/") or "detached HEAD"
    lines = [
        f"{accepted.title or accepted.slug}",
        f"run     {state.run}  {status_of(state, live)}  {took / 1000:.1f}s",
        f"base    {accepted.base[:9]} on {branch}; gates {accepted.policy.autonomy.value}",
    ]
    if crew := crew_words(state):
        lines.append(f"agents  {crew}")
    if state.main_commit:
        lines.append(f"merged  {state.main_commit[:9]} into {branch}")
    why = state.reason or left_alone(state.main_blocked)
    if why:
        lines.append(f"reason  {why}")
    for limit in state.limits:
        used, held = state.ledger.spent().of(limit.unit), state.ledger.committed().of(limit.unit)
        aside = f", {worded(limit.unit, held - used)} set aside" if held > used else ""
        lines.append(f"budget  {worded(limit.unit, used)} used{aside}, of {limit.words}")
    if state.limits and state.ledger.unpriced:
        lines.append(f"        no price is known for {state.ledger.unpriced} attempt(s); they count as was set aside")
    lines += [f"waits   for {one.last.agent} until {one.retry_at:%Y-%m-%d %H:%M} UTC" for one in parked(state)]
    if state.main_hint:
        lines.append(f"try     {state.main_hint}")
    width = min(max((12, *map(len, state.tasks))), 30)
    for number, wave in enumerate(state.waves, start=1):
        lines += ["", f"wave {number}"]
        for name in wave:
            lines += _task_lines(state.tasks[name], width)
    if not state.ended:
        for gate in state.waiting_gates:
            question = gate.asked.question if gate.asked is not None else gate.boundary.value
            lines += ["", f"? {question}", *answers(gate.id, gate.boundary)]
    return "\n".join(lines)


def answers(gate: str, boundary: Boundary) -> list[str]:
    """What to look at before a gate is answered, and the commands that do, each on a line that fits a terminal."""
    look = [f"  muster diff {gate.partition('.')[0]}"] if boundary is Boundary.MAIN_MERGE else []
    return [*look, f"  muster approve {gate}", f"  muster deny {gate} -m WHY"]


def next_step(state: RunState) -> str:
    """What to type next when nobody drives the run; empty when a question says it, or nothing is left to do."""
    if not state.ended:
        return "" if state.waiting_gates else f"muster continue {state.run}"
    if state.state != "complete":
        return f"muster continue {state.run}"
    if state.main_commit and not state.undone:
        return f"git log --graph --oneline -15, or muster undo {state.run}"
    if not state.accepted.target and state.changed:
        return f"git switch -c NAME refs/muster/{state.run}/integration"
    return ""


def _task_lines(entry: TaskState, width: int) -> list[str]:
    word = word_for(entry)
    title = entry.task.title if entry.task.title != entry.task.id else ""
    tries = f" ({len(entry.attempts)} attempts)" if len(entry.attempts) > 1 else ""
    lines = [f"  {_MARKS.get(word, '>')} {entry.task.id:<{width}} {word}{tries}  {title}".rstrip()]
    if entry.reason and word != "done" and not _said_by_last(entry):
        lines.append(f"      {entry.reason.splitlines()[0]}")
    for attempt in entry.attempts:
        if attempt.failure is not None:
            first = (attempt.failure.message.strip().splitlines() or [""])[0]
            lines.append(f"      attempt {attempt.number}: {attempt.failure.cause.value}: {first[:140]}")
    return lines


def _said_by_last(entry: TaskState) -> bool:
    failure = entry.attempts[-1].failure if entry.attempts else None
    return failure is not None and failure.message == entry.reason
