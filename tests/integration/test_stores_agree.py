"""Whatever clients do in whatever order: the file and the memory answer the same."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from muster.model.errors import MusterError
from muster.model.journal.entries import Draft, first_broken
from muster.model.journal.events import AgentSaid, PlanAccepted, RunStateChanged, TaskSucceeded
from muster.model.policy import RunPolicy
from muster.ports import Lease, Owner, Store
from muster.stores.sqlite import SqliteStore
from muster.testing.memory_store import MemoryJournal, MemoryStore
from tests.contracts.store_support import NOW, TTL_S, message

RUNS = st.sampled_from(["a", "b"])
CLIENTS = st.sampled_from([0, 1])
IDS = st.sampled_from("xyz")
MOMENTS = st.sampled_from([0, 20, 40, 80]).map(lambda seconds: NOW + timedelta(seconds=seconds))
OWNERS = st.sampled_from([Owner(id=name, host="here", pid=7, pid_started=1.0) for name in ("alice", "bob")])
EVENTS = st.one_of(
    st.builds(TaskSucceeded, task=st.text(st.characters(), max_size=3)),
    st.builds(AgentSaid, task=st.just("T1"), attempt=st.integers(1, 3), text=st.text(max_size=5)),
    st.builds(RunStateChanged, state=st.sampled_from(["start", "complete"]), run_id=st.just("r")),
    st.builds(
        lambda slug: PlanAccepted(
            slug=slug, title=slug * 2, plan_sha256="", base="", start="", target="", policy=RunPolicy()
        ),
        st.sampled_from(["tidy", "login"]),
    ),
)
DRAFTS = st.lists(st.builds(Draft, event=EVENTS, at=MOMENTS), max_size=3)


class Agreement(RuleBasedStateMachine):
    """Two clients of each store; each step is done by the same client of both."""

    leases = Bundle("leases")

    @initialize()
    def begin(self) -> None:
        self.cleanup = ExitStack()
        self.folder = Path(tempfile.mkdtemp())
        self.cleanup.callback(shutil.rmtree, self.folder)
        self.portal = self.cleanup.enter_context(start_blocking_portal())
        journal = MemoryJournal()
        self.memory = [MemoryStore(journal), MemoryStore(journal)]
        self.sqlite = [self.portal.call(SqliteStore.open, self.folder / "muster.db") for _ in range(2)]
        self.seqs = {"a": 0, "b": 0}

    def teardown(self) -> None:
        for store in getattr(self, "sqlite", ()):
            self.portal.call(store.close)
        if hasattr(self, "cleanup"):
            self.cleanup.close()

    def both(self, client: int, ask: Callable[[Store], Awaitable[object]]) -> object:
        """The answer that both stores give, or the class of error that both raise."""

        async def answer(store: Store) -> object:
            try:
                return await ask(store)
            except MusterError as error:
                return type(error)

        first = self.portal.call(answer, self.memory[client])
        second = self.portal.call(answer, self.sqlite[client])
        assert first == second
        return first

    @rule(
        client=CLIENTS,
        run=RUNS,
        drafts=DRAFTS,
        off=st.sampled_from([0, 0, 0, -1, 1]),
        lease=st.none() | leases,
        consumed=st.lists(IDS, max_size=2),
    )
    def append(
        self, client: int, run: str, drafts: list[Draft], off: int, lease: Lease | None, consumed: list[str]
    ) -> None:
        expected = self.seqs[run] + off
        entries = self.both(client, lambda store: store.append(run, expected, drafts, lease=lease, consumed=consumed))
        if isinstance(entries, tuple):
            assert off == 0
            self.seqs[run] += len(entries)

    @rule(client=CLIENTS, run=RUNS, owner=OWNERS, now=MOMENTS, over=st.none() | st.integers(0, 4), target=leases)
    def acquire(self, client: int, run: str, owner: Owner, now: object, over: int | None) -> object:
        lease = self.both(client, lambda store: store.acquire(run, owner, now, TTL_S, over=over))  # type: ignore[arg-type]
        return lease if isinstance(lease, Lease) else multiple()

    @rule(client=CLIENTS, lease=leases, now=MOMENTS)
    def renew(self, client: int, lease: Lease, now: object) -> None:
        self.both(client, lambda store: store.renew(lease, now, TTL_S))  # type: ignore[arg-type]

    @rule(client=CLIENTS, lease=consumes(leases))
    def release(self, client: int, lease: Lease) -> None:
        self.both(client, lambda store: store.release(lease))

    @rule(client=CLIENTS, run=RUNS, id_=IDS, text=st.text(max_size=3))
    def post(self, client: int, run: str, id_: str, text: str) -> None:
        self.both(client, lambda store: store.post(message(id_, run, text=text)))

    @rule(client=CLIENTS, run=RUNS, back=st.integers(0, 3))
    def cut(self, client: int, run: str, back: int) -> None:
        after = self.seqs[run] - back
        moved = self.both(client, lambda store: store.cut_tail(run, after))
        if isinstance(moved, int):
            self.seqs[run] -= moved

    @rule(client=CLIENTS, run=RUNS, after=st.integers(0, 5), limit=st.none() | st.integers(0, 4))
    def read(self, client: int, run: str, after: int, limit: int | None) -> None:
        self.both(client, lambda store: store.read(run, after, limit))
        self.both(client, lambda store: store.read_all(after, limit or 1))
        self.both(client, lambda store: store.counts(run))

    @invariant()
    def they_hold_the_same(self) -> None:
        if not hasattr(self, "sqlite"):
            return
        for client in (0, 1):
            self.both(client, lambda store: store.runs())
            self.both(client, lambda store: store.read_all())
            for run in ("a", "b"):
                self.both(client, lambda store, run=run: store.pending(run))
                self.both(client, lambda store, run=run: store.lease(run))
                entries = self.both(client, lambda store, run=run: store.read(run))
                assert [entry.seq for entry in entries] == list(range(1, self.seqs[run] + 1))
                assert first_broken(entries) is None


Agreement.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTheStoresAgree = Agreement.TestCase
