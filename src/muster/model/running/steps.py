"""What a run may have to do next, as values."""

from __future__ import annotations

from datetime import datetime

from muster.model.attempts import Failure
from muster.model.journal.events import Event
from muster.model.record import Record


class Write(Record, frozen=True):
    """Append these decisions to the journal, then decide again."""

    events: tuple[Event, ...]


class Work(Record, frozen=True):
    """Carry out an attempt that the journal has announced."""

    task: str
    attempt: int


class Adopt(Record, frozen=True):
    """Find out what became of an attempt that a dead owner started."""

    task: str
    attempt: int


class Audit(Record, frozen=True):
    """Commit what an attempt left and hold it against the manifest."""

    task: str
    attempt: int


class Merge(Record, frozen=True):
    """Integrate the audited work of a task on top of ``onto``."""

    task: str
    attempt: int
    onto: str


class Finish(Record, frozen=True):
    """Let the integration ref follow the journal to ``after``, give the folder back, count the task as done.

    ``after`` is empty when the task left nothing to merge.
    """

    task: str
    before: str = ""
    after: str = ""


class GiveUp(Record, frozen=True):
    """End what still runs of the task, salvage its folder and close it as a dead letter."""

    task: str
    failure: Failure
    reason: str


class StopTask(Record, frozen=True):
    """End whatever is going on for a task, salvage its work and close it as cancelled."""

    task: str
    source: str


class Halt(Record, frozen=True):
    """End a running attempt but not its task, which comes back to the queue; ``why`` is for people."""

    task: str
    attempt: int
    why: str


class VerifyWave(Record, frozen=True):
    """Run the wave's verify commands that have no receipt for the integrated tree."""

    wave: int
    commit: str


class Review(Record, frozen=True):
    """Come to a verdict on what is integrated, compared with ``base``."""

    base: str
    commit: str
    round: int


class PrepareMain(Record, frozen=True):
    """Make and verify the merge of the result into the user's branch, without moving it."""

    integration: str


class MoveMain(Record, frozen=True):
    """Move the user's branch as the journal has announced."""

    target: str
    before: str
    after: str


class Ask(Record, frozen=True):
    """Put an open question to whoever is present."""

    gate: str


class WakeAt(Record, frozen=True):
    """Decide again at this time."""

    at: datetime


class Park(Record, frozen=True):
    """Nothing can go on without a person; ``reason`` says what is waited for."""

    reason: str


# Steps that touch the world; each gives back what happened as events.
Effect = (
    Work
    | Adopt
    | Audit
    | Merge
    | Finish
    | GiveUp
    | StopTask
    | Halt
    | VerifyWave
    | Review
    | PrepareMain
    | MoveMain
    | Ask
)
Step = Write | Effect | WakeAt | Park


def write(*events: Event) -> tuple[Step, ...]:
    """The one step of writing these decisions down."""
    return (Write(events=events),)
