"""What agents said last, kept as files beside the journal, and what follows from it."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from muster.model.attempts import Problem
from muster.model.errors import EnvironmentProblem
from muster.model.plan import FileRef, Task
from muster.model.planning.issues import PlanError
from muster.model.running.answers import (
    check_in_run,
    fan_out,
    judge_findings,
    judge_verdict,
    read_plan,
    strange_commands,
)
from muster.model.running.state import RunState, TaskState

Judgement = tuple[tuple[Problem, ...], tuple[Problem, ...], tuple[Task, ...]]


def judge_answer(folder: Path, state: RunState, entry: TaskState) -> Judgement:
    """Problems of an answer, its objections against what it is about, and the tasks that it adds to the run."""
    answer = answer_of(folder, entry)
    if entry.task.produces == "verdict":
        return judge_verdict(answer), (), ()
    if entry.task.produces == "findings":
        return *judge_findings(answer), ()
    try:
        plan = read_plan(answer, state)
        check_in_run(plan, state)
    except PlanError as error:
        return (Problem(rule="plan", message=error.message),), (), ()
    return (), strange_commands(plan, state.policy.known_commands), fan_out(plan, entry.task, state)


def answer_of(folder: Path, entry: TaskState) -> str:
    """What an agent said last, in this run or in one that this one goes on for."""
    outcome = entry.last.outcome if entry.attempts else None
    ref = outcome.answer if outcome is not None else entry.task.answer
    return stored(folder, ref) if ref is not None else ""


def stored(folder: Path, ref: FileRef) -> str:
    """A text that was too big for the journal.

    Raises:
        EnvironmentProblem: it is not what the journal says that it is.
    """
    # Of a run that goes on for another one, whose own folder need not be there yet.
    place = Path(os.path.normpath(folder / ref.path))
    try:
        data = place.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"{place}: {error.strerror}.") from error
    if sha256(data).hexdigest() != ref.sha256:
        raise EnvironmentProblem(f"{place} was changed; the run's journal knows other bytes.")
    return data.decode("utf-8", "replace")
