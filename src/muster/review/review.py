"""One review from the range to the verdict: scope, triage, reviewers side by side, coordinator."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import anyio

from muster.model.findings import (
    Bar,
    Review,
    ReviewerRun,
    ReviewerStatus,
    Verdict,
)
from muster.model.plan import Task
from muster.model.planning.brief import Brief
from muster.model.record import Record
from muster.model.redaction import Redactor
from muster.model.running.state import replace
from muster.ports import Reviewer, ReviewerReport, ReviewPacket
from muster.review.catalogue import EXTENSIONS, rules_of
from muster.review.coordinator import Earlier, Lines, Material, coordinate, verdict_of
from muster.review.packets import packet_of
from muster.review.plain import sealed
from muster.review.refuted import read_refuted
from muster.review.rules.run import run_rules
from muster.review.scope import Scope, find_scope
from muster.review.triage import Triage, triage
from muster.review.trial import Trial

PROGRAMS = "programs"


class ReviewRequest(Record, frozen=True):
    """What is to be reviewed and how; ``repo`` is any folder of a repository.

    ``verify`` says that the brief's commands may run: a person named the brief, or trusts the project.

    ``extensions`` off leaves the rules to the seed of the catalogue. ``skip`` and
    ``deep`` are an operator's patterns for the triage.

    ``touched_since`` is the commit that the last round of ``earlier`` was about.
    ``notes`` are what a reader has to know of how the request came about.
    """

    repo: Path
    slug: str = "review"
    since: str = ""
    until: str = "HEAD"
    session_start: str = ""
    include_uncommitted: bool = True
    brief: Brief | None = None
    brief_path: str = ""
    brief_mtime: float | None = None
    manifests: tuple[Task, ...] = ()
    verify: bool = False
    linters: tuple[str, ...] = ()
    extensions: bool = True
    skip: tuple[str, ...] = ()
    deep: tuple[str, ...] = ()
    mode: str = "default"
    bar: Bar = Bar.ANY
    profile: str = "none"
    earlier: Earlier = Earlier()
    touched_since: str = ""
    notes: tuple[str, ...] = ()


async def survey(request: ReviewRequest, loose: Path) -> tuple[Scope, Triage]:
    """What a review would look at, and how closely; ``loose`` is an empty folder for the objects of uncommitted text.

    Raises:
        InputError: there is no repository here, or no such commit.
    """
    scope = await find_scope(
        request.repo,
        since=request.since,
        until=request.until,
        session_start=request.session_start,
        brief_mtime=request.brief_mtime,
        include_uncommitted=request.include_uncommitted,
        loose=loose,
    )
    return scope, triage(scope, skip=request.skip, deep=request.deep)


async def review(
    request: ReviewRequest, redact: Callable[[str], str] | None = None, reviewers: Sequence[Reviewer] = ()
) -> Review:
    """Review a range; without agents the same repository and request give the same review.

    Raises:
        InputError: there is no repository here, or no such commit.
    """
    with tempfile.TemporaryDirectory(prefix="muster-review-") as loose:
        return await _review(request, redact or Redactor(), reviewers, Path(loose))


async def _review(
    request: ReviewRequest, redact: Callable[[str], str], reviewers: Sequence[Reviewer], loose: Path
) -> Review:
    scope, seen = await survey(request, loose)
    blank = _blank(request, scope, seen)
    if seen.refused:
        return sealed(_refused(blank, seen), redact)
    refuted: dict[str, str] = {}

    touched: frozenset[str] = frozenset()

    async def look_up() -> None:
        nonlocal touched
        refuted.update(await read_refuted(scope.root, scope.store, scope.before))
        if request.touched_since:
            with scope.objects() as objects:
                touched = await objects.differing(request.touched_since, scope.after_tree)

    heard: dict[int, ReviewerReport] = {}

    async def ask(number: int, reviewer: Reviewer, packet: ReviewPacket) -> None:
        heard[number] = await reviewer.review(packet)

    async with anyio.create_task_group() as group:
        group.start_soon(look_up, name="refuted findings")
        brief = request.brief if request.mode != "quick" else None
        if scope.changes:
            packet = packet_of(scope, seen, request.brief_path if brief is not None else "", redact)
            for number, reviewer in enumerate(reviewers):
                group.start_soon(ask, number, reviewer, packet, name=reviewer.name)
        trial = Trial(scope, request.linters)
        report = await run_rules(
            scope,
            seen,
            brief,
            request.manifests,
            check=trial.check if request.verify else None,
            lint=trial.lint if request.linters else None,
            extensions=request.extensions,
        )
    told = [heard[number] for number in sorted(heard)]
    said = (found for one in told for found in one.findings)
    findings, dropped = coordinate(
        (*report.findings, *said),
        _material(request, scope),
        lines_of(scope),
        redact,
        rules=rules_of(extensions=request.extensions),
        bar=request.bar,
        earlier=replace(request.earlier, refuted=refuted, touched=touched),
        reasonable=request.mode != "quick",
    )
    runs = (ReviewerRun(name=PROGRAMS, status=ReviewerStatus.DONE), *(one.run for one in told))
    done = replace(
        blank,
        verdict=verdict_of(findings, runs),
        findings=findings,
        dropped=dropped,
        needs_agent=report.needs_agent,
        reviewers=runs,
        notes=(*blank.notes, *report.notes, *_left_out(request), *_one_vendor(reviewers)),
    )
    return sealed(done, redact)


def lines_of(scope: Scope) -> Lines:
    """The lines of each file as it is after the change."""
    changes = {change.path: change for change in scope.changes}

    @cache
    def lines(path: str) -> Sequence[str] | None:
        change = changes.get(path)
        data = scope.new(change) if change is not None else None
        if data is None:
            return None
        # As the rules read it, so that what they quote is found.
        return [line.removesuffix("\r") for line in data.decode("utf-8", "surrogateescape").split("\n")]

    return lines


def _blank(request: ReviewRequest, scope: Scope, seen: Triage) -> Review:
    return Review(
        slug=request.slug,
        verdict=Verdict.ALLOW,
        mode=request.mode,
        before=scope.before,
        after=scope.after,
        uncommitted=any(change.uncommitted for change in scope.changes),
        profile=request.profile,
        bar=request.bar,
        round=request.earlier.round + 1,
        coverage=seen.covered,
        notes=(*request.notes, *scope.warnings),
    )


def _refused(blank: Review, seen: Triage) -> Review:
    tries = tuple(f"Try {suggestion}" for suggestion in seen.suggestions)
    return replace(blank, verdict=Verdict.REFUSED, notes=(*blank.notes, seen.refused, *tries))


def _material(request: ReviewRequest, scope: Scope) -> Material:
    named = {path for change in scope.changes for path in (change.path, change.old_path) if path}
    return Material(
        paths=frozenset(named | {request.brief_path} - {""}),
        lineage={change.path: change.old_path for change in scope.changes if change.old_path},
    )


def _one_vendor(reviewers: Sequence[Reviewer]) -> tuple[str, ...]:
    vendors = {reviewer.name.rpartition("/")[2] for reviewer in reviewers}
    if len(reviewers) < 2 or len(vendors) > 1:
        return ()
    return (f"Both agent reviewers are {vendors.pop()}: two vendors do not share their blind spots.",)


def _left_out(request: ReviewRequest) -> Iterator[str]:
    if request.brief is None or request.mode == "quick":
        why = "a quick review looks at code only" if request.brief is not None else "there is no brief"
        yield f"Conformance with a brief was not looked at: {why}."
    if not request.extensions:
        yield f"The catalogue is the seed, so nobody looked for {', '.join(sorted(EXTENSIONS))}."
