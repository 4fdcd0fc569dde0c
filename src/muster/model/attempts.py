"""One start of a task: how it can end, what it used, what proves it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import datetime

from muster.model.plan import FileRef
from muster.model.record import Record


class Ending(enum.Enum):
    """How an attempt's process ended, before any audit."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    INCOMPLETE = "incomplete"
    INTERRUPTED = "interrupted"


class Cause(enum.Enum):
    """The structured class of a failure; retry policies match on these words."""

    # told by an agent's protocol
    AUTH = "auth"
    INVALID_MODEL = "invalid_model"
    BAD_REQUEST = "bad_request"
    PERMISSION = "permission"
    LIMIT_TURNS = "limit_turns"
    LIMIT_BUDGET = "limit_budget"
    AGENT_BUG = "agent_bug"
    CRASH = "crash"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER = "server"
    TRANSPORT = "transport"
    STALLED = "stalled"
    INCOMPLETE = "incomplete"
    # seen by the orchestrator
    EXIT = "exit"
    NOT_INSTALLED = "not-installed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    AUDIT = "audit"
    EMPTY_RESULT = "empty-result"
    WROTE_WHILE_READ_ONLY = "wrote-while-read-only"
    HOOK = "hook"
    CONFLICT = "conflict"
    BROKE_INTEGRATION = "broke-integration"
    ENVIRONMENT = "environment"
    SESSION_LOST = "session-lost"


# The fields of `Usage` that count tokens.
TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")


class Usage(Record, frozen=True):
    """Tokens and money of one attempt; ``cost_usd`` is None when the price is unknown."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost_usd: float | None = None
    cost_source: str = "none"
    model: str = ""

    @property
    def tokens(self) -> int:
        """All tokens that went in or came out; reasoning is part of the output."""
        return self.input + self.cache_read + self.cache_write + self.output


def together(usages: Iterable[Usage]) -> Usage:
    """All tokens and the known costs in one value; the model is that of the last that names one.

    >>> together([Usage(input=1, cost_usd=0.5, cost_source="reported"), Usage(input=2, model="m")])
    Usage(input=3, cache_read=0, cache_write=0, output=0, reasoning=0, cost_usd=0.5, cost_source='reported', model='m')
    """
    each = list(usages)
    costs = [one for one in each if one.cost_usd is not None]
    return Usage(
        **{name: sum(getattr(one, name) for one in each) for name in TOKENS},
        cost_usd=sum(one.cost_usd or 0.0 for one in costs) if costs else None,
        cost_source=costs[-1].cost_source if costs else "none",
        model=next((one.model for one in reversed(each) if one.model), ""),
    )


class Failure(Record, frozen=True):
    """Why an attempt is not done: a class for policies, a message for people and the next attempt."""

    cause: Cause
    message: str
    retry_after_s: float | None = None
    files: tuple[str, ...] = ()


class Outcome(Record, frozen=True):
    """What the executor and the agent's dialect say about one attempt; ``answer`` is the agent's last word."""

    ending: Ending
    exit_code: int | None = None
    signal: int | None = None
    failure: Failure | None = None
    usage: Usage = Usage()
    session: str = ""
    duration_ms: int = 0
    transcript: FileRef | None = None
    errors: FileRef | None = None
    swept: tuple[int, ...] = ()
    answer: FileRef | None = None

    @property
    def ok(self) -> bool:
        """Whether the attempt reached its end; only the audit can say that it is done."""
        return self.ending is Ending.OK


class Receipt(Record, frozen=True):
    """Proof that a command ran on a tree, valid for exactly this tree and command; ``environment`` is a hash."""

    command: str
    exit_code: int
    tree: str
    environment: str
    duration_ms: int = 0
    tail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the command passed."""
        return self.exit_code == 0


class Problem(Record, frozen=True):
    """One thing that an audit found missing or wrong."""

    rule: str
    message: str
    path: str = ""


class Attempt(Record, frozen=True):
    """What is known of one start of a task.

    ``resumes`` is the agent's session that it was to go on with, ``session`` the one that it told.
    ``objections`` are what its answer holds against what it read: they do not
    fail the task, but a gate after it asks about them.
    """

    number: int
    base: str
    started_at: datetime
    epoch: int = 0
    agent: str = ""
    resumes: str = ""
    session: str = ""
    model: str = ""
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    commit: str = ""
    changed: bool = False
    receipts: tuple[Receipt, ...] = ()
    failure: Failure | None = None
    objections: tuple[Problem, ...] = ()
