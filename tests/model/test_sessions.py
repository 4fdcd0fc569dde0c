"""When a task's next attempt goes on with the agent's session of the last one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from muster.model.attempts import Attempt, Cause, Ending, Failure, Outcome, Usage
from muster.model.gates import Autonomy
from muster.model.journal import events as ev
from muster.model.plan import Task
from muster.model.policy import RetryPolicy, RunPolicy
from muster.model.running import steps as do
from muster.model.running.decide import MAX_INTERRUPTIONS, decide
from muster.model.running.messages import Message, respond
from muster.model.running.packet import packet
from muster.model.running.sessions import session_to_resume, spent_before
from muster.model.running.state import RunState, TaskState, replace
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import START, World, begin, settle, write

RESUMED = {
    *(Cause.INTERRUPTED, Cause.TIMEOUT, Cause.STALLED, Cause.INCOMPLETE, Cause.TRANSPORT, Cause.RATE_LIMIT),
    *(Cause.OVERLOADED, Cause.SERVER, Cause.AUDIT, Cause.EMPTY_RESULT, Cause.HOOK),
}
POLICY = RunPolicy(autonomy=Autonomy.OPEN, retry=RetryPolicy(auto_retry=True), resumes=("claude",))


def attempt(number: int, cause: Cause | None = None, **more: object) -> Attempt:
    failure = Failure(cause=cause, message="so") if cause else None
    known: dict[str, object] = {"agent": "claude", "failure": failure, "session": "s1", **more}
    return Attempt(number=number, base="b", started_at=START, **known)  # type: ignore[arg-type]


def tried(*attempts: Attempt) -> TaskState:
    return TaskState(task=Task(id="a"), attempts=attempts)


@pytest.mark.parametrize("cause", Cause)
def test_what_broke_off_or_was_sent_back_goes_on_and_all_else_begins_anew(cause: Cause) -> None:
    assert session_to_resume(tried(attempt(1, cause)), "claude") == ("s1" if cause in RESUMED else "")


def test_an_agent_that_was_told_once_what_is_wrong_and_still_is_begins_anew() -> None:
    assert session_to_resume(tried(attempt(1), attempt(2, Cause.AUDIT, resumes="s1")), "claude") == ""
    assert session_to_resume(tried(attempt(1), attempt(2, Cause.TIMEOUT, resumes="s1")), "claude") == "s1"


def test_nobody_goes_on_with_the_session_of_another_agent_or_with_none() -> None:
    assert session_to_resume(tried(attempt(1, Cause.TIMEOUT)), "claude:opus") == ""
    assert session_to_resume(tried(attempt(1, Cause.TIMEOUT, session="")), "claude") == ""
    assert session_to_resume(tried(), "claude") == ""


def test_what_a_session_has_used_is_the_sum_of_its_earlier_attempts_alone() -> None:
    def used(number: int, session: str, resumes: str = "") -> Attempt:
        usage = Usage(input=10**number, cost_usd=float(number), cost_source="reported")
        return attempt(number, resumes=resumes, session=session, outcome=Outcome(ending=Ending.OK, usage=usage))

    entry = tried(used(1, "other"), used(2, "s1"), used(3, "s1", "s1"), used(4, "s1", "s1"))

    assert spent_before(entry, entry.attempts[3]).input == 1100
    assert spent_before(entry, entry.attempts[3]).cost_usd == 5.0
    assert spent_before(entry, entry.attempts[1]) == Usage()


def ends(world: World, cause: Cause, session: str = "") -> World:
    """The running attempt tells its session and fails; the run goes on when it may."""
    number = world.state.tasks["a"].last.number
    told = [ev.SessionOpened(task="a", attempt=number, session=session)] if session else []
    outcome = Outcome(ending=Ending.ERROR, failure=Failure(cause=cause, message="so"))
    world = settle(write(world, [*told, ev.AttemptEnded(task="a", attempt=number, outcome=outcome)]))
    return settle(replace(world, now=world.now + timedelta(hours=1)))


def started(state: RunState) -> tuple[int, str]:
    return state.tasks["a"].last.number, state.tasks["a"].last.resumes


def run(attempts: int, policy: RunPolicy = POLICY) -> World:
    world = begin([Task(id="a", agent="claude", prompt="x", attempts=attempts)], policy, Menu())
    assert started(world.state) == (1, "")
    return world


def test_an_attempt_that_lost_its_session_costs_nothing_once_and_the_next_begins_anew() -> None:
    world = ends(run(attempts=2), Cause.RATE_LIMIT, "s1")
    assert started(world.state) == (2, "s1")

    world = ends(world, Cause.SESSION_LOST)
    assert started(world.state) == (3, "")
    assert world.state.tasks["a"].failure is not None
    assert world.state.tasks["a"].failure.cause is Cause.RATE_LIMIT

    assert ends(world, Cause.RATE_LIMIT, "s2").state.tasks["a"].last.number == 3


def test_a_session_that_is_lost_again_costs_an_attempt() -> None:
    world = run(attempts=3)
    for cause, session in ((Cause.TIMEOUT, "s1"), (Cause.SESSION_LOST, ""), (Cause.TIMEOUT, "s2")):
        world = ends(world, cause, session)
    assert started(world.state) == (4, "s2")

    world = ends(world, Cause.SESSION_LOST)

    assert started(world.state) == (4, "s2")
    assert world.state.tasks["a"].used_attempts == 3


def test_an_agent_that_cannot_resume_begins_anew() -> None:
    assert started(ends(run(attempts=2, policy=replace(POLICY, resumes=())), Cause.TIMEOUT, "s1").state) == (2, "")


def tell(world: World, text: str) -> tuple[ev.Event, ...]:
    return respond(
        world.state,
        Message(id="m", run="r", kind="tell", sender="anna", at=START, data={"task": "a", "text": text}),
    )


def test_words_interrupt_whoever_works_and_the_next_attempt_hears_them_at_no_cost() -> None:
    world = write(run(attempts=1), [ev.SessionOpened(task="a", attempt=1, session="s1")])

    for number in range(1, MAX_INTERRUPTIONS + 3):
        world = settle(write(world, tell(world, f"word {number}")))
        assert [type(step) for step in decide(world.state, world.now)] == [do.Halt]
        world = ends(world, Cause.INTERRUPTED, "s1")
        assert started(world.state) == (number + 1, "s1")
        assert [type(step) for step in decide(world.state, world.now)] == [do.Work]
        world = write(world, [ev.SessionOpened(task="a", attempt=number + 1, session="s1")])

    assert world.state.tasks["a"].used_attempts == 1
    assert "A person said while it was being done:\nword 1\n" in packet(world.state, world.state.tasks["a"], "do", "n")


def test_words_that_nobody_could_hear_are_refused() -> None:
    deaf = run(attempts=1, policy=replace(POLICY, resumes=()))
    new = run(attempts=1)

    for world, why in ((deaf, "no session to go on with"), (new, "has not begun a session")):
        (refused,) = tell(world, "x")
        assert isinstance(refused, ev.CommandRefused)
        assert why in refused.reason
