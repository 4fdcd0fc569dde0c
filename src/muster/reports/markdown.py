"""A run's report: what was wanted, what happened, what was proven, in Markdown for people."""

from __future__ import annotations

from collections.abc import Iterable

from muster.model.attempts import Receipt
from muster.model.gates import Answer
from muster.model.running.state import RunState, TaskState, TaskStatus
from muster.reports.views import crew_words, duration_ms, status_of, word_for

_SAID = {Answer.APPROVE: "approved", Answer.DENY: "denied"}


def report(state: RunState) -> str:
    """The whole report; the same state gives the same text."""
    accepted = state.accepted
    lines = [
        f"# {accepted.title or accepted.slug}",
        "",
        f"Run `{state.run}`: **{status_of(state, live=False)}**"
        + (f", {state.reason}." if state.reason else ".")
        + _length(duration_ms(state.started_at, state.ended_at or state.last_at)),
        "",
        f"- plan: `{accepted.source or accepted.slug}` (sha256 `{accepted.plan_sha256[:12]}`)",
        f"- base: `{accepted.base[:12]}` on `{accepted.target.removeprefix('refs/heads/') or 'a detached HEAD'}`",
        f"- result: `refs/muster/{state.run}/integration` at `{state.integration[:12]}`"
        + (f", merged as `{state.main_commit[:12]}`" if state.main_commit else ", not merged"),
        f"- gates: {accepted.policy.autonomy.value}" + _resumed(state.epoch),
        *([f"- agents: {crew}"] if (crew := crew_words(state)) else []),
        "",
    ]
    for number, wave in enumerate(state.waves, start=1):
        lines += [f"## Wave {number}", "", "| task | state | attempts | merged work | proof |", "|---|---|---|---|---|"]
        lines += [_task_row(state.tasks[name]) for name in wave]
        lines.append("")
    lines += _troubles(state)
    lines += _gates(state)
    return "\n".join(lines).rstrip() + "\n"


def _task_row(entry: TaskState) -> str:
    attempt = entry.attempts[-1] if entry.attempts else None
    work = f"`{attempt.commit[:9]}`" if attempt is not None and attempt.changed else "—"
    proven = attempt is not None and entry.status is TaskStatus.DONE
    proof = (_proof(attempt.receipts) or "paths") if attempt is not None and proven else "—"
    title = f" {_cell(entry.task.title)}" if entry.task.title and entry.task.title != entry.task.id else ""
    return f"| **{entry.task.id}**{title} | {word_for(entry)} | {len(entry.attempts)} | {work} | {proof} |"


def _proof(receipts: Iterable[Receipt]) -> str:
    seen = {receipt.command: receipt for receipt in receipts}
    shown = [f"`{_cell(command)}` exit {receipt.exit_code}" for command, receipt in seen.items()]
    return "; ".join(shown)


def _troubles(state: RunState) -> list[str]:
    lines: list[str] = []
    for entry in state.tasks.values():
        for attempt in entry.attempts:
            if attempt.failure is not None:
                first = (attempt.failure.message.strip().splitlines() or [""])[0]
                lines.append(f"- {entry.task.id}, attempt {attempt.number}: {attempt.failure.cause.value} — {first}")
        if entry.status.closed and not entry.attempts and entry.reason:
            lines.append(f"- {entry.task.id}: {entry.reason}")
    return ["## What went wrong on the way", "", *lines, ""] if lines else []


def _gates(state: RunState) -> list[str]:
    lines: list[str] = []
    open_ = "not answered" if state.ended else "waiting"
    for gate in state.gates.values():
        question = gate.asked.question if gate.asked is not None else gate.boundary.value
        said = gate.answered
        answer = f"{_SAID[said.answer]} by {said.by}" + (f" ({said.why})" if said.why else "") if said else open_
        lines.append(f"- {question} — {answer}")
    return ["## Decisions", "", *lines, ""] if lines else []


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _resumed(times: int) -> str:
    return "" if not times else "; resumed once" if times == 1 else f"; resumed {times} times"


def _length(milliseconds: int | None) -> str:
    return f" It took {milliseconds / 1000:.1f} s." if milliseconds is not None else ""
