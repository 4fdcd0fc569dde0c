"""A reviewer that is an agent: runs it in a worktree where it may only read, and believes nothing unproven."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from secrets import token_hex

from muster.model.attempts import Ending, Outcome
from muster.model.errors import MusterError
from muster.model.findings import AGENT_PREFIX, CONFORMANCE, ReviewerRun, ReviewerStatus
from muster.ports import Agent, AttemptSpec, Executor, ReviewerReport, ReviewPacket, ReviewSeat
from muster.process.git import Git
from muster.review.coordinator import silent_skip
from muster.review.packets import findings_of, prompt_for, read_answer, unread

TIMEOUT_S = 900.0
_SHOWN = 5


InTree = Callable[[str, Callable[[Path], Awaitable[ReviewerReport]]], Awaitable[ReviewerReport]]
"""Calls a function with a scratch worktree at a commit; the same as `Workspace.in_tree`."""


class AgentReviewer:
    """One role of a review, played by one agent."""

    def __init__(
        self,
        seat: ReviewSeat,
        agent: Agent,
        executor: Executor,
        in_tree: InTree,
        folder: Path,
        *,
        env: Mapping[str, str],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = f"{AGENT_PREFIX}{seat.role}/{seat.agent}"
        self._seat = seat
        self._agent = agent
        self._executor = executor
        self._in_tree = in_tree
        self._folder = folder
        self._env = dict(env)
        self._timeout_s = timeout_s

    async def review(self, packet: ReviewPacket) -> ReviewerReport:
        """Let the agent look; whatever goes wrong with it is in the report."""
        if self._seat.role == CONFORMANCE and not packet.brief_path:
            return self._came_to(ReviewerStatus.SKIPPED, "there is no brief")
        try:
            found = await self._agent.detect()
            if not found.found:
                return self._came_to(ReviewerStatus.FAILED, f"{self._seat.agent} cannot be started here")
            return await self._in_tree(packet.after, lambda place: self._look(packet, place))
        except MusterError as error:
            return self._came_to(ReviewerStatus.FAILED, error.message)

    async def _look(self, packet: ReviewPacket, place: Path) -> ReviewerReport:
        folder = self._folder / f"{self._seat.role}-{token_hex(4)}"
        spec = AttemptSpec(
            id=f"review:{self._seat.role}:{folder.name}",
            run="review",
            task=self._seat.role,
            number=1,
            agent=self._seat.agent,
            workdir=place,
            folder=folder,
            prompt=prompt_for(self._seat.role, packet, nonce=token_hex(12)),
            model=self._seat.model,
            permission="read",
            env=self._env,
            timeout_s=self._timeout_s,
        )
        outcome = await self._executor.run(spec, lambda news: None)
        written = (await Git(place)("status", "--porcelain", "--untracked-files=all")).stdout
        if written:
            return self._came_to(ReviewerStatus.FAILED, "it changed files, although it may only read")
        if not outcome.ok:
            late = outcome.ending in (Ending.TIMEOUT, Ending.STALLED)
            return self._came_to(ReviewerStatus.LATE if late else ReviewerStatus.FAILED, _why(outcome))
        return self._heard(packet, folder / "answer.md")

    def _heard(self, packet: ReviewPacket, place: Path) -> ReviewerReport:
        text = place.read_text(encoding="utf-8", errors="replace") if place.is_file() else ""
        answer = read_answer(text)
        if answer is None:
            return self._came_to(ReviewerStatus.FAILED, "its answer is not the JSON that was asked for")
        findings = findings_of(answer, self.name, packet)
        missing = unread(answer, packet.shown)
        if not missing:
            return ReviewerReport(run=ReviewerRun(name=self.name, status=ReviewerStatus.DONE), findings=findings)
        named = ", ".join(missing[:_SHOWN]) + f" and {len(missing) - _SHOWN} more" * (len(missing) > _SHOWN)
        skipped = tuple(silent_skip(path, "was not shown to have been read", self.name) for path in missing)
        return ReviewerReport(
            run=ReviewerRun(name=self.name, status=ReviewerStatus.UNATTESTED, detail=f"no proof of reading {named}"),
            findings=(*findings, *skipped),
        )

    def _came_to(self, status: ReviewerStatus, why: str) -> ReviewerReport:
        return ReviewerReport(run=ReviewerRun(name=self.name, status=status, detail=why[:300]))


def _why(outcome: Outcome) -> str:
    return outcome.failure.message if outcome.failure is not None else outcome.ending.value
