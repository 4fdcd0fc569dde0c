"""What is to be done: the plan, its tasks and the manifest each task must meet."""

from __future__ import annotations

import enum
from typing import Annotated, NamedTuple

import msgspec

from muster.model.record import Record

# The milestone that only waits for what it needs.
JOIN = "join"
ID_PATTERN = r"^[A-Za-z0-9._-]{1,40}$"
MAX_TASKS = 500


class Changes(enum.Enum):
    """What a task has to leave in the tree: something, nothing, or either."""

    REQUIRED = "required"
    NONE = "none"
    ANY = "any"


class OnFailure(enum.Enum):
    """What a task that is given up does to the rest of the run."""

    STOP = "stop"
    SKIP_DEPENDENTS = "skip-dependents"
    CONTINUE = "continue"


class Contains(Record, frozen=True):
    """A text that a file must hold after the task."""

    path: str
    text: str


class Money(Record, frozen=True):
    """An amount in US dollars."""

    usd: float


class FileRef(Record, frozen=True):
    """A file too big for an entry: path relative to the run's folder, size in bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


class Chosen(NamedTuple):
    """Who works and with what, as plans, teams and settings write it: ``name:model@effort``; the name may be a role."""

    name: str
    model: str = ""
    effort: str = ""

    def __str__(self) -> str:
        """The text that `chosen` reads."""
        return f"{self.name}{f':{self.model}' * bool(self.model)}{f'@{self.effort}' * bool(self.effort)}"


def chosen(agent: str) -> Chosen:
    """Read who works; model and effort may be left out.

    >>> chosen("codex:gpt-5@high").model, chosen("codex@high").name, str(chosen("opencode:a/b:free"))
    ('gpt-5', 'codex', 'opencode:a/b:free')
    """
    rest, _, effort = agent.partition("@")
    name, _, model = rest.partition(":")
    return Chosen(name, model, effort)


class Task(Record, frozen=True):
    """One piece of work for one agent or command in one worktree, with its manifest.

    ``run`` is a shell command; without it the work is for ``agent``, a role or
    an adapter's name with optional ``:model@effort``; an accepted plan has the
    adapter in ``agent`` and the ``role`` beside it, with ``fallbacks`` for an
    agent that cannot be had. ``prompt`` is what the agent gets byte for byte;
    ``prose`` is the section's text around the manifest. Steps of a workflow
    also have: the tasks whose answers they get (``reads``), what their own
    answer must be (``produces``: plan, verdict or findings), and ``milestone``,
    which is not work but the boundary of a gate, or ``join``. ``answer`` is
    what the task said in a run that this one goes on for.
    """

    id: Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
    title: str = ""
    needs: tuple[str, ...] = ()
    agent: str = ""
    role: str = ""
    run: str = ""
    prompt: str = ""
    prompt_ref: FileRef | None = None
    prose: str = ""
    expected_paths: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = ()
    must_contain: tuple[Contains, ...] = ()
    changes: Changes = Changes.REQUIRED
    verify: tuple[str, ...] = ()
    commit_message_pattern: str = ""
    timeout_s: float = 1800.0
    attempts: int | None = None
    retryable: tuple[str, ...] = ()
    non_retryable: tuple[str, ...] = ()
    on_failure: OnFailure = OnFailure.STOP
    profile_used: str = ""
    max_cost: Money | None = None
    line: int = 0
    phase: str = "execute"
    fallbacks: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    produces: str = ""
    milestone: str = ""
    answer: FileRef | None = None

    @property
    def is_command(self) -> bool:
        """Whether the work is a plain command, done without a model."""
        return bool(self.run)


class Plan(Record, frozen=True):
    """A parsed plan: its front matter and its tasks in the order of the file; or what a ``workflow`` makes of a brief.

    ``brief`` is then the text that was asked for, byte for byte. ``answers`` are what is known
    already, by task: such a task is done before the run begins, and so is every gate in ``passed``.
    """

    slug: str
    tasks: tuple[Task, ...]
    title: str = ""
    brief_sha256: str = ""
    profile: str = ""
    phase_models: dict[str, str] = {}
    session_start_sha: str = ""
    sha256: str = ""
    source: str = ""
    workflow: str = ""
    brief: str = ""
    answers: dict[str, str] = {}
    passed: tuple[str, ...] = ()
