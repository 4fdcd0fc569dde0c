"""``muster review``: a verdict on what changed, in any git repository."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, json_option, redactor, style

if TYPE_CHECKING:
    from muster.model.findings import Review
    from muster.review.review import ReviewRequest
    from muster.review.scope import Scope
    from muster.review.triage import Triage

EXIT_CODES = {"ALLOW": 0, "WARN": 0, "BLOCK": 3, "REFUSED": 4, "INCONCLUSIVE": 5}
INVALID = 6
_WORDS = re.compile("^(?:ALLOW|WARN|BLOCK|REFUSED|INCONCLUSIVE|BLOCKER|MAJOR|MINOR|SUGGESTION)(?=[: ])", re.MULTILINE)
_COLOURS = {"ALLOW": "green", "SUGGESTION": "cyan", "MINOR": "cyan", "BLOCK": "red", "BLOCKER": "red", "MAJOR": "red"}
FORMATS = ("md", "json", "sarif", "gitlab", "junit", "rdjson", "github", "table")


class _Review(click.Command):
    """Reviews, or hands over to the one command below it: a brief may stand where others have a command's name."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments of whichever command they are for."""
        if args[:1] == ["refute"]:
            return refute.make_context(f"{info_name} refute", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_Review)
@click.argument("path", metavar="[BRIEF]", required=False, type=click.Path(path_type=Path))
@click.option("--project", "slug", metavar="SLUG", help="Hold the change against the brief of this project.")
@click.option("--since", default="", metavar="REF", help="Review what changed after this commit.")
@click.option(
    "--mode",
    type=click.Choice(["default", "quick", "validate", "dry-run"]),
    default="default",
    help="All; code only; check an existing review.md; or show what would be looked at.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="What to print.")
@click.option("--fail-on", type=click.Choice(["warn"]), help="Exit with 1 when the verdict is WARN.")
@click.option(
    "--gate",
    type=click.Choice(["any", "corroborated", "verified"]),
    help="What a finding of an agent needs before it counts; by default what the settings say.",
)
@json_option
@click.pass_context
def review(
    ctx: click.Context,
    path: Path | None,
    slug: str | None,
    since: str,
    mode: str,
    form: str | None,
    fail_on: str | None,
    gate: str | None,
    as_json: bool,
) -> None:
    """Review what changed: find what is wrong, say how sure that is, come to a verdict.

    Works in any git repository. With a project or BRIEF the change is held
    against it, from where its work began; --since names another beginning.
    Uncommitted changes count too. The verdict goes into the project's
    review.md; without a project it is printed, to a terminal in short.

    Exit codes: 0 ALLOW or WARN, 1 WARN with --fail-on warn, 2 usage, 3 BLOCK,
    4 REFUSED (too large), 5 INCONCLUSIVE, 6 review.md is not valid.

    A finding that is none: muster review refute ID -m WHY.
    """
    import anyio

    if path is not None and slug is not None:
        raise click.UsageError("Give either BRIEF or --project.")
    if path is not None and str(path) != "-" and not path.exists():
        raise click.UsageError(f"There is no file {str(path)!r}. A commit is named with --since.")
    if mode == "validate":
        ctx.exit(_validate(path, slug, as_json=as_json))
    form = "json" if as_json else form
    ctx.exit(anyio.run(_review, path, slug, since, mode, form, fail_on, gate))


@click.command()
@click.argument("finding", metavar="ID")
@click.option("-m", "why", required=True, help="Why it is no finding.")
def refute(finding: str, why: str) -> None:
    """Say that finding ID is none: it is left out until the text that it is about changes.

    Kept in the git folder, so no branch brings it along. To share it, commit
    the book as .muster/refuted.json; it counts from the commit before a range.
    """
    import anyio

    anyio.run(_refute, finding, why)


async def _review(
    path: Path | None, slug: str | None, since: str, mode: str, form: str | None, fail_on: str | None, gate: str | None
) -> int:
    import tempfile

    from muster.cli.project import read_settings
    from muster.clock import SystemClock
    from muster.config.policy import on_terms
    from muster.model.findings import Bar
    from muster.model.running.state import replace
    from muster.operations.reviewing import reviewers_alone
    from muster.pipeline.reviewing import finished_of, keep_review, note_review, request_for
    from muster.review.formats import FORMATS as WRITERS
    from muster.review.review import review as review_range
    from muster.review.review import survey
    from muster.wiring.kit import open_project

    redact, clock = redactor(), SystemClock()
    started = clock.monotonic()
    home, resolved = read_settings()
    request, project = request_for(Path.cwd(), home, path=path, slug=slug, since=since)
    left = (one for one in resolved.ignored if one.key.startswith("review."))
    notes = tuple(f"{one.label} sets {one.key}, which is not trusted and so does not count." for one in left)
    request = replace(on_terms(request, resolved.settings.review), mode=mode, notes=notes)
    if gate is not None:
        request = replace(request, bar=Bar(gate))
    if mode == "dry-run":
        with tempfile.TemporaryDirectory(prefix="muster-review-") as loose:
            scope, seen = await survey(request, Path(loose))
        _forecast(request, scope, seen, as_json=form == "json")
        return EXIT_CODES["REFUSED"] if seen.refused else 0
    if home is not None and resolved.settings.review.agents:
        async with open_project(home) as kit, reviewers_alone(kit) as (reviewers, profile):
            done = await review_range(replace(request, profile=profile), redact, reviewers)
    else:
        done = await review_range(request, redact)
    more = "all of it: muster review --format md"
    if project is not None:
        more = f"review: {keep_review(project, done)}"
        note_review(project, finished_of(done, int((clock.monotonic() - started) * 1000)), clock.now())
    short = form is None and (project is not None or sys.stdout.isatty())
    text = WRITERS["table" if short else form or "md"](done)
    click.echo(_coloured(text) if short or form == "table" else text, nl=False)
    if short:
        click.echo(more)
    return _exit_code(done, fail_on)


def _coloured(text: str) -> str:
    """A table whose verdict and severities stand out, on a terminal that wants it."""
    return _WORDS.sub(lambda found: style(found[0], fg=_COLOURS.get(found[0], "yellow"), bold=True), text)


def _exit_code(done: Review, fail_on: str | None) -> int:
    if done.verdict.value == "WARN" and fail_on == "warn":
        return 1
    return EXIT_CODES[done.verdict.value]


def _forecast(request: ReviewRequest, scope: Scope, seen: Triage, *, as_json: bool) -> None:
    from muster.cli.output import table
    from muster.review.document import span
    from muster.review.plain import plain, storable

    warnings = [storable(each) for each in (*request.notes, *scope.warnings)]
    if as_json:
        asked = {"slug": request.slug, "before": scope.before, "after": scope.after, "diff_bytes": scope.diff_bytes}
        emit({**asked, "warnings": warnings, **plain(seen, storable)})
        return
    click.echo(f"range: {span(scope.before, scope.after, uncommitted=any(row.uncommitted for row in seen.covered))}")
    rows = [
        (
            storable(row.path),
            row.treatment.value,
            row.reason,
            "binary" if row.added is None else f"+{row.added} -{row.deleted}",
        )
        for row in seen.covered
    ]
    table(("FILE", "TREATMENT", "WHY", "LINES"), rows)
    files = f"{len(rows)} file{'s' * (len(rows) != 1)}"
    click.echo(f"{files}, about {-(-scope.diff_bytes // 4):,} tokens; nothing was written")
    for line in (*warnings, *([f"refused: {seen.refused}"] if seen.refused else []), *seen.suggestions):
        click.echo(line)


def _validate(path: Path | None, slug: str | None, *, as_json: bool) -> int:
    from muster.cli.project import find_any_project
    from muster.pipeline.artefacts import write_text
    from muster.pipeline.reviewing import load_review
    from muster.review.validate import check_review

    data, place = load_review(find_any_project(), path, slug)
    checked = check_review(data)
    if checked.mended:
        write_text(place, checked.mended)
    state = "not valid" if checked.review is None else "mended" if checked.mended else "valid"
    if as_json:
        issues = [{"code": i.code, "message": i.message, "line": i.line, "path": i.path} for i in checked.issues]
        emit(
            {
                "source": str(place),
                "valid": checked.review is not None,
                "mended": bool(checked.mended),
                "issues": issues,
            }
        )
    else:
        for issue in checked.issues:
            click.echo(issue.text(str(place)))
        click.echo(f"{place}: {state}")
    return 0 if checked.review is not None else INVALID


async def _refute(finding: str, why: str) -> None:
    from muster.clock import SystemClock
    from muster.process.git import Git
    from muster.review.refuted import Refutation, refute
    from muster.wiring.kit import operator

    # Asked of git and not of the scope: a refutation needs no commit.
    objects = await Git(Path.cwd()).text("rev-parse", "--path-format=absolute", "--git-path", "objects")
    at = SystemClock().now().isoformat(timespec="seconds")
    place = refute(Path(objects), Refutation(id=finding, why=why, by=operator(), at=at))
    click.echo(f"refuted {finding}; kept in {place}")
