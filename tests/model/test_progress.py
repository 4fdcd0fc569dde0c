"""The progress file: what a run came to and what a person does next."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from muster.model.attempts import Attempt, Cause, Failure
from muster.model.gates import Boundary
from muster.model.journal.events import PlanAccepted
from muster.model.plan import Task
from muster.model.policy import RunPolicy
from muster.model.running.progress import Progress, next_action, progress_of
from muster.model.running.state import Gate, RunState, TaskState, TaskStatus

AT = datetime(2026, 1, 31, tzinfo=UTC)
RETRIED = TaskState(
    task=Task(id="T1", title="One", run="x"),
    status=TaskStatus.DONE,
    attempts=(
        Attempt(number=1, base="b", started_at=AT, ended_at=AT, failure=Failure(cause=Cause.CONFLICT, message="no")),
        Attempt(number=2, base="b", started_at=AT, ended_at=AT, commit="c2"),
    ),
)
RUNNING = TaskState(
    task=Task(id="T2", run="x"),
    status=TaskStatus.RUNNING,
    attempts=(Attempt(number=1, base="b", started_at=AT),),
)


def state(**values: object) -> RunState:
    accepted = PlanAccepted(slug="a", plan_sha256="", base="b0", start="b0", target="", policy=RunPolicy())
    tasks = {"T1": RETRIED, "T2": RUNNING}
    run = RunState(run="01r", state="start", plan=accepted, tasks=tasks, waves=(("T1", "T2"),), last_at=AT)
    return msgspec.structs.replace(run, **values)


def test_progress_tells_waves_attempts_and_commits_and_reads_back() -> None:
    progress = progress_of(state())

    assert (progress.session_start_sha, progress.waves) == ("b0", (("T1", "T2"),))
    assert (progress.tasks["T1"].attempts, progress.tasks["T1"].commit) == (("conflict", "ok"), "c2")
    assert (progress.tasks["T2"].attempts, progress.tasks["T2"].status) == (("running",), "running")
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress


@pytest.mark.parametrize(
    ("values", "action"),
    [
        ({}, "muster continue 01r"),
        ({"gates": {"g1": Gate(id="g1", boundary=Boundary.MAIN_MERGE, subject="main")}}, "muster approve g1"),
        ({"state": "error"}, "1 of 2 tasks are not done: muster continue 01r"),
        ({"state": "complete", "main_commit": "m"}, "nothing: the work is in your branch"),
        ({"state": "complete", "tasks": {"T1": RETRIED}, "main_hint": "git merge x"}, "git merge x"),
        ({"state": "complete", "tasks": {"T1": RETRIED}}, "muster show 01r"),
    ],
)
def test_the_next_action_is_a_command_where_there_is_one(values: dict[str, object], action: str) -> None:
    assert next_action(state(**values)).endswith(action)
