"""An agent that reviews is not waited for beyond its time, and is not let out of its worktree by a link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from muster.agents.scripted import ScriptedAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.findings import CORRECTNESS, ReviewerStatus
from muster.ports import Binding, ReviewerReport, ReviewPacket, ReviewSeat
from muster.review.agents import AgentReviewer
from tests.integration.git_project import GitProject

pytestmark = pytest.mark.anyio


def reviewer(project: GitProject, script: str, timeout_s: float) -> AgentReviewer:
    """A reviewer whose worktree is the project itself, and who does what the script says."""
    answer = project.root / "answer.yaml"
    answer.write_text(script)
    agent = ScriptedAgent(Binding(name="judge", command=(str(answer),)))
    seat = ReviewSeat(role=CORRECTNESS, agent="judge", model="")

    async def in_tree(commit: str, use: Callable[[Path], Awaitable[ReviewerReport]]) -> ReviewerReport:
        return await use(project.top)

    executor = LocalExecutor({"judge": agent}, SystemClock())
    return AgentReviewer(seat, agent, executor, in_tree, project.root / "runs", env={}, timeout_s=timeout_s)


def packet(project: GitProject, **uncommitted: bytes | None) -> ReviewPacket:
    return ReviewPacket(after=project.head(), diff="", coverage=(), shown=(), uncommitted=uncommitted)


async def test_a_reviewer_that_does_not_come_to_an_end_is_late(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path)

    report = await reviewer(project, "- sleep: 60\n", 1.0).review(packet(project))

    assert report.run.status is ReviewerStatus.LATE


async def test_uncommitted_text_is_not_written_through_a_link(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path)
    outside = project.root / "outside"
    outside.mkdir()
    (project.top / "out").symlink_to(outside)
    answer = '- say: \'{"findings": [], "read": []}\'\n'

    uncommitted = {"out/evil": b"x\n", "dir/c.txt": None, "a.txt": b"new\n"}
    report = await reviewer(project, answer, 30.0).review(packet(project, **uncommitted))

    assert report.run.status is ReviewerStatus.DONE
    assert list(outside.iterdir()) == []
    assert ((project.top / "a.txt").read_bytes(), (project.top / "dir/c.txt").exists()) == (b"new\n", False)
