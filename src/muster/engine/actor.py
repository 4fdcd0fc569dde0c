"""One run, driven to its end or to the point where a person must decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from muster.context import within
from muster.engine.effects import Effects, Facts
from muster.engine.hearing import heard
from muster.engine.journal import Journal
from muster.engine.neighbours import Neighbours, has_common_budget
from muster.engine.watcher import Watcher
from muster.model.attempts import Cause, Ending, Failure, Outcome
from muster.model.ids import attempt_id
from muster.model.journal import events as ev
from muster.model.journal.correlation import Correlation
from muster.model.running import steps as do
from muster.model.running.budget import NOTHING
from muster.model.running.decide import decide
from muster.model.running.messages import Message, respond
from muster.model.running.state import RunState, Station, ends_run
from muster.ports import Approver, Clock, Examiner, Executor, News, Store, Workspace

LEASE_TTL_S = 15.0
RENEW_EVERY_S = 5.0
IDLE_LEASE_TTL_S = 600.0
IDLE_RENEW_EVERY_S = 200.0
CHATTER_EVERY_S = 1.0


class Actor:
    """Runs the loop: decide, write, act, and write what came of it.

    Every step that the state asks for is in flight exactly once; a step that
    the state no longer asks for is cancelled.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        workspace: Workspace,
        executor: Executor,
        clock: Clock,
        *,
        folder: Path,
        approver: Approver | None = None,
        examiner: Examiner | None = None,
    ) -> None:
        self._journal = journal
        self._store = store
        self._workspace = workspace
        self._executor = executor
        self._clock = clock
        self._effects = Effects(workspace, executor, approver, examiner, clock, folder, self._heard)
        self._flights: dict[do.Effect, anyio.CancelScope] = {}
        self._unanswerable: set[str] = set() if approver is not None else {""}
        self._facts: list[Facts] = []
        self._messages: list[Message] = []
        self._stirred = anyio.Event()
        self._answered = anyio.Event()
        self._shutdown = ""

    @property
    def state(self) -> RunState:
        """The run as the journal has it now."""
        return self._journal.state

    def hurry(self) -> None:
        """From now on whatever is stopped gets no grace."""
        self._executor.hurry()

    def mention(self, event: ev.Event) -> None:
        """Let the journal have something that the run need not act upon."""
        self._journal.mention(event)
        self._stir()

    def shut_down(self, reason: str) -> None:
        """Stop working and leave the run to be continued later."""
        self._shutdown = reason
        self._stir()

    async def drive(self) -> RunState:
        """Work until the run has ended, waits for a person, or is shut down; no process is left.

        Raises:
            StaleWriterError: the run belongs to another process by now.
        """
        try:
            if has_common_budget(self.state):
                self._journal.neighbours = Neighbours(self._store, self.state.run)
                await self._journal.neighbours.refresh()
            await self._settle()
            # Whatever was asked while nobody was here comes before anything is started, and is
            # taken before the inbox is watched, which would otherwise bring it a second time.
            self._messages = list(await self._store.pending(self.state.run))
            await self._take_in()
            async with anyio.create_task_group() as group:
                group.start_soon(self._take_messages, name="inbox")
                group.start_soon(self._keep_lease, name="lease")
                group.start_soon(self._watch_attempts, name="heartbeats")
                reason = await self._loop(group)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise _first_of(errors) from errors
        if not self.state.ended:
            await self._journal.append([*self._interrupted(), ev.RunReleased(reason=reason)])
        else:
            await self._journal.append()
            await self._workspace.close()
        return self.state

    async def _settle(self) -> None:
        """Bring refs and processes to where the journal is, after whatever happened to the last owner."""
        state = self.state
        if state.epoch == 0:
            return
        await self._workspace.recover()
        if state.integration:
            await self._workspace.advance(state.integration_before, state.integration)
        await self._executor.sweep(f"{state.run}:@")
        for name in state.busy:
            entry = state.tasks[name]
            if entry.attempts and entry.station is not Station.WORKING:
                await self._executor.sweep(attempt_id(state.run, name, entry.last.number))

    def _interrupted(self) -> Iterable[ev.Event]:
        """Attempts that a shutdown has just killed must not look as if they had failed by themselves."""
        for name in self.state.busy:
            entry = self.state.tasks[name]
            if entry.station is Station.WORKING:
                failure = Failure(cause=Cause.INTERRUPTED, message=self._shutdown)
                outcome = Outcome(ending=Ending.INTERRUPTED, failure=failure)
                yield ev.AttemptEnded(task=name, attempt=entry.last.number, outcome=outcome)

    async def _loop(self, group: TaskGroup) -> str:
        """Returns why the loop ended."""
        while True:
            # Nothing may be awaited between here and the reconciling: an effect whose facts are not in the
            # state yet would look as if it had never been started.
            while self._facts or self._messages:
                await self._take_in()
            if self._shutdown:
                return self._shutdown
            steps = self._decide(self.state)
            if steps and isinstance(steps[0], do.Write):
                if any(ends_run(event) for event in steps[0].events):
                    await self._land()
                    await self._journal.append(steps[0].events)
                else:
                    await self._journal.append(then=self._decisions)
                continue
            park = self._reconcile(group, steps)
            if self.state.ended:
                return self.state.state
            if park and not self._flights and not self._facts and not self._messages:
                return park
            await self._wait(steps)

    def _decide(self, state: RunState) -> tuple[do.Step, ...]:
        now, neighbours = self._clock.now(), self._journal.neighbours
        return decide(state, now, neighbours.taken(now) if neighbours is not None else NOTHING)

    def _decisions(self, state: RunState) -> Sequence[ev.Event]:
        """What has to be recorded in a state; the end of a run is not, since effects have to land before it."""
        for step in self._decide(state):
            if isinstance(step, do.Write) and not any(ends_run(event) for event in step.events):
                return step.events
        return ()

    async def _land(self) -> None:
        """Cancel what is still in flight and wait for it: nothing goes on in a run that has ended."""
        for scope in self._flights.values():
            scope.cancel()
        while self._flights:
            self._stirred = anyio.Event()
            await self._stirred.wait()

    async def _take_in(self) -> None:
        """Write down what effects and messages brought since the last time, all in one go."""
        if self._facts:
            facts, self._facts = self._facts, []
            await self._journal.append((event for events in facts for event in events), then=self._decisions)
        if not self._messages:
            return
        messages, self._messages = self._messages, []
        for message in messages:
            if message.data.get("now"):
                self._hurry(message.data.get("task", ""))
            await self._journal.append(respond(self.state, message), consumed=(message.id,))
        self._answered.set()

    def _hurry(self, task: str) -> None:
        """Give no more grace to the run, or to the task's attempt alone."""
        if not task:
            self._executor.hurry()
        elif (entry := self.state.tasks.get(task)) is not None and entry.attempts:
            self._executor.hurry(attempt_id(self.state.run, task, entry.last.number))

    def _reconcile(self, group: TaskGroup, steps: tuple[do.Step, ...]) -> str:
        """Start what is wanted and not in flight, cancel what is in flight and not wanted; returns why to park."""
        wanted: list[do.Effect] = []
        park = ""
        for step in steps:
            if isinstance(step, do.Park):
                park = step.reason
            elif not isinstance(step, do.WakeAt | do.Write) and not self._cannot_ask(step):
                wanted.append(step)
        for step, scope in self._flights.items():
            if step not in wanted:
                scope.cancel()
        occupied = {_subject(step) for step in self._flights}
        for step in wanted:
            if step not in self._flights and _subject(step) not in occupied:
                scope = anyio.CancelScope()
                self._flights[step] = scope
                occupied.add(_subject(step))
                group.start_soon(self._fly, step, scope, name=str(step))
        return park

    def _cannot_ask(self, step: do.Effect) -> bool:
        return isinstance(step, do.Ask) and bool(self._unanswerable & {step.gate, ""})

    async def _fly(self, step: do.Effect, scope: anyio.CancelScope) -> None:
        try:
            with scope, within(self._belongs(step)):
                facts = await self._effects.perform(step, self.state)
                if facts:
                    self._facts.append(facts)
                elif isinstance(step, do.Ask):
                    self._unanswerable.add(step.gate)
        finally:
            del self._flights[step]
            self._stir()

    def _belongs(self, step: do.Effect) -> Correlation:
        """The attempt that a step is about, or else the run."""
        entry = self.state.tasks.get(getattr(step, "task", ""))
        if entry is None or not entry.attempts:
            return Correlation(run=self.state.run)
        return Correlation(run=self.state.run, task=entry.task.id, attempt=entry.last.number)

    async def _wait(self, steps: tuple[do.Step, ...]) -> None:
        """Sleep until something happened or a timer of the run is due."""
        if self._facts or self._messages or self._shutdown:
            return
        self._stirred = anyio.Event()
        due = min((step.at for step in steps if isinstance(step, do.WakeAt)), default=None)
        seconds = max(0.0, (due - self._clock.now()).total_seconds()) if due is not None else math.inf
        if self._journal.has_chatter:
            seconds = min(seconds, CHATTER_EVERY_S)
        if seconds == math.inf:
            await self._stirred.wait()
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._ring, seconds)
            await self._stirred.wait()
            group.cancel_scope.cancel()
        if self._journal.has_chatter:
            await self._journal.append()

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._stir()

    async def _take_messages(self) -> None:
        while True:
            self._messages = list(await self._store.await_pending(self.state.run))
            self._answered = anyio.Event()
            self._stir()
            await self._answered.wait()

    async def _keep_lease(self) -> None:
        every_s, ttl_s = RENEW_EVERY_S, LEASE_TTL_S
        while True:
            await self._clock.sleep(every_s)
            # While nothing is in flight a long lease costs nobody work, and waiting for days writes next to nothing.
            every_s, ttl_s = (RENEW_EVERY_S, LEASE_TTL_S) if self._flights else (IDLE_RENEW_EVERY_S, IDLE_LEASE_TTL_S)
            self._journal.lease = await self._store.renew(self._journal.lease, self._clock.now(), ttl_s)

    async def _watch_attempts(self) -> None:
        watcher = Watcher(self._executor)
        while True:
            await self._clock.sleep(self.state.policy.heartbeat.tick_s)
            if facts := watcher.look(self.state, self._clock.now()):
                self._facts.append(facts)
                self._stir()

    def _heard(self, task: str, attempt: int, news: News) -> None:
        if (event := heard(task, attempt, news, self.state.tasks[task].last.session)) is not None:
            self.mention(event)

    def _stir(self) -> None:
        self._stirred.set()


def _subject(step: do.Effect) -> str:
    """What a step works on; two steps about the same thing are never in flight together."""
    if isinstance(step, do.Ask):
        return "@person"
    if isinstance(step, do.VerifyWave | do.Review | do.PrepareMain | do.MoveMain):
        return "@main"
    return step.task


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that made the others happen; task groups report it first."""
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
