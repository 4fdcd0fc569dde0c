"""What a message from the inbox means for a run, as events."""

from __future__ import annotations

from datetime import datetime

from muster.model import events as ev
from muster.model.gates import Answer
from muster.model.record import Record
from muster.model.state import RunState


class Message(Record, frozen=True):
    """A request from another process to the owner of a run.

    ``kind`` is ``stop`` (data: task, now, source) or ``answer`` (data: gate,
    answer, by, why).
    """

    id: str
    run: str
    kind: str
    sender: str
    at: datetime
    data: dict[str, str] = {}


def respond(state: RunState, message: Message) -> tuple[ev.Event, ...]:
    """The events a message causes; one that cannot be followed is refused with a reason, never dropped."""
    match message.kind:
        case "stop":
            return (_stop(state, message),)
        case "answer":
            return (_answer(state, message),)
        case _:
            return (_refused(message, f"unknown kind {message.kind!r}"),)


def _stop(state: RunState, message: Message) -> ev.Event:
    source = message.data.get("source", "stop-command")
    task = message.data.get("task", "")
    if state.ended:
        return _refused(message, f"already-terminal: the run is {state.state}")
    if not task:
        if state.cancel is not None:
            return _refused(message, "already stopping")
        return ev.RunStateChanged(
            state="cancel_requested", run_id=state.run, source=source, requested=message.at, reason="operator"
        )
    entry = state.tasks.get(task)
    if entry is None:
        return _refused(message, f"there is no task {task!r} in this run")
    if entry.status.closed:
        return _refused(message, f"already-terminal: {task} is {entry.status.value}")
    if entry.stop_source:
        return _refused(message, f"already stopping {task}")
    return ev.TaskCancelRequested(task=task, source=source, requested=message.at)


def _answer(state: RunState, message: Message) -> ev.Event:
    gate = state.gates.get(message.data.get("gate", ""))
    if gate is None:
        return _refused(message, "there is no such gate in this run")
    if state.ended:
        return _refused(message, f"already-terminal: the run is {state.state}")
    if gate.answered is not None:
        return _refused(message, f"already answered: {gate.answered.answer.value} by {gate.answered.by}")
    try:
        answer = Answer(message.data.get("answer", ""))
    except ValueError:
        return _refused(message, "an answer is approve or deny")
    by = message.data.get("by", message.sender)
    return ev.GateAnswered(gate=gate.id, answer=answer, by=by, why=message.data.get("why", ""))


def _refused(message: Message, reason: str) -> ev.CommandRefused:
    return ev.CommandRefused(message=message.id, kind=message.kind, reason=reason)
