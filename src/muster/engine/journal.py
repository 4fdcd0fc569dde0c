"""The run's own pen: appends entries in order, keeps the folded state, tells listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from muster.context import current
from muster.engine.neighbours import Neighbours
from muster.model.errors import NotFoundError, OutpacedError
from muster.model.journal.correlation import Correlation, correlation_of
from muster.model.journal.entries import Draft, Entry
from muster.model.journal.events import BudgetExceeded, BudgetReserved, Event
from muster.model.running.evolve import apply, fold
from muster.model.running.state import RunState, replace
from muster.ports import Clock, Lease, Listener, Store

Then = Callable[[RunState], Sequence[Event]]


class Journal:
    """Appends to one run under one lease; what nothing acts upon waits for the next append."""

    def __init__(self, store: Store, clock: Clock, state: RunState, lease: Lease) -> None:
        self._store = store
        self._clock = clock
        self._listeners: tuple[Listener, ...] = ()
        self._chatter: list[Draft] = []
        self.state = state
        self.lease = lease
        # Set when other runs take from the same budget: then what is reserved depends on them.
        self.neighbours: Neighbours | None = None

    @property
    def has_chatter(self) -> bool:
        """Whether something waits to be written with the next append."""
        return bool(self._chatter)

    def listen(self, listeners: Sequence[Listener]) -> None:
        """From now on tell these about every entry."""
        self._listeners = tuple(listeners)

    def mention(self, event: Event) -> None:
        """Keep an event for the next append; it may be lost in a crash."""
        self._chatter.append(self._draft(event))

    async def append(
        self, events: Iterable[Event] = (), consumed: Iterable[str] = (), *, then: Then = lambda _: ()
    ) -> tuple[Entry, ...]:
        """Write what was mentioned and then ``events``; when this returns, the state has them.

        ``then`` says for the state after the events what follows from it, until nothing more does; all
        of it is written in the same step, so that a decision is never stored without its reasons.

        Raises:
            StaleWriterError: another process owns the run by now.
        """
        first = [*self._chatter, *(self._draft(event) for event in events)]
        taken = tuple(consumed)
        self._chatter = []
        while True:
            drafts, ahead = first, self._foresee(self.state, first)
            while follows := then(ahead):
                more = [self._draft(event) for event in follows]
                ahead = self._foresee(ahead, more)
                drafts = drafts + more
            if not drafts and not taken:
                return ()
            common = any(isinstance(draft.event, BudgetReserved | BudgetExceeded) for draft in drafts)
            others_at = self.neighbours.pos if self.neighbours is not None and common else None
            try:
                entries = await self._store.append(
                    self.state.run, self.state.seq, drafts, lease=self.lease, consumed=taken, others_at=others_at
                )
                break
            except OutpacedError:
                # What follows is decided again with what the others have taken meanwhile.
                assert self.neighbours is not None
                await self.neighbours.refresh()
        self.state = replace(ahead, seq=self.state.seq + len(entries))
        for entry, draft in zip(entries, drafts, strict=True):
            for listener in self._listeners:
                listener.on_entry(entry, draft.event)
        return entries

    @staticmethod
    def _foresee(state: RunState, drafts: Iterable[Draft]) -> RunState:
        for draft in drafts:
            state = replace(apply(state, draft.event, draft.at), last_at=draft.at)
        return state

    def _draft(self, event: Event) -> Draft:
        belongs = correlation_of(current() or Correlation(run=self.state.run), event)
        return Draft(event=event, at=self._clock.now(), trace=belongs.trace, span=belongs.span, parent=belongs.parent)


async def load(store: Store, run: str) -> RunState:
    """Read and fold a run's whole journal.

    Raises:
        NotFoundError: there is no such run.
        JournalError: an entry cannot be read.
    """
    entries = await store.read(run)
    if not entries:
        raise NotFoundError(f"There is no run {run!r}.", hint="muster ls shows all runs.")
    return fold(run, entries)
