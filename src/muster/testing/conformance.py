"""Whether an agent, as it is installed and bound here, keeps what Muster expects of every agent.

Each check is one short attempt in a repository of its own. The prompts are scripts that the scripted agent plays, with
a sentence on top that makes them clear to a model.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome
from muster.model.policy import RetryPolicy
from muster.model.record import Record
from muster.model.running.retry import is_retryable
from muster.ports import Agent, AttemptSpec, Clock, Launch, Parser
from muster.process import list_marked, run, start_time

_HEAD = """\
# Carry out each line below, in this order, in the current folder, and do nothing else. A line `write` makes a file of
# this text, a line `run` runs a shell command with your shell tool, a line `say` is what you answer; pass over others.
"""
_NO_MODEL = "muster-no-such-model"
_TEXT = "muster was here"
_USED = "- usage: {input: 100, output: 10}\n"
_WRITE = f'- write: {{path: made.txt, text: "{_TEXT}"}}\n{_USED}- say: done\n'
_AGAIN = f'- write: {{path: again.txt, text: "{_TEXT}"}}\n{_USED}- say: done\n'
_FAIL = f"- exit: {{code: 1, class: invalid_model, message: there is no {_NO_MODEL}}}\n"
# Some agents refuse to run a sleep.
_WAIT = "- run: echo here > here.txt; tail -f /dev/null\n"
_DAEMON = """\
- run: |
    setsid sh -c 'echo $$ > pid.txt; exec tail -f /dev/null' > /dev/null 2>&1 < /dev/null &
    until [ -s pid.txt ]; do :; done
- say: done
"""
_BROKEN_SETUP = frozenset({Cause.AUTH, Cause.NOT_INSTALLED, Cause.ENVIRONMENT, Cause.INVALID_MODEL})


class Check(Record, frozen=True):
    """What one check found: ``result`` is ok, weak, failed or skipped."""

    name: str
    result: str
    detail: str
    seconds: float = 0.0


class _Watched:
    """The agent, and the parsers that it gave out."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.name, self.capabilities, self.detect = agent.name, agent.capabilities, agent.detect
        self.parsers: list[Parser] = []

    def launch(self, spec: AttemptSpec) -> Launch:
        return self._agent.launch(spec)

    def parser(self, launch: Launch) -> Parser:
        self.parsers.append(self._agent.parser(launch))
        return self.parsers[-1]


class Conformance:
    """The checks of one agent, one after the other; ``tell`` hears of each as it is done."""

    def __init__(self, agent: Agent, clock: Clock, *, model: str = "", timeout_s: float = 180.0) -> None:
        self._agent = _Watched(agent)
        self._clock = clock
        self._model = model
        self._timeout_s = timeout_s
        self._root = Path()
        self._done = 0
        self._first = Outcome(ending=Ending.ERROR)

    async def examine(self, tell: Callable[[Check], None], *, until: str = "") -> tuple[Check, ...]:
        """Carry out all checks, or those up to one; when the first shows that nothing works, others are skipped."""
        checks: list[Check] = []
        with _folder() as self._root:
            for name, look in (
                ("success", self._success),
                ("usage", self._usage),
                ("failure", self._failure),
                ("permission", self._permission),
                ("resume", self._resume),
                ("polite stop", self._polite_stop),
                ("kill", self._kill),
                ("orphans", self._orphans),
                ("protocol", self._protocol),
            ):
                begun = self._clock.monotonic()
                failure = self._first.failure
                if checks and failure is not None and failure.cause in _BROKEN_SETUP:
                    result, detail = "skipped", "nothing works here: see the first check"
                else:
                    result, detail = await look()
                checks.append(Check(name, result, detail, round(self._clock.monotonic() - begun, 2)))
                tell(checks[-1])
                if name == until:
                    break
        return tuple(checks)

    async def _success(self) -> tuple[str, str]:
        place, self._first = await self._play(_WRITE)
        return _judged(self._first, _holds(place / "made.txt"), "it wrote a file and said that it is done")

    async def _usage(self) -> tuple[str, str]:
        usage = self._first.usage
        if not usage.tokens:
            return "failed", "it told no tokens"
        cost = "no price known" if usage.cost_usd is None else f"${usage.cost_usd:.4f} {usage.cost_source}"
        return "ok", f"{usage.tokens} tokens of {usage.model or 'a model that it does not name'}, {cost}"

    async def _failure(self) -> tuple[str, str]:
        _, outcome = await self._play(_FAIL, model=_NO_MODEL)
        if outcome.failure is None:
            return "failed", f"it said ok with a model called {_NO_MODEL}"
        again = "would be tried again" if is_retryable(RetryPolicy(), outcome.failure) else "not tried again"
        return ("ok" if again[0] == "n" else "weak"), f"{outcome.failure.cause.value}, {again}"

    async def _permission(self) -> tuple[str, str]:
        if "read" not in self._agent.capabilities.permissions:
            return "skipped", "it has no permission `read`"
        place, outcome = await self._play(_WRITE, permission="read")
        if (place / "made.txt").exists():
            return "weak", "with permission `read` it wrote all the same; the audit of a read-only task finds it"
        return "ok", f"with permission `read` nothing was written ({outcome.ending.value})"

    async def _resume(self) -> tuple[str, str]:
        if not self._agent.capabilities.resume:
            return "skipped", "it cannot go on with a session; each attempt begins anew"
        place, outcome = await self._play(_AGAIN, session=self._first.session, spent=self._first.usage, again=True)
        if outcome.session != self._first.session:
            return "weak", f"it began another session: {outcome.session}"
        return _judged(outcome, _holds(place / "again.txt"), f"it went on, {outcome.usage.tokens} tokens more")

    async def _polite_stop(self) -> tuple[str, str]:
        return await self._stopped(grace_s=5.0)

    async def _kill(self) -> tuple[str, str]:
        return await self._stopped(grace_s=0.0)

    async def _stopped(self, grace_s: float) -> tuple[str, str]:
        """Cancel it in the middle of a command of its own."""
        spec = await self._spec(_WAIT, grace_s=grace_s)
        told: list[Outcome] = []

        async def work() -> None:
            told.append(await self._executor().run(spec, lambda _: None))

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            while not (spec.workdir / "here.txt").exists() and not told:
                await self._clock.sleep(0.05)
            asked = self._clock.monotonic()
            group.cancel_scope.cancel()
        took = self._clock.monotonic() - asked
        if left := list_marked(spec.id):
            return "failed", f"{len(left)} processes were left: {left[0].command[:80]}"
        if told:
            return "failed", f"it ended by itself ({_why(told[0])})"
        return "ok", f"nothing was left after {took:.1f} s"

    async def _orphans(self) -> tuple[str, str]:
        place, outcome = await self._play(_DAEMON, permission="full")
        told = place / "pid.txt"
        if not told.exists():
            return "failed", f"it did not run the command ({_why(outcome)})"
        if start_time(int(told.read_text())) or list_marked(f"{self._root.name}:T{self._done}"):
            return "failed", "a process that it left behind is still there"
        return "ok", f"{len(outcome.swept) or 'no'} left-over process(es) had to be ended"

    async def _protocol(self) -> tuple[str, str]:
        unknown = sum(getattr(parser, "unknown", 0) for parser in self._agent.parsers)
        if unknown:
            return "weak", f"{unknown} lines of a kind that this release does not know"
        return "ok", "every line was of a known kind"

    async def _play(self, script: str, *, again: bool = False, **more: object) -> tuple[Path, Outcome]:
        spec = await self._spec(script, again=again, **more)
        return spec.workdir, await self._executor().run(spec, lambda _: None)

    async def _spec(self, script: str, *, again: bool = False, **more: object) -> AttemptSpec:
        """An attempt in a new repository, or in that of the first one."""
        self._done += 1
        place = self._root / ("1" if again else str(self._done))
        if not again:
            place.mkdir()
            await run(["git", "init", "-q"], cwd=place, env={"PATH": os.environ["PATH"], "HOME": str(self._root)})
        able = self._agent.capabilities.permissions
        fields: dict[str, object] = {
            "permission": "full" if "- run:" in script and "full" in able else "edit",
            "model": self._model,
            **more,
        }
        return AttemptSpec(
            id=f"{self._root.name}:T{self._done}:1",
            run=self._root.name,
            task=f"T{self._done}",
            number=1,
            agent=self._agent.name,
            workdir=place,
            folder=self._root / f"attempt-{self._done}",
            prompt=_HEAD + script,
            timeout_s=self._timeout_s,
            **fields,  # type: ignore[arg-type]
        )

    def _executor(self) -> LocalExecutor:
        return LocalExecutor({self._agent.name: self._agent}, self._clock)


@contextmanager
def _folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="muster-conformance-")).resolve()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _holds(path: Path) -> bool:
    return path.exists() and path.read_text(errors="replace").strip() == _TEXT


def _judged(outcome: Outcome, held: bool, detail: str) -> tuple[str, str]:
    if not outcome.ok:
        return "failed", _why(outcome)
    return ("ok", detail) if held else ("failed", "it said that it is done, and the file is not as it should be")


def _why(outcome: Outcome) -> str:
    failure = outcome.failure
    return f"{failure.cause.value}: {failure.message}" if failure else outcome.ending.value
