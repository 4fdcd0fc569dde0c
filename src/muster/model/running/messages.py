"""What a message from the inbox means for a run, as events."""

from __future__ import annotations

from datetime import datetime

from muster.model.gates import Answer, Boundary
from muster.model.journal import events as ev
from muster.model.limits import parse_budget
from muster.model.plan import chosen
from muster.model.record import Record
from muster.model.running.lifecycle import run_state
from muster.model.running.schedule import why_not_reopen
from muster.model.running.spending import raised
from muster.model.running.state import Gate, RunState, Station


class Message(Record, frozen=True):
    """A request from another process to the owner of a run.

    ``kind`` is ``stop`` (data: task, now, source), ``answer`` (data: gate,
    answer, by, why, budget), ``budget`` (data: budget, by), ``tell`` (data:
    task, text, by), or ``requeue`` or ``drop`` of a dead letter (data: task, by, why).
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
            # Under way already: that it is to have no grace needs no second event.
            return () if message.data.get("now") and _is_stopping(state, message) else (_stop(state, message),)
        case "answer":
            return _answer(state, message)
        case "budget":
            return _budget(state, message)
        case "tell":
            return (_tell(state, message),)
        case "requeue" | "drop":
            return (_dead_letter(state, message),)
        case _:
            return (_refused(message, f"unknown kind {message.kind!r}"),)


def _tell(state: RunState, message: Message) -> ev.Event:
    """Words for whoever works on a task; they can reach it only where its session can be gone on with."""
    task = message.data.get("task", "")
    entry = state.tasks.get(task)
    if entry is None:
        return _refused(message, f"there is no task {task!r} in this run; tasks: {', '.join(state.tasks)}")
    if entry.station is not Station.WORKING or entry.stop_source:
        return _refused(message, f"nobody works on {task} now, it is {entry.status.value}")
    agent = entry.last.agent
    if chosen(agent).name not in state.policy.resumes:
        return _refused(
            message, f"{agent!r} cannot be told anything while it works, as it has no session to go on with"
        )
    if not entry.last.session:
        return _refused(message, f"{agent!r} has not begun a session yet, so it cannot be told anything now")
    return ev.TaskTold(task=task, text=message.data.get("text", ""), by=message.data.get("by", message.sender))


def _is_stopping(state: RunState, message: Message) -> bool:
    entry = state.tasks.get(message.data.get("task", ""))
    if entry is not None:
        return bool(entry.stop_source) and not entry.status.closed
    return not message.data.get("task") and state.cancel is not None and not state.ended


def _stop(state: RunState, message: Message) -> ev.Event:
    source = message.data.get("source", "stop-command")
    task = message.data.get("task", "")
    if state.ended:
        return _refused(message, f"already-terminal: the run is {state.state}")
    if not task:
        if state.cancel is not None:
            return _refused(message, "already stopping")
        return run_state(state, "cancel_requested", source=source, requested=message.at, reason="operator")
    entry = state.tasks.get(task)
    if entry is None:
        return _refused(message, f"there is no task {task!r} in this run")
    if entry.status.closed:
        return _refused(message, f"already-terminal: {task} is {entry.status.value}")
    if entry.stop_source:
        return _refused(message, f"already stopping {task}")
    return ev.TaskCancelRequested(task=task, source=source, requested=message.at)


def answered(
    state: RunState, gate: Gate, answer: Answer, by: str, why: str = "", budget: str = ""
) -> tuple[ev.Event, ...]:
    """The events of an answer at a gate; a yes to more money comes with the new limit.

    Raises:
        ValueError: ``budget`` cannot be the new limit.
    """
    event = ev.GateAnswered(gate=gate.id, answer=answer, by=by, why=why)
    if gate.boundary is Boundary.BUDGET_RAISE and answer is Answer.APPROVE:
        return (event, raised(state, gate, budget, by))
    if budget:
        raise ValueError("this question is not about money")
    return (event,)


def _answer(state: RunState, message: Message) -> tuple[ev.Event, ...]:
    refused = _unanswerable(state, message)
    if refused:
        return (_refused(message, refused),)
    data, gate = message.data, state.gates[message.data["gate"]]
    by = data.get("by", message.sender)
    try:
        return answered(state, gate, Answer(data["answer"]), by, data.get("why", ""), data.get("budget", ""))
    except ValueError as error:
        return (_refused(message, str(error)),)


def _unanswerable(state: RunState, message: Message) -> str:
    gate = state.gates.get(message.data.get("gate", ""))
    if gate is None:
        return "there is no such gate in this run"
    if state.ended:
        return f"already-terminal: the run is {state.state}"
    if gate.answered is not None:
        return f"already answered: {gate.answered.answer.value} by {gate.answered.by}"
    if message.data.get("answer") not in {answer.value for answer in Answer}:
        return "an answer is approve or deny"
    return ""


def _budget(state: RunState, message: Message) -> tuple[ev.Event, ...]:
    """A new limit for a run that goes on; it answers the question that waits for it."""
    if state.ended:
        return (_refused(message, f"already-terminal: the run is {state.state}"),)
    by = message.data.get("by", message.sender)
    try:
        limits = parse_budget(message.data.get("budget", ""))
    except ValueError as error:
        return (_refused(message, str(error)),)
    found: list[ev.Event] = []
    for limit in limits:
        found.append(ev.BudgetLimitSet(scope=limit.scope, unit=limit.unit, limit=limit.amount, by=by))
        found += (
            ev.GateAnswered(gate=gate.id, answer=Answer.APPROVE, by=by)
            for gate in state.gates_about(Boundary.BUDGET_RAISE, limit.name)
            if gate.waiting
        )
    return tuple(found)


def _dead_letter(state: RunState, message: Message) -> ev.Event:
    task, by = message.data.get("task", ""), message.data.get("by", message.sender)
    letter = state.dead.get(task)
    if letter is None:
        return _refused(message, f"there is no dead letter of task {task!r} in this run")
    if letter.settled:
        return _refused(message, f"already {letter.settled} by {letter.by}")
    if message.kind == "drop":
        return ev.DeadLetterDropped(task=task, by=by, why=message.data.get("why", ""))
    why_not = "" if state.ended else why_not_reopen(state, task)
    return _refused(message, why_not) if why_not else ev.DeadLetterRequeued(task=task, by=by)


def _refused(message: Message, reason: str) -> ev.CommandRefused:
    return ev.CommandRefused(message=message.id, kind=message.kind, reason=reason)
