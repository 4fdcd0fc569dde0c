"""What the project's other runs take from a common budget, and what its attempts need as a rule."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from datetime import datetime

from muster.model.errors import JournalError
from muster.model.limits import RUN, Amount, total
from muster.model.running.budget import Elsewhere, day_of, p90, tokens_of
from muster.model.running.evolve import fold
from muster.model.running.starting import kind_of
from muster.model.running.state import RunState, initial
from muster.ports import Store

# Older ones say little of today's models and prices.
NEWEST = 100


class Neighbours:
    """All runs of a store but one, folded as far as ``pos``."""

    def __init__(self, store: Store, run: str = "") -> None:
        self._store = store
        self._run = run
        self._states: dict[str, RunState] = {}
        self.pos = 0

    async def refresh(self) -> None:
        """Read what was written since the last time; a journal that cannot be read counts with what was read of it."""
        for head in await self._store.runs():
            before = self._states.get(head.run) or initial(head.run)
            if head.run != self._run and head.seq > before.seq:
                with suppress(JournalError):
                    entries = await self._store.read(head.run, after_seq=before.seq)
                    self._states[head.run] = fold(head.run, entries, before)
            self.pos = max(self.pos, head.pos)

    def taken(self, now: datetime) -> Elsewhere:
        """What they have used or set aside, today and altogether."""
        ledgers = [state.ledger for state in self._states.values()]
        return Elsewhere(
            day=total(ledger.committed(day_of(now)) for ledger in ledgers),
            project=total(ledger.committed() for ledger in ledgers),
        )

    def usual(self) -> dict[str, Amount]:
        """What nine of ten attempts stayed below, by agent, model and role; only what agents told counts."""
        usd, tokens = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
        for state in self._states.values():
            for entry in state.tasks.values():
                for attempt in entry.attempts:
                    if attempt.outcome is None or not (used := tokens_of(attempt.outcome.usage)):
                        continue
                    kind = kind_of(attempt.agent, attempt.model, entry.task.role)
                    tokens[kind].append(used)
                    if attempt.outcome.usage.cost_usd is not None:
                        usd[kind].append(attempt.outcome.usage.cost_usd)
        return {
            kind: Amount(usd=p90(usd[kind][-NEWEST:]) or 0.0, tokens=int(p90(used[-NEWEST:]) or 0))
            for kind, used in tokens.items()
        }


def has_common_budget(state: RunState) -> bool:
    """Whether what other runs use matters to this one."""
    return any(limit.scope != RUN for limit in state.limits)
