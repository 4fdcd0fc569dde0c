"""Every seam of Muster: small Protocols with their promise in words.

An adapter is finished when it passes the contract tests of its Protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from muster.exchange import AttemptSpec as AttemptSpec
from muster.exchange import Binding as Binding
from muster.exchange import Capabilities as Capabilities
from muster.exchange import CheckSpec as CheckSpec
from muster.exchange import Collected as Collected
from muster.exchange import CommitNote as CommitNote
from muster.exchange import Decision as Decision
from muster.exchange import Destination as Destination
from muster.exchange import Detected as Detected
from muster.exchange import Exit as Exit
from muster.exchange import Launch as Launch
from muster.exchange import Lease as Lease
from muster.exchange import MainState as MainState
from muster.exchange import News as News
from muster.exchange import Owner as Owner
from muster.exchange import Proposal as Proposal
from muster.exchange import ReviewerReport as ReviewerReport
from muster.exchange import ReviewPacket as ReviewPacket
from muster.exchange import ReviewSeat as ReviewSeat
from muster.exchange import RunHead as RunHead
from muster.exchange import Salvage as Salvage
from muster.exchange import Snapshot as Snapshot
from muster.exchange import Swept as Swept
from muster.model.attempts import Outcome, Receipt, Usage
from muster.model.heartbeats import Heartbeat as Heartbeat
from muster.model.journal.correlation import Correlation
from muster.model.journal.entries import Draft, Entry
from muster.model.journal.events import Event, GateAsked, ReviewFinished
from muster.model.running.messages import Message as Message
from muster.model.running.state import RunState
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.model.views.notifications import Notice as Notice

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time and waits; the only source of both."""

    def now(self) -> datetime:
        """The time in UTC with microseconds."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait; a cancellation wakes it at once."""


class Store(Protocol):
    """Keeps journals, leases and inboxes; every method is safe from several processes at once."""

    async def append(
        self,
        run: str,
        expected_seq: int,
        drafts: Sequence[Draft],
        *,
        lease: Lease | None = None,
        consumed: Iterable[str] = (),
        others_at: int | None = None,
    ) -> tuple[Entry, ...]:
        """Add entries after ``expected_seq``, all or none, and take inbox messages in the same step.

        When this returns, the entries survive a crash of the process, and if
        any is durable (see `is_durable`) also one of the machine. ``lease``
        must still be the current one. With ``others_at``, no other run may have
        entries after that position.

        Raises:
            StaleWriterError: the run has moved on, the lease is lost, or a consumed message was already taken.
            OutpacedError: another run has entries after ``others_at``.
            EnvironmentProblem: disk full, read-only or failing; nothing was written.
        """

    async def read(self, run: str, after_seq: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """The entries of a run in order of ``seq``."""

    async def read_all(self, after_pos: int = 0, limit: int = 1000) -> tuple[Entry, ...]:
        """The entries of all runs in order of ``pos``, without gap or repeat."""

    async def follow(
        self, after_pos: int, on_entry: Callable[[Entry], Awaitable[bool]], *, run: str | None = None
    ) -> None:
        """Hand over entries after ``after_pos`` as they come, within 50 ms, until ``on_entry`` returns False."""

    async def runs(self) -> tuple[RunHead, ...]:
        """All runs, oldest first."""

    async def counts(self, run: str) -> dict[str, int]:
        """How many entries of each type a run has."""

    async def lease(self, run: str) -> Lease | None:
        """The lease that was given out last, if it was not released; it may have expired."""

    async def leases(self) -> dict[str, Lease]:
        """All leases that were not released, by run; they may have expired."""

    async def acquire(self, run: str, owner: Owner, now: datetime, ttl_s: float, *, over: int | None = None) -> Lease:
        """Become the owner of a run; ``over`` is the epoch of a dead owner's lease that may be taken over early.

        Raises:
            BusyError: somebody else holds a lease that has not expired.
        """

    async def renew(self, lease: Lease, now: datetime, ttl_s: float) -> Lease:
        """Extend the lease.

        Raises:
            StaleWriterError: it was lost.
        """

    async def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens when it was lost already."""

    async def post(self, message: Message) -> None:
        """Put a message into a run's inbox; the same id again is ignored."""

    async def pending(self, run: str) -> tuple[Message, ...]:
        """Messages that no append has consumed, in the order of arrival."""

    async def await_pending(self, run: str) -> tuple[Message, ...]:
        """Wait until there is at least one pending message; seen within 50 ms."""

    async def last_good(self, run: str) -> int:
        """The ``seq`` of the last entry up to which the hash chain of a run holds; 0 if there is none."""

    async def cut_tail(self, run: str, after_seq: int, *, lease: Lease | None = None) -> int:
        """Take the entries after ``after_seq`` out of a run, keep them aside, and return how many they are.

        Raises:
            StaleWriterError: the lease is lost.
            JournalError: there is no entry ``after_seq``.
        """

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""


class Workspace(Protocol):
    """The repository as one run sees it: folders to work in, commits, merges, refs.

    The user's branch, index, working tree and configuration are never touched,
    except by `move_main`. Every step may be repeated after a crash with the
    same arguments and comes to the same result.
    """

    async def recover(self) -> None:
        """Clear away what an owner that is gone left half done; called once by whoever takes the run over."""

    async def prepare(self, task: str, attempt: int, base: str, *, keep: bool = False) -> Path:
        """Give the task a clean folder at commit ``base`` and return the project's folder in it.

        The folder is the same for all attempts of the task and no other task
        uses it at the same time. Work left by an earlier attempt must have
        been salvaged before. With ``keep`` the folder stays as the attempt
        before left it, if that one began at ``base`` too.

        Raises:
            ConflictError: what was to be kept is no worktree any more.
        """

    async def place(self, task: str) -> Path | None:
        """The project's folder of a task that was prepared, also by a process that is gone."""

    async def collect(self, task: str, attempt: int, base: str, note: CommitNote, *, hooks: bool) -> Collected:
        """Commit what is not committed and name all that changed since ``base``.

        The commit is kept under ``refs/muster/<run>/<task>/<attempt>``.
        """

    def environment(self) -> dict[str, str]:
        """Variables for whatever runs in the folders, so that it cannot take the user's repository for theirs."""

    async def files(self, tree: str) -> tuple[str, ...]:
        """All paths of a tree below the project's folder, relative to it."""

    async def contains(self, tree: str, path: str, text: str) -> bool:
        """Whether the file at ``path`` in the tree holds ``text``, as UTF-8 bytes."""

    async def propose(self, onto: str, work: str, note: CommitNote) -> Proposal:
        """Make the merge of ``work`` into ``onto`` as a commit with these two parents, without a checkout."""

    async def in_tree(self, commit: str, use: Callable[[Path], Awaitable[T]]) -> T:
        """Call ``use`` with the project's folder in a scratch worktree at ``commit``."""

    async def tree_of(self, commit: str) -> str:
        """The tree id of a commit."""

    async def advance(self, before: str, after: str) -> None:
        """Move the run's integration ref; nothing happens when it is at ``after`` already.

        Raises:
            ConflictError: the ref is at neither commit.
        """

    async def salvage(self, task: str, attempt: int) -> Salvage | None:
        """Save what the task's folder holds and no ref reaches; None when there is nothing to save."""

    async def dispose(self, task: str, *, untouched: bool = False) -> None:
        """Give the task's folder back. Its work must be reachable or salvaged.

        ``untouched`` promises that nothing ran in the folder since `collect`,
        so that what collect saw still holds and needs no second look.
        """

    async def main_state(self, target: str) -> MainState:
        """Look at the user's branch: where it is and whether it may be moved in place."""

    async def move_main(self, target: str, before: str, after: str) -> MainState:
        """Move the user's branch, and the working tree where it is checked out, if it is clean and at ``before``.

        Returns the state afterwards; a reason says why nothing was done.
        """

    async def close(self) -> None:
        """Remove the folders of the run; whatever is not reachable is salvaged first."""


Tell = Callable[[News], None]


class Executor(Protocol):
    """Runs attempts somewhere: on this machine, or on a fleet."""

    async def run(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        """Run the attempt to its end, telling news as it comes.

        Whatever the agent does is an ``Outcome``, never an exception. When
        cancelled, leave no process behind before letting the cancellation pass.
        """

    async def adopt(self, spec: AttemptSpec, tell: Tell) -> Outcome:
        """Take over an attempt that a dead owner started: wait for it and read its outcome.

        When there is nothing to re-attach to, make sure that no process of it is left and
        return an outcome with ending ``interrupted``. Never starts it again.
        """

    async def check(self, spec: CheckSpec) -> Receipt:
        """Run a verify command to its end and return the receipt; no process is left."""

    def beat(self, attempt: str) -> Heartbeat | None:
        """The newest sign of life of an attempt that `run` or `adopt` is at; None for any other."""

    def forget(self, folder: Path) -> None:
        """The journal has the outcome of the attempt in ``folder``: what was kept for adopting it may go."""

    def hurry(self, marker: str = "") -> None:
        """From now on stop what ``marker`` names, or everything, with no grace: a person asked for it."""

    async def sweep(self, marker: str) -> Swept:
        """End every process whose environment marker starts with ``marker``; says which, and what outlived it."""


class Parser(Protocol):
    """Reads one attempt's output, line by line."""

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line without its newline; never raises, whatever it holds."""

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went; called once, after the last line."""


class Agent(Protocol):
    """One dialect of coding agent; stateless, pure but for `detect`."""

    name: str
    capabilities: Capabilities

    async def detect(self) -> Detected:
        """Look whether it is installed; under 2 s, no network."""

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""

    def parser(self, launch: Launch) -> Parser:
        """A parser for the output of one start."""


class Approver(Protocol):
    """Asks a person who is present."""

    async def ask(self, gate: GateAsked) -> Decision | None:
        """Put the question; None when nobody can answer here, then the run parks."""


class Reviewer(Protocol):
    """Looks at a range by itself; it never sees what another reviewer found."""

    name: str

    async def review(self, packet: ReviewPacket) -> ReviewerReport:
        """Say what is wrong, each thing with file, line, a rule of the catalogue and a part of the brief.

        A reviewer that fails, is late or cannot prove that it read everything
        says so in its report, never by an exception, and changes no file.
        """


class Examiner(Protocol):
    """Comes to a verdict on what a run has integrated."""

    async def examine(self, state: RunState, base: str, commit: str, round: int) -> ReviewFinished:
        """Review ``commit`` against ``base``; the same again gives the same verdict.

        Whatever is wrong with the work is in the verdict, never an exception.
        """


class Listener(Protocol):
    """Watches a run as it happens; it cannot change what the run does."""

    def on_entry(self, entry: Entry, event: Event) -> None:
        """Called for each entry after it was stored."""


class NoticeSink(Protocol):
    """Brings notifications to people; called from a thread of its own, one at a time."""

    name: str

    def tell(self, notice: Notice, at: datetime) -> None:
        """Hand over one notification, within seconds.

        Raises:
            Exception: whatever went wrong; it is written down and never reaches the run.
        """


class TelemetryReceiver(Protocol):
    """Takes the telemetry that agents send of their own accord while their attempts run; never raises."""

    def admit(self, attempt: str, belongs: Correlation) -> dict[str, str]:
        """Variables that make a program send it what it has to tell; none while nobody listens."""

    def dismiss(self, attempt: str) -> Usage:
        """Take nothing more for an attempt, and say what it told that it used; nothing when asked again."""


class Exporter(Protocol):
    """Hands metrics to somebody outside; called from a thread of its own, one snapshot at a time.

    Made with a `Destination`, of which it refuses what it cannot use as an
    ``InputError``. What it gets holds nothing but what may leave this machine.
    """

    name: str

    def export(self, snapshot: MetricsSnapshot) -> None:
        """Hand over what the metrics are now.

        Raises:
            Exception: whatever went wrong; it is counted and never reaches the run.
        """

    def close(self) -> None:
        """Let go of sockets and files; no thread is left."""
