"""Attempts and verify commands as processes on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import msgspec

from muster.context import current
from muster.executors.environment import fingerprint, inherited, started
from muster.executors.folder import Folder
from muster.executors.outcomes import exit_code_of, failed, outcome_of, read_outcome, words_of
from muster.executors.prices import priced
from muster.executors.recycle import Recycler
from muster.executors.scratch import clear_scratch
from muster.executors.seats import Seats
from muster.executors.transcript import last_bytes
from muster.executors.watch import Teller, Watch
from muster.model.attempts import Cause, Ending, Failure, Outcome, Receipt, Usage
from muster.model.errors import EnvironmentProblem, MusterError
from muster.model.journal.correlation import Correlation
from muster.model.plain_text import plain_text
from muster.model.redaction import Redactor, secret_values
from muster.ports import (
    Agent,
    AttemptSpec,
    CheckSpec,
    Clock,
    Heartbeat,
    Launch,
    News,
    Parser,
    Swept,
    TelemetryReceiver,
    Tell,
)
from muster.process import Command, supervise, sweep_marker, take_over
from muster.process.identity import covers

_TAIL = 2048
_ERROR_TAIL = 8192


class LocalExecutor:
    """Runs each attempt in its own session, with its own environment, files and temporary folder."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        clock: Clock,
        seats: Seats | None = None,
        environ: Mapping[str, str] | None = None,
        receiver: TelemetryReceiver | None = None,
    ) -> None:
        self._receiver = receiver
        self._agents = agents
        self._seats = seats
        self._clock = clock
        self._environ = dict(os.environ if environ is None else environ)
        self._secrets = secret_values(self._environ)
        self._redactor = Redactor(self._secrets)
        self._hurried: set[str] = set()
        self._allowed: dict[tuple[str, ...], dict[str, str]] = {}
        self._recycler = Recycler()
        self._attended: dict[str, Watch | None] = {}

    async def run(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        """Run the attempt to its end, telling news as it comes."""
        with self._attending(spec):
            if self._seats is None:
                return await self._run(spec, tell)
            async with self._seats.seat(lambda why: tell(News(kind="notice", ok=False, text=f"waits: {why}"))):
                return await self._run(spec, tell)

    async def _run(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        begun = self._clock.monotonic()
        prepared = self._prepare(spec)
        if isinstance(prepared, Outcome):
            return prepared
        launch, parser = prepared
        argv, env = self._start(spec, launch)
        redactor = self._redactor_for({**spec.env, **launch.env})
        folder = self._folder_of(spec)
        try:
            folder.create(self._clock.now(), launch.stdin, launch.files)
        except FileExistsError:
            return failed(Cause.ENVIRONMENT, f"Attempt {spec.id} was started before; it is never started again.")
        except (OSError, ValueError) as problem:
            await folder.finish(redactor, keep_raw=False)
            return failed(Cause.ENVIRONMENT, f"Cannot prepare attempt {spec.id}: {words_of(problem)}.")
        command = Command(
            argv=argv,
            cwd=spec.workdir,
            env={**env, "TMPDIR": str(folder.scratch)},
            marker=spec.id,
            stdin=folder.stdin if launch.stdin else None,
            stdout=folder.stdout,
            stderr=folder.stderr,
            record=folder.record,
            polite=launch.polite,
        )
        watch = self._watch(folder, spec, launch, parser, redactor, tell)
        try:
            if failure := _cannot_run(launch.argv[0], spec.workdir, env["PATH"]):
                return Outcome(ending=Ending.ERROR, failure=failure)
            ended = await supervise(command, watch, self._grace(spec))
            await watch.read_to_end()
            tail = folder.error_tail(redactor, _ERROR_TAIL)
        except anyio.get_cancelled_exc_class():
            # What it used until now, it may have said only when it was interrupted.
            with anyio.CancelScope(shield=True):
                await watch.read_to_end()
            if not watch.told_usage and (usage := self._told_otherwise(spec.id)) != Usage():
                tell(News(kind="usage", usage=priced(usage, spec.model)))
            raise
        except (EnvironmentProblem, OSError) as problem:
            return failed(Cause.ENVIRONMENT, words_of(problem))
        finally:
            await folder.finish(redactor, keep_raw=spec.keep_raw)
        duration_s = self._clock.monotonic() - begun
        outcome = outcome_of(spec, ended, watch, parser, tail, folder, redactor, duration_s)
        if not watch.told_usage and not outcome.usage.tokens and outcome.usage.cost_usd is None:
            usage = priced(self._told_otherwise(spec.id), spec.model)
            outcome = msgspec.structs.replace(outcome, usage=usage if usage != Usage() else outcome.usage)
        if outcome.usage.tokens and outcome.usage.cost_usd is None:
            model = outcome.usage.model or spec.model or "its model"
            tell(News(kind="notice", ok=False, text=f"No price is known for {model}: what it costs is not counted."))
        return outcome

    def beat(self, attempt: str) -> Heartbeat | None:
        """The newest sign of life of an attempt; one that waits for its seat is well."""
        now = self._clock.now()
        watch = self._attended.get(attempt)
        if watch is not None:
            return watch.beat(now)
        return Heartbeat(last_seen=now.isoformat()) if attempt in self._attended else None

    async def adopt(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        """Take over an attempt that a dead owner started: wait for it and read its outcome."""
        with self._attending(spec):
            return await self._adopt(spec, tell)

    async def _adopt(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        folder = self._folder_of(spec)
        begun_at = folder.begun_at()
        prepared = self._prepare(spec)
        now = self._clock.now().timestamp()
        left_s = max(0.0, spec.timeout_s - max(0.0, now - (begun_at or now)))
        if isinstance(prepared, Outcome):
            # Nobody is left who could read what it says.
            watch, parser, redactor, polite = Watch(folder, 0.0, self._clock), None, self._redactor, False
        else:
            launch, parser = prepared
            polite = launch.polite
            redactor = self._redactor_for({**spec.env, **launch.env})
            left = msgspec.structs.replace(spec, timeout_s=left_s)
            watch = self._watch(folder, left, launch, parser, redactor, tell)
        try:
            ended = await take_over(spec.id, folder.record, watch, self._grace(spec), polite=polite)
            await watch.read_to_end()
            tail = folder.error_tail(redactor, _ERROR_TAIL)
        finally:
            await folder.finish(redactor, keep_raw=spec.keep_raw)
        duration_s = max(0.0, (folder.ended_at() or now) - (begun_at or now))
        limited = watch.timed_out or watch.flooded or watch.stalled
        known = ended.code is not None or ended.signal is not None or limited
        if parser is None or not known:
            said = Outcome(ending=Ending.INTERRUPTED)
            if parser:
                said = read_outcome(spec, parser, watch.exit(ended), tail, redactor)
            return msgspec.structs.replace(
                said,
                ending=Ending.INTERRUPTED,
                failure=Failure(cause=Cause.INTERRUPTED, message="Its owner and its processes were gone."),
                duration_ms=round(duration_s * 1000),
                transcript=folder.output,
                errors=folder.errors,
                swept=ended.swept,
            )
        return outcome_of(spec, ended, watch, parser, tail, folder, redactor, duration_s)

    async def check(self, spec: CheckSpec) -> Receipt:
        """Run a verify command to its end and return the receipt.

        Raises:
            EnvironmentProblem: it could not be started, so there is nothing to say about the work.
        """
        begun = self._clock.monotonic()
        env, belongs = self._inherited(spec.env_allow), current()
        traced = belongs.environment(env) if belongs else {}
        folder = Folder(spec.folder, spec.id, spec.folder, self._recycler)
        watch = Watch(folder, spec.timeout_s, self._clock)
        try:
            folder.renew()
            command = Command(
                argv=("/bin/sh", "-c", spec.command),
                cwd=spec.workdir,
                env={**env, **spec.env, **traced, "TMPDIR": str(folder.scratch)},
                marker=spec.id,
                stdout=folder.stdout,
            )
            ended = await supervise(command, watch, self._grace(spec))
            tail = plain_text(last_bytes(folder.stdout, self._redactor, _TAIL).decode("utf-8", "replace"))
        except OSError as problem:
            raise EnvironmentProblem(f"Cannot check `{spec.command}`: {words_of(problem)}.") from problem
        finally:
            await folder.finish(self._redactor, keep_raw=False)
        return Receipt(
            command=spec.command,
            exit_code=exit_code_of(ended, watch),
            tree=spec.tree,
            environment=fingerprint(env),
            duration_ms=round((self._clock.monotonic() - begun) * 1000),
            tail=tail,
        )

    def hurry(self, marker: str = "") -> None:
        """From now on stop what ``marker`` names, or everything, with no grace: a person asked for it."""
        self._hurried.add(marker)

    def forget(self, folder: Path) -> None:
        """What was kept for adopting the attempt may go; an attempt that wrote nothing leaves no folder."""
        self._recycler.give_folder(folder)

    def close(self) -> None:
        """Remove what was kept for attempts to come."""
        self._recycler.close()

    async def sweep(self, marker: str) -> Swept:
        """End every process of the attempts that ``marker`` names; says which, and what outlived it."""
        swept = await sweep_marker(marker)
        await clear_scratch(marker)
        return swept

    def _grace(self, spec: AttemptSpec | CheckSpec) -> Callable[[], float]:
        return lambda: 0.0 if any(covers(marker, spec.id) for marker in self._hurried) else spec.grace_s

    def _prepare(self, spec: AttemptSpec) -> tuple[Launch, Parser] | Outcome:
        agent = self._agents.get(spec.agent)
        if agent is None:
            known = ", ".join(sorted(self._agents))
            return failed(Cause.NOT_INSTALLED, f"There is no agent {spec.agent!r}; known: {known}.")
        try:
            launch = agent.launch(spec)
        except MusterError as problem:
            return failed(Cause.BAD_REQUEST, problem.message)
        return launch, agent.parser(launch)

    @contextmanager
    def _attending(self, spec: AttemptSpec) -> Iterator[None]:
        self._attended[spec.id] = None
        try:
            yield
        finally:
            self._told_otherwise(spec.id)
            del self._attended[spec.id]

    def _told_otherwise(self, attempt: str) -> Usage:
        """What an agent used by its own telemetry; nothing more of that is taken."""
        return self._receiver.dismiss(attempt) if self._receiver else Usage()

    def _watch(
        self, folder: Folder, spec: AttemptSpec, launch: Launch, parser: Parser, redactor: Redactor, tell: Tell
    ) -> Watch:
        if launch.reads_output:
            turns = self._agents[spec.agent].capabilities.turns
            teller = Teller(parser, redactor, tell, spec.model, spec.max_turns if turns == "told" else None)
            watch = Watch(folder, spec.timeout_s, self._clock, teller, stall_timeout_s=spec.stall_timeout_s)
        else:
            # A command may wait for long and say nothing: its timeout is its author's word.
            watch = Watch(folder, spec.timeout_s, self._clock)
        self._attended[spec.id] = watch
        return watch

    def _inherited(self, env_allow: tuple[str, ...]) -> dict[str, str]:
        if env_allow not in self._allowed:
            self._allowed[env_allow] = inherited(self._environ, env_allow)
        return self._allowed[env_allow]

    def _start(self, spec: AttemptSpec, launch: Launch) -> tuple[tuple[str, ...], dict[str, str]]:
        # A reviewer's attempt is no task of the run, but it is within the run.
        outer = current()
        collected: dict[str, str] = {}
        belongs = Correlation(run=outer.run if outer else spec.run, task=spec.task, attempt=spec.number)
        if (launch.traced or launch.traced_args) and self._receiver:
            collected = self._receiver.admit(spec.id, belongs)
        return started(spec, launch, belongs, self._inherited((*spec.env_allow, *launch.env_allow)), collected)

    def _folder_of(self, spec: AttemptSpec) -> Folder:
        return Folder(spec.folder, spec.id, spec.folder.parent, self._recycler)

    def _redactor_for(self, env: Mapping[str, str]) -> Redactor:
        more = secret_values(env) - self._secrets
        return Redactor(self._secrets | more) if more else self._redactor


def _cannot_run(program: str, workdir: Path, path: str) -> Failure | None:
    """Say why the program cannot be started, before a shell says it less clearly."""
    if not workdir.is_dir():
        return Failure(cause=Cause.ENVIRONMENT, message=f"The folder {workdir} is not there.")
    named = workdir / program if "/" in program else None
    if shutil.which(str(named) if named else program, path=path):
        return None
    if (named and named.exists()) or shutil.which(program, os.F_OK, path):
        return Failure(cause=Cause.ENVIRONMENT, message=f"{program!r} is not executable.")
    return Failure(cause=Cause.NOT_INSTALLED, message=f"{program!r} is not installed, or not on PATH.")
