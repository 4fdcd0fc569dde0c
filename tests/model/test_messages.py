"""Messages from other processes: each is followed or refused with a reason, and none is dropped."""

from __future__ import annotations

import pytest

from muster.model.attempts import Cause
from muster.model.gates import Answer, Autonomy
from muster.model.journal import events as ev
from muster.model.plan import OnFailure, Task
from muster.model.policy import RunPolicy
from muster.model.running.messages import Message, respond
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import START, World, after, begin

TASKS = (Task(id="a", run="x", on_failure=OnFailure.CONTINUE), Task(id="b", run="x", needs=("a",)))


def run_of(autonomy: Autonomy = Autonomy.OPEN) -> World:
    menu = Menu(work=(Cause.AUTH,), audit=(Cause.AUDIT,), stops_run=True, stops_task=True)
    return begin(TASKS, RunPolicy(autonomy=autonomy), menu)


def answer_to(run: World, kind: str, **data: str) -> ev.Event:
    (event,) = respond(run.state, Message(id="m1", run="r", kind=kind, sender="cli", at=START, data=data))
    return event


def refusal(run: World, kind: str, **data: str) -> str:
    event = answer_to(run, kind, **data)
    assert isinstance(event, ev.CommandRefused)
    assert (event.message, event.kind) == ("m1", kind)
    return event.reason


def test_a_stop_of_the_run_is_recorded_with_who_and_when() -> None:
    event = answer_to(run_of(), "stop", source="ctrl-c")

    assert event == ev.RunStateChanged(
        state="cancel_requested",
        run_id="r",
        backend="command",
        source="ctrl-c",
        requested=START,
        reason="operator",
    )


def test_a_stop_of_one_task_is_recorded_with_who_and_when() -> None:
    assert answer_to(run_of(), "stop", task="b") == ev.TaskCancelRequested(
        task="b", source="stop-command", requested=START
    )


def test_an_answer_is_recorded_with_who_and_why() -> None:
    run = run_of(Autonomy.CLOSED)

    assert answer_to(run, "answer", gate="r.1", answer="deny", by="anna", why="too big") == ev.GateAnswered(
        gate="r.1", answer=Answer.DENY, by="anna", why="too big"
    )
    assert answer_to(run, "answer", gate="r.1", answer="approve") == ev.GateAnswered(
        gate="r.1", answer=Answer.APPROVE, by="cli"
    )


def test_a_second_stop_is_refused_because_the_first_is_being_followed() -> None:
    run = run_of()

    assert refusal(after(run, "stop"), "stop") == "already stopping"
    assert refusal(after(run, "stop a"), "stop", task="a") == "already stopping a"


def test_a_second_stop_that_is_in_a_hurry_is_taken_and_needs_no_event() -> None:
    for run, task in ((after(run_of(), "stop"), ""), (after(run_of(), "stop a"), "a")):
        sent = Message(id="m1", run="r", kind="stop", sender="cli", at=START, data={"task": task, "now": "1"})
        assert respond(run.state, sent) == ()

    assert isinstance(answer_to(run_of(), "stop", now="1"), ev.RunStateChanged)


def test_what_is_over_cannot_be_stopped() -> None:
    run = after(run_of(), "a ends auth", "a is given up")
    assert refusal(run, "stop", task="a") == "already-terminal: a is failed"

    ended = after(run, "stop", "b stops")
    assert refusal(ended, "stop") == "already-terminal: the run is cancelled"
    assert refusal(ended, "stop", task="b") == "already-terminal: the run is cancelled"


def test_a_task_that_does_not_exist_cannot_be_stopped() -> None:
    assert refusal(run_of(), "stop", task="ghost") == "there is no task 'ghost' in this run"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"gate": "r.9", "answer": "approve"}, "there is no such gate in this run"),
        ({"answer": "approve"}, "there is no such gate in this run"),
        ({"gate": "r.1", "answer": "perhaps"}, "an answer is approve or deny"),
        ({"gate": "r.1"}, "an answer is approve or deny"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(data: dict[str, str], reason: str) -> None:
    assert refusal(run_of(Autonomy.CLOSED), "answer", **data) == reason


def test_a_question_is_answered_once() -> None:
    run = after(run_of(Autonomy.CLOSED), "approve r.1")

    assert refusal(run, "answer", gate="r.1", answer="deny") == "already answered: approve by anna"


def test_a_question_of_a_run_that_has_ended_cannot_be_answered() -> None:
    run = after(run_of(Autonomy.CLOSED), "stop")

    assert refusal(run, "answer", gate="r.1", answer="approve") == "already-terminal: the run is cancelled"


def test_a_kind_of_message_that_is_not_known_is_refused() -> None:
    assert refusal(run_of(), "dance") == "unknown kind 'dance'"
