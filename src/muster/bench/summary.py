"""What `muster summary` takes for a long log: time and memory of the whole program, as a process of its own."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from muster.model.attempts import Ending, Outcome, Usage
from muster.model.journal import events as ev
from muster.model.journal.entries import Draft
from muster.model.record import Record
from muster.process import run_now
from muster.stores.rules import encode_drafts, seal

ROUNDS = 3
RUN = "0" * 26
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
# The peak of a child that was forked from a large process would be that one's; VmHWM begins anew with the program.
CHILD = """\
import resource, sys, time
from pathlib import Path
from muster.cli.root import run_cli
code = run_cli(["summary", "--from", sys.argv[1], "--json", sys.argv[2]])
status = Path("/proc/self/status")
peak = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
print(code, time.process_time(), peak[0] if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


class Cost(Record, frozen=True):
    """Seconds of CPU and the most memory of some rounds, program start included."""

    what: str
    seconds: float
    median_seconds: float
    peak_mib: float


def measure(entries: int) -> list[Cost]:
    """Summarise a log as runs write it, and one in which every entry counts."""
    return [
        _measured(f"summary of {entries:,} entries", _story(), entries),
        _measured(f"summary of {entries:,} entries that all count", _decisions(), entries),
    ]


def _measured(what: str, story: list[ev.Event], entries: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        log, out = Path(folder, "log.jsonl"), Path(folder, "out.json")
        _write(log, story, entries)
        seconds, peaks = [], []
        for _ in range(ROUNDS):
            argv = [sys.executable, "-P", "-c", CHILD, str(log), str(out)]
            done = run_now(argv, cwd=folder, env=dict(os.environ), check=True)
            code, took_s, peak_kib = done.stdout.split()
            assert int(code) == 0
            assert msgspec.json.decode(out.read_bytes())["entries"] == entries
            seconds.append(float(took_s))
            peaks.append(int(peak_kib) / 1024)
    return Cost(what=what, seconds=min(seconds), median_seconds=statistics.median(seconds), peak_mib=max(peaks))


def _write(place: Path, story: list[ev.Event], entries: int) -> None:
    """The same run again and again, each time with another id."""
    drafts = [Draft(event=event, at=BEGIN + timedelta(seconds=at)) for at, event in enumerate(story)]
    sealed = seal(RUN, None, 1, drafts, encode_drafts(drafts))
    text = b"".join(msgspec.json.encode(entry) + b"\n" for entry in sealed)
    whole, rest = divmod(entries, len(story))
    with place.open("wb") as file:
        for number in range(whole):
            file.write(text.replace(RUN.encode(), b"%026d" % number))
        file.writelines(text.splitlines(keepends=True)[:rest])


def _state(word: str, duration_ms: int | None = None) -> ev.RunStateChanged:
    return ev.RunStateChanged(state=word, run_id=RUN, session_id=RUN, backend="claude", duration_ms=duration_ms)


def _story() -> list[ev.Event]:
    """A run of five tasks, most of it chatter."""
    usage = Usage(input=1200, cache_read=48_000, output=900, cost_usd=0.0421, cost_source="reported", model="opus")
    story: list[ev.Event] = [_state("start")]
    for task in ("T1", "T2", "T3", "T4", "T5"):
        story.append(ev.AttemptStarted(task=task, attempt=1, base="d" * 40, agent="claude", model="opus"))
        for at in range(8):
            story.append(ev.AgentSaid(task=task, attempt=1, text="I look at the tests first. " * 4))
            story.append(ev.ToolCalled(task=task, attempt=1, tool="Bash"))
            story.append(ev.AgentUsed(task=task, attempt=1, input=100 * at, output=10 * at, model="opus"))
        story.append(ev.AttemptEnded(task=task, attempt=1, outcome=Outcome(ending=Ending.OK, usage=usage)))
        story.append(ev.TaskAudited(task=task, attempt=1, ok=True, commit="d" * 40, tree="e" * 40))
        story.append(ev.TaskMerged(task=task, attempt=1, commit="f" * 40, tree="e" * 40, onto="d" * 40))
        story.append(ev.TaskSucceeded(task=task))
    return [*story, _state("complete", 84_000)]


def _decisions() -> list[ev.Event]:
    """A run that is cancelled, between decisions about messages."""
    return [
        _state("start"),
        ev.ReactionMatched(rule_name="fix-red-ci", channel="github", sender="ci"),
        ev.ReactionSkipped(reason="cooldown", candidate_count=1),
        ev.RunCancelled(source="stop-command", requested=BEGIN, acknowledged=BEGIN, latency_ms=310),
        _state("cancelled", 84_000),
    ]
