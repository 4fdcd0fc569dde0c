"""Killing the orchestrator at every append of the demo run, and what is left of it after ``muster continue``."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from muster.engine.journal import load
from muster.model.attempts import Cause
from muster.model.journal.entries import first_broken
from muster.model.journal.events import AttemptStarted
from muster.model.record import Record
from muster.process import Completed, list_marked, run
from muster.stores.sqlite.store import SqliteStore
from muster.testing import demo_project

TIMEOUT_S = 120.0


class Point(Record, frozen=True):
    """One place to kill at: the number of the append, from 1, whether before or after it is durable, and whom to kill.

    ``who`` is orchestrator, agents (all that it has started), or both.
    """

    append: int
    when: str
    who: str = "orchestrator"

    @property
    def fault(self) -> str:
        """The same in the words of `muster.testing.faults`."""
        agents = f"agents@{self.append}" if self.who != "orchestrator" else ""
        us = f"kill@{self.append}:{self.when}" if self.who != "agents" else ""
        return ",".join(word for word in (agents, us) if word) if self.append else "count"


class Verdict(Record, frozen=True):
    """What one killed and continued run came to; ``problems`` is empty when all promises were kept."""

    point: Point
    problems: tuple[str, ...]
    killed: bool
    interrupted: int = 0


class Site:
    """A demo repository in a folder of its own whose tasks write down each of their starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "repository"
        self.starts = folder / "starts"
        self._python = (sys.executable, "-m")

    async def make(self) -> None:
        """Make the repository and a plan whose tasks leave a trace outside of git."""
        self.repository.mkdir()
        plan = await demo_project.make(self.repository)
        trace = f'echo "$MUSTER_ATTEMPT" >> {self.starts}'
        text = plan.read_text(encoding="utf-8")
        text = text.replace("\nrun: python3", f"\nrun: {trace}; python3").replace("run: |\n", f"run: |\n  {trace}\n")
        text = text.replace("prompt: |\n", f"prompt: |\n  - run: '{trace}'\n")
        # An agent that was killed is tried again here, and as often as its task may be killed on the way.
        text = re.sub(r"^attempts: \d\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^(id: .*\n)", r"\1attempts: 6\n", text, flags=re.MULTILINE)
        plan.write_text(text, encoding="utf-8")
        settings = self.repository / "muster.toml"
        settings.write_text('[reliability]\nretryable = ["crash"]\nbackoff_ms = 100\n', encoding="utf-8")

    async def muster(self, *args: str, at: Point | None = None) -> Completed:
        """Run a command of Muster in the repository, killed at a point if one is given."""
        start = ("muster.testing.faults", at.fault) if at is not None else ("muster",)
        command = [*self._python, *start, *args]
        env = {**os.environ, "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "MUSTER_PROFILE": ""}
        return await run(command, cwd=self.repository, env=env, timeout_s=TIMEOUT_S)

    async def start(self, at: Point | None = None) -> Completed:
        """Run the plan; nobody is asked."""
        return await self.muster("run", "--plan", "plan.md", "--gates", "open", "-q", at=at)

    async def tree(self) -> str:
        """The tree of the user's branch."""
        return (await demo_project.git(self.repository, "rev-parse", "main^{tree}")).strip()


async def reference() -> tuple[str, int]:
    """The tree that an undisturbed run ends with, and how many appends it takes."""
    with tempfile.TemporaryDirectory(prefix="muster-crash-", ignore_cleanup_errors=True) as folder:
        site = Site(Path(folder))
        await site.make()
        done = await site.start(at=Point(append=0, when="never"))
        if done.code:
            raise RuntimeError(f"the undisturbed run failed: {done.stderr.decode(errors='replace')}")
        return await site.tree(), int(done.stderr.split()[-1])


def points(appends: int, who: str = "orchestrator") -> tuple[Point, ...]:
    """Every place to kill at in a run of so many appends."""
    sides = ("before",) if who == "agents" else ("before", "after")
    return tuple(Point(append=number, when=when, who=who) for number in range(1, appends + 1) for when in sides)


async def try_point(point: Point, tree: str) -> Verdict:
    """Kill a fresh demo run at ``point``, continue it, and hold what is left against the promises."""
    with tempfile.TemporaryDirectory(prefix="muster-crash-", ignore_cleanup_errors=True) as folder:
        site = Site(Path(folder))
        await site.make()
        first = await site.start(at=point)
        killed = first.code == -9
        again = await site.muster("continue", "--yes", "--no-input", "-q") if killed else first
        if killed and again.code == 2:
            # There is nothing to continue: killed before the first entry, or after the last.
            shown = await site.muster("show")
            again = await site.start() if shown.code else shown
        return await _judge(site, point, tree, again, killed)


async def _judge(site: Site, point: Point, tree: str, last: Completed, killed: bool) -> Verdict:
    problems = []
    if last.code:
        problems.append(f"continue exits {last.code}: {last.stderr.decode(errors='replace').strip()[-300:]}")
    if (now := await site.tree()) != tree:
        problems.append(f"the tree is {now[:9]}, not {tree[:9]}")
    store = await SqliteStore.open(site.repository / ".muster/state/muster.db", read_only=True)
    try:
        runs = await store.runs()
        name = runs[-1].run
        entries = await store.read(name)
        state = await load(store, name)
    finally:
        await store.close()
    if len(runs) != 1:
        problems.append(f"{len(runs)} runs instead of one")
    if (broken := first_broken(entries)) is not None:
        problems.append(f"the hash chain breaks at entry {broken}")
    events = [entry.event for entry in entries]
    announced = Counter((e.task, e.attempt) for e in events if isinstance(e, AttemptStarted))
    problems += [f"{task} attempt {number} announced twice" for (task, number), n in announced.items() if n > 1]
    traces = Counter(site.starts.read_text().split()) if site.starts.exists() else Counter[str]()
    problems += [f"{attempt} ran {n} times" for attempt, n in traces.items() if n > 1]
    problems += [f"process {left.pid} is left: {left.command}" for left in list_marked(name)]
    causes = [a.failure.cause for t in state.tasks.values() for a in t.attempts if a.failure is not None]
    interrupted = sum(1 for cause in causes if cause in (Cause.INTERRUPTED, Cause.CRASH))
    return Verdict(point=point, problems=tuple(problems), killed=killed, interrupted=interrupted)


def summary(verdicts: Sequence[Verdict]) -> str:
    """What all points together say, in one line."""
    killed = sum(1 for verdict in verdicts if verdict.killed)
    good = sum(1 for verdict in verdicts if not verdict.problems)
    again = sum(verdict.interrupted for verdict in verdicts)
    return (
        f"{good} of {len(verdicts)} points kept every promise ({killed} kills, {again} attempts interrupted or killed)"
    )
