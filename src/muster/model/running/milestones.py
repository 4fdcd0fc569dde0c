"""Questions to people: what is asked at a boundary, and the steps of a workflow that are no work but a boundary."""

from __future__ import annotations

from muster.model.attempts import Cause, Failure
from muster.model.gates import Boundary, must_ask
from muster.model.journal import events as ev
from muster.model.plan import JOIN, Task
from muster.model.running import steps as do
from muster.model.running.state import Gate, RunState

_QUESTIONS = {
    Boundary.RESEARCH_DONE: "The research is done. Go on with it?",
    Boundary.PLAN_READY: "The plan is ready. Carry it out?",
    Boundary.PLAN_CRITIC_BLOCKER: "There are objections to the plan. Carry it out all the same?",
}


def milestone(state: RunState, task: Task) -> tuple[do.Step, ...]:
    """What is not work: it is reached when a person says so, or at once where nobody is asked."""
    reached = ev.TaskSucceeded(task=task.id)
    if task.milestone == JOIN:
        return do.write(reached)
    boundary, gate = Boundary(task.milestone), state.gate_for(Boundary(task.milestone), task.id)
    objections = [problem for name in task.reads if (problem := state.objections(name))]
    if boundary is Boundary.PLAN_CRITIC_BLOCKER and not objections:
        return do.write(reached)
    if not must_ask(state.policy.autonomy, boundary):
        return do.write(ev.GatePassed(boundary=boundary, subject=task.id, by=policy_name(state)), reached)
    if gate is None:
        return do.write(ask(state, boundary, task.id, _QUESTIONS[boundary], "\n".join(objections)))
    if gate.answered is None:
        return (do.Ask(gate=gate.id),)
    if gate.approved:
        return do.write(reached)
    failure = Failure(cause=Cause.CANCELLED, message=why_denied(gate))
    return do.write(ev.TaskFailed(task=task.id, failure=failure))


def ask(state: RunState, boundary: Boundary, subject: str, question: str, detail: str = "") -> ev.GateAsked:
    """The run's next question."""
    gate = f"{state.run}.{len(state.gates) + 1}"
    return ev.GateAsked(gate=gate, boundary=boundary, question=question, subject=subject, detail=detail)


def why_denied(gate: Gate) -> str:
    """Who said no, where and why."""
    assert gate.answered is not None
    why = f": {gate.answered.why}" if gate.answered.why else ""
    return f"denied at {gate.boundary.value} by {gate.answered.by}{why}"


def policy_name(state: RunState) -> str:
    """Who decides where nobody is asked."""
    return f"autonomy {state.policy.autonomy.value}"
