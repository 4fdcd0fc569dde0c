"""What a review takes from a project and leaves in it: brief, plan, where the work began, review.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from muster.model.errors import InputError, NotFoundError
from muster.model.findings import Review
from muster.model.journal.events import ReviewFinished
from muster.model.plan import Plan
from muster.model.planning.slugs import is_slug
from muster.model.running.progress import Progress
from muster.model.running.state import RunState
from muster.model.running.verdicts import MAX_KNOWN, kept
from muster.pipeline.artefacts import (
    BRIEF,
    PLAN,
    PROGRESS,
    artefact_path,
    read_artefact,
    read_source,
    slugs,
    write_artefact,
)
from muster.ports import Agent, Clock, Executor, Reviewer, ReviewSeat, Workspace
from muster.review.agents import AgentReviewer
from muster.review.coordinator import Earlier
from muster.review.document import format_review
from muster.review.plain import plain
from muster.review.review import ReviewRequest, review

REVIEW = "review.md"


class ProjectExaminer:
    """Reviews what a run has integrated, on given terms, and leaves the verdict as the project's review.md."""

    def __init__(
        self,
        project: Path,
        clock: Clock,
        terms: ReviewRequest,
        redact: Callable[[str], str],
        reviewers: Sequence[Reviewer] = (),
    ) -> None:
        self._project = project
        self._clock = clock
        self._terms = terms
        self._redact = redact
        self._reviewers = tuple(reviewers)

    async def examine(self, state: RunState, base: str, commit: str, round: int) -> ReviewFinished:
        """Review ``commit`` against ``base``, with the project's brief and the run's own tasks."""
        started = self._clock.monotonic()
        slug, last = state.accepted.slug, state.reviewed
        request = msgspec.structs.replace(
            self._terms,
            slug=slug,
            since=base,
            until=commit,
            include_uncommitted=False,
            manifests=tuple(entry.task for entry in state.tasks.values()),
            profile=state.policy.profile if self._reviewers else "none",
            earlier=Earlier(round=round - 1, known=state.review_known),
            touched_since=last.commit if last is not None else "",
        )
        brief = read_artefact(self._project, slug, BRIEF)
        if brief is not None:
            place = artefact_path(self._project, slug, BRIEF)
            request = _with_brief(request, brief, str(place), place)
        done = await review(request, self._redact, self._reviewers)
        keep_review(self._project, done)
        finished = finished_of(done, int((self._clock.monotonic() - started) * 1000))
        return msgspec.structs.replace(finished, commit=commit)


def agent_reviewers(
    seats: Iterable[ReviewSeat], able: Mapping[str, Agent], executor: Executor, workspace: Workspace, folder: Path
) -> tuple[Reviewer, ...]:
    """The agents that review besides the programs.

    Raises:
        NotFoundError: one of them is no agent.
    """
    reviewers = []
    for seat in seats:
        if seat.agent not in able:
            hint = f"agents: {', '.join(sorted(able))}"
            raise NotFoundError(f"review.agents names {seat.agent!r}, and there is no such agent.", hint=hint)
        place, env = folder / "reviews", workspace.environment()
        reviewers.append(AgentReviewer(seat, able[seat.agent], executor, workspace.in_tree, place, env=env))
    return tuple(reviewers)


def request_for(
    cwd: Path, project: Path | None, *, path: Path | None, slug: str | None, since: str
) -> tuple[ReviewRequest, Path | None]:
    """A request for what is around ``cwd``, and the project that its review.md belongs to, if it belongs to one.

    The only project is meant when nobody says what to look at; a range that is named need not be its work.

    Raises:
        InputError: the brief cannot be used, or the project is not there.
    """
    request = ReviewRequest(repo=cwd, since=since)
    if path is not None:
        data, source = read_source(path)
        # Who names a brief agrees to its commands, as with a plan.
        request = msgspec.structs.replace(_with_brief(request, data, source, path), verify=True)
        slug = request.slug
        return _with_progress(request, project, slug), project if project and slug in slugs(project) else None
    known = slugs(project) if project is not None else ()
    request = msgspec.structs.replace(request, verify=slug is not None)
    slug = slug or (known[0] if len(known) == 1 and not since else None)
    if slug is None:
        return request, None
    if project is None or slug not in known:
        raise NotFoundError(f"There is no project {slug!r}.", hint=f"projects: {', '.join(known) or 'none yet'}")
    request = msgspec.structs.replace(request, slug=slug)
    brief = read_artefact(project, slug, BRIEF)
    if brief is not None:
        place = artefact_path(project, slug, BRIEF)
        request = _with_brief(request, brief, str(place), place)
    return _with_progress(request, project, slug), project


def finished_of(done: Review, duration_ms: int) -> ReviewFinished:
    """What is recorded of a review."""
    return ReviewFinished(
        slug=done.slug,
        verdict=done.verdict.value,
        counts=done.counts,
        reviewed_files_count=len(done.coverage),
        mode=done.mode,
        duration_ms=duration_ms,
        round=done.round,
        commit=done.after,
        findings=kept(done.findings),
        known=tuple(finding.id for finding in done.findings)[:MAX_KNOWN],
        models={run.name: run.model for run in done.reviewers if run.model},
    )


def note_review(project: Path, finished: ReviewFinished, at: datetime) -> None:
    """Write down a review outside of any run, which no journal knows of; one line, nothing before ``muster init``."""
    folder = project / ".muster" / "state"
    if not folder.is_dir():
        return
    line = {"type": ReviewFinished.type, "ts": at, **plain(finished)}
    file = os.open(
        folder / "reviews.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    with os.fdopen(file, "ab") as stream:
        stream.write(msgspec.json.encode(line) + b"\n")


def keep_review(project: Path, done: Review) -> Path:
    """Write the project's review.md."""
    return write_artefact(project, done.slug, REVIEW, format_review(done))


def load_review(project: Path | None, path: Path | None, slug: str | None) -> tuple[bytes, Path]:
    """The bytes of an existing review.md, and where it is.

    Raises:
        NotFoundError: there is none.
    """
    if path is not None:
        return read_source(path)[0], path
    known = slugs(project) if project is not None else ()
    slug = slug or (known[0] if len(known) == 1 else None)
    data = read_artefact(project, slug, REVIEW) if project is not None and slug is not None else None
    if project is None or slug is None or data is None:
        raise NotFoundError("There is no review.md.", hint="Name its file, or its project with --project.")
    return data, artefact_path(project, slug, REVIEW)


def _with_brief(request: ReviewRequest, data: bytes, source: str, place: Path) -> ReviewRequest:
    from muster.model.planning.brief_document import parse_brief  # brings YAML along

    brief = parse_brief(data, source=source)
    return msgspec.structs.replace(
        request, slug=brief.slug, brief=brief, brief_path=str(place.resolve()), brief_mtime=place.stat().st_mtime
    )


def _with_progress(request: ReviewRequest, project: Path | None, slug: str) -> ReviewRequest:
    """The request with where the project's newest run began, and the tasks of its plan."""
    if project is None or not is_slug(slug):
        return request
    data = read_artefact(project, slug, PROGRESS)
    if data is not None:
        try:
            progress = msgspec.json.decode(data, type=Progress)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InputError(f"{artefact_path(project, slug, PROGRESS)}: {error}.") from error
        request = msgspec.structs.replace(request, session_start=progress.session_start_sha)
    plan = _plan(project, slug)
    return msgspec.structs.replace(request, manifests=plan.tasks) if plan is not None else request


def _plan(project: Path, slug: str) -> Plan | None:
    from muster.model.planning.plan_document import parse_plan

    data = read_artefact(project, slug, PLAN)
    return parse_plan(data, source=str(artefact_path(project, slug, PLAN))) if data is not None else None
