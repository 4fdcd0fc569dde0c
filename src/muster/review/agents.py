"""A reviewer that is an agent: runs it in a worktree where it may only read, and believes nothing unproven."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

import anyio

from muster.model.attempts import Ending, Outcome
from muster.model.errors import MusterError
from muster.model.findings import AGENT_PREFIX, CONFORMANCE, Finding, ReviewerRun, ReviewerStatus
from muster.ports import Agent, AttemptSpec, Executor, ReviewerReport, ReviewPacket, ReviewSeat
from muster.process.git import Git
from muster.review.coordinator import silent_skip
from muster.review.packets import Answer, again, findings_of, prompt_for, read_answer, unread

TIMEOUT_S = 900.0
# An answer that cannot be read is asked for a second time, and not a third.
ASKED_TIMES = 2
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
        # Known when it was asked; a reviewer that was never started used none.
        self._model = ""

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
        await anyio.to_thread.run_sync(_lay_out, packet.uncommitted, place)
        given = await _state(packet.uncommitted, place)
        prompt, why = prompt_for(self._seat.role, packet, nonce=token_hex(12)), ""
        for number in range(1, ASKED_TIMES + 1):
            spec = self._spec(place, number, again(prompt, why) if why else prompt)
            outcome = await self._executor.run(spec, lambda news: None)
            self._model = outcome.usage.model or self._seat.model
            if await _state(packet.uncommitted, place) != given:
                return self._came_to(ReviewerStatus.FAILED, "it changed files, although it may only read")
            if not outcome.ok:
                late = outcome.ending in (Ending.TIMEOUT, Ending.STALLED)
                return self._came_to(ReviewerStatus.LATE if late else ReviewerStatus.FAILED, _why(outcome))
            said = spec.folder / "answer.md"
            answer = read_answer(said.read_text(encoding="utf-8", errors="replace") if said.is_file() else "")
            if isinstance(answer, Answer):
                return self._heard(packet, answer)
            why = answer
        return self._came_to(ReviewerStatus.FAILED, f"its answer is not the JSON that was asked for: {why}")

    def _spec(self, place: Path, number: int, prompt: str) -> AttemptSpec:
        folder = self._folder / f"{self._seat.role}-{token_hex(4)}"
        return AttemptSpec(
            id=f"review:{self._seat.role}:{folder.name}",
            run="review",
            task=self._seat.role,
            number=number,
            agent=self._seat.agent,
            workdir=place,
            folder=folder,
            prompt=prompt,
            model=self._seat.model,
            permission="read",
            env=self._env,
            timeout_s=self._timeout_s,
        )

    def _heard(self, packet: ReviewPacket, answer: Answer) -> ReviewerReport:
        findings = findings_of(answer, self.name, packet)
        missing = unread(answer, packet.shown)
        if not missing:
            return self._came_to(ReviewerStatus.DONE, "", findings)
        named = ", ".join(missing[:_SHOWN]) + f" and {len(missing) - _SHOWN} more" * (len(missing) > _SHOWN)
        skipped = tuple(silent_skip(path, "was not shown to have been read", self.name) for path in missing)
        return self._came_to(ReviewerStatus.UNATTESTED, f"no proof of reading {named}", (*findings, *skipped))

    def _came_to(self, status: ReviewerStatus, why: str, findings: tuple[Finding, ...] = ()) -> ReviewerReport:
        run = ReviewerRun(name=self.name, status=status, detail=why[:300], model=self._model)
        return ReviewerReport(run=run, findings=findings)


def _lay_out(texts: Mapping[str, bytes | None], place: Path) -> None:
    """Make a worktree what the user's folder is; nothing is written through a link."""
    for name, text in sorted(texts.items(), key=lambda item: item[1] is not None):
        path = place / name
        if any(above.is_symlink() for above in path.parents if above.is_relative_to(place) and above != place):
            continue
        path.unlink(missing_ok=True)
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)


async def _state(texts: Mapping[str, bytes | None], place: Path) -> tuple[object, ...]:
    """What shows whether somebody wrote into a worktree: its commit, which files differ, and what stands in them."""
    git = Git(place)
    head, status = await git.text("rev-parse", "HEAD"), await git.text("status", "--porcelain", "--untracked-files=all")
    digests = [await anyio.to_thread.run_sync(_digest, place / name) for name in texts]
    return head, status, tuple(digests)


def _digest(path: Path) -> bytes:
    return sha256(path.read_bytes()).digest() if path.is_file() else b""


def _why(outcome: Outcome) -> str:
    return outcome.failure.message if outcome.failure is not None else outcome.ending.value
