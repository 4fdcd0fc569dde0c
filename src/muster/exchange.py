"""The values that cross the seams: what is asked of an adapter and what it answers."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from muster.model.attempts import Usage
from muster.model.findings import Covered, Finding, ReviewerRun
from muster.model.gates import Answer
from muster.model.record import Record


class Owner(Record, frozen=True):
    """A process that may own runs; pid and start time together are never reused."""

    id: str
    host: str
    pid: int
    pid_started: float


class Lease(Record, frozen=True):
    """The right to write to a run, until ``expires`` or until a higher epoch is given out."""

    run: str
    owner: Owner
    epoch: int
    expires: datetime


class RunHead(Record, frozen=True):
    """What a store knows of a run without reading its entries; ``state`` is that of the last run.state."""

    run: str
    seq: int
    pos: int
    hash: str
    first_at: datetime
    last_at: datetime
    state: str = ""
    slug: str = ""
    title: str = ""


class Snapshot(Record, frozen=True):
    """Where the user's repository stands: commit, full ref of the branch (empty when detached), project prefix."""

    commit: str
    target: str
    prefix: str


class Collected(Record, frozen=True):
    """What an attempt left, all of it committed: ``paths`` are relative to the project, changed since the base.

    ``outside`` are changed paths outside the project's folder, relative to the
    repository. ``embedded`` are repositories that were created inside.
    ``hook_failure`` is the output of a commit hook that said no.
    """

    commit: str
    tree: str
    message: str
    paths: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()
    hook_failure: str = ""


class Proposal(Record, frozen=True):
    """A merge commit that exists but that no branch points to, or the files in conflict."""

    commit: str = ""
    tree: str = ""
    conflicts: tuple[str, ...] = ()


class Salvage(Record, frozen=True):
    """Where work was saved before its worktree was removed; ``kept`` is a folder that had to stay."""

    ref: str = ""
    commit: str = ""
    kept: str = ""


class MainState(Record, frozen=True):
    """Whether the target branch can be moved now; ``reason`` is empty when it can."""

    commit: str
    reason: str = ""
    hint: str = ""


class CommitNote(Record, frozen=True):
    """Message, author and time of a commit that Muster makes; equal notes make equal commits."""

    message: str
    author: str
    at: datetime


class AttemptSpec(Record, frozen=True):
    """All an executor needs to run one attempt; ``folder`` takes outputs and is private to the attempt.

    ``session`` is an earlier session of the agent to go on with, empty for a fresh start. An agent without
    output and activity for ``stall_timeout_s`` is ended as stalled; 0 leaves it its timeout.
    ``spent`` is what that session's earlier attempts used, as their outcomes say.
    ``without`` names the kinds of tools that the agent does not get, see `TOOLS`.
    """

    id: str
    run: str
    task: str
    number: int
    agent: str
    workdir: Path
    folder: Path
    command: str = ""
    prompt: str = ""
    model: str = ""
    effort: str = ""
    permission: str = "edit"
    session: str = ""
    spent: Usage = Usage()
    max_cost_usd: float | None = None
    without: tuple[str, ...] = ()
    max_turns: int | None = None
    env: dict[str, str] = {}
    env_allow: tuple[str, ...] = ()
    timeout_s: float = 1800.0
    stall_timeout_s: float = 0.0
    grace_s: float = 5.0
    keep_raw: bool = False


class Binding(Record, frozen=True):
    """How an agent is set up by the operator: its name here, program and first arguments, limits, model names.

    An empty ``command`` means the dialect's own program. ``models`` maps a
    profile's tier to the name that this program wants.
    """

    name: str
    command: tuple[str, ...] = ()
    env_allow: tuple[str, ...] = ()
    models: dict[str, str] = {}


class CheckSpec(Record, frozen=True):
    """A verify command, the folder it runs in and the tree that is checked out there."""

    id: str
    command: str
    tree: str
    workdir: Path
    folder: Path
    env: dict[str, str] = {}
    env_allow: tuple[str, ...] = ()
    timeout_s: float = 1800.0
    grace_s: float = 5.0


class News(Record, frozen=True):
    """Something an agent told while working, already redacted.

    ``kind`` is one of session, text, thought, delta, tool_started, tool_ended,
    usage, retry, permission, notice, heartbeat, result.
    """

    kind: str
    text: str = ""
    tool: str = ""
    ok: bool = True
    usage: Usage | None = None
    data: dict[str, str] = {}


class Capabilities(Record, frozen=True):
    """What a dialect can do; ``interrupt`` says that a stop lets it finish its last words.

    ``tools`` are the kinds of tools that can be taken from it. ``turns`` says who
    limits the answers of its model: the program (``own``), whoever counts the
    usage that it tells after each of them (``told``), or nobody.
    """

    resume: bool = False
    preassigned_session: bool = False
    interrupt: bool = False
    reports_cost: bool = False
    permissions: tuple[str, ...] = ("edit",)
    tools: tuple[str, ...] = ()
    turns: str = ""


class Detected(Record, frozen=True):
    """Whether an agent can be used here; ``auth`` is ok, missing or unknown, ``fix`` the command that mends it."""

    found: bool
    path: str = ""
    version: str = ""
    auth: str = "unknown"
    hint: str = ""
    fix: str = ""


class Launch(Record, frozen=True):
    """How to start one attempt: nothing here has been done yet.

    ``stdin`` is written to a private file that the process reads; ``files``
    are written relative to the attempt's folder before the start. ``env_allow``
    names what else of our environment the program needs, such as its own key.
    ``session`` is the one that it is told to open, or an earlier one to go on with when ``resumed``.
    A ``polite`` program ends well when it is interrupted (SIGINT) before it is told to go.
    ``spent`` is for the parser of a program whose counters run on in a session.
    ``defaults`` are variables over which those of our environment win, ``env`` those that win over it.
    ``traced`` are more variables, and ``traced_args`` more arguments at the end, for a program that has
    a collector in its environment, so that its own telemetry goes on with the run's trace.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    defaults: dict[str, str] = {}
    traced: dict[str, str] = {}
    traced_args: tuple[str, ...] = ()
    env_allow: tuple[str, ...] = ()
    stdin: bytes = b""
    files: dict[str, bytes] = {}
    session: str = ""
    resumed: bool = False
    spent: Usage = Usage()
    reads_output: bool = True
    polite: bool = False


class Exit(Record, frozen=True):
    """How a process ended: exit code, or the signal that killed it; and when, in the local time zone."""

    code: int | None = None
    signal: int | None = None
    at: datetime | None = None


class Swept(Record, frozen=True):
    """The processes that a sweep ended, and those ``left`` that outlived even SIGKILL, by pid."""

    pids: tuple[int, ...] = ()
    left: tuple[int, ...] = ()


class Decision(Record, frozen=True):
    """A person's answer at a gate."""

    answer: Answer
    by: str
    why: str = ""


class Destination(Record, frozen=True):
    """Where exporters send to, as settings and environment say; each takes what it needs.

    ``headers`` may hold secrets. ``allow_private`` lets addresses be used that are not on the public internet.
    """

    textfile_dir: str = ""
    endpoint: str = ""
    headers: dict[str, str] = {}
    allow_private: bool = False


class ReviewSeat(Record, frozen=True):
    """Who takes a part of a review: the role, the agent's name, and the model that its program is started with."""

    role: str
    agent: str
    model: str = ""


class ShownFile(Record, frozen=True):
    """What of a file's diff a reviewer was shown: how many hunks, and the last added line; both prove reading."""

    path: str
    hunks: int
    last_added: str


class ReviewPacket(Record, frozen=True):
    """What one reviewer is given; the brief by its path, the diff and all names in it as data.

    ``after`` is the commit that the reviewer's worktree is at, ``uncommitted`` the
    texts of files that are different from it, None for one that is gone.
    """

    after: str
    diff: str
    coverage: tuple[Covered, ...]
    shown: tuple[ShownFile, ...]
    brief_path: str = ""
    uncommitted: dict[str, bytes | None] = {}


class ReviewerReport(Record, frozen=True):
    """What one reviewer found, and whether it did its part."""

    run: ReviewerRun
    findings: tuple[Finding, ...] = ()
