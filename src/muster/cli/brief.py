"""``muster brief``: write down what is wanted and how it is judged."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.output import emit, json_option

if TYPE_CHECKING:
    from muster.model.brief import Brief
    from muster.model.issues import Issue

TEMPLATE = """\
<!-- Say what you want in your own words; this comment is left out.
Paragraphs become the intent. List items become criteria, constraints or questions:

- a thing that must hold, verify: `make test`
- never change the public interface
- which database?
-->
"""


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("-m", "--message", "messages", multiple=True, metavar="TEXT", help="What is wanted; again for more.")
@click.option("--project", "slug", metavar="SLUG", help="The project's name; by default made from the title.")
@click.option("--strict/--soft", default=False, help="Refuse every deviation from a brief's form (default: soft).")
@click.option("--force", is_flag=True, help="Replace a brief that is there already.")
@json_option
def brief(
    file: Path | None, messages: tuple[str, ...], slug: str | None, strict: bool, force: bool, as_json: bool
) -> None:
    """Make a brief from your words, or check one that you wrote.

    The words come from -m, from FILE ('-' is the standard input) or from your
    editor. A text that has a brief's sections is checked and kept as it is;
    any other is sorted into sections, with nothing left out and no model asked.
    """
    from muster.config.load import find_project
    from muster.model.brief_document import format_brief, looks_like_brief

    project = find_project(Path.cwd())
    data, source = _words(file, messages)
    text = _text(data, source)
    if looks_like_brief(text):
        found, issues = _checked(data, source, strict)
        kept = found.slug == (slug or found.slug) and _has_slug(text)
    else:
        found, issues, kept = _drafted(text, slug, source), (), False
    found = _with_slug(found, slug)
    place, written = _keep(project, found.slug, text if kept else format_brief(found), source, force=force)
    shown = _relative(place)
    if as_json:
        warnings = [issue.text(source) for issue in issues]
        digest = sha256(place.read_bytes()).hexdigest()
        emit(
            {
                "slug": found.slug,
                "path": shown,
                "sha256": digest,
                "written": written,
                "warnings": warnings,
                "brief": found,
            }
        )
        return
    for issue in issues:
        click.echo(issue.text(source), err=True)
    click.echo(f"{'wrote' if written else 'fine as it is:'} {shown}")
    for question in found.open_questions:
        click.echo(f"open:  {' '.join(question.split())}")
    click.echo(f"next:  look at {shown}, then muster plan new .muster/projects/{found.slug}/plan.md")


def _words(file: Path | None, messages: tuple[str, ...]) -> tuple[bytes, str]:
    from muster.pipeline.artefacts import read_source

    if messages and file is not None:
        raise click.UsageError("Give either -m or FILE.")
    if messages:
        return "\n\n".join(messages).encode(errors="surrogateescape"), "-m"
    if file is not None:
        return read_source(file)
    if not sys.stdin.isatty():
        raise click.UsageError("Say what is wanted: -m TEXT, a FILE, or '-' for the standard input.")
    written = click.edit(TEMPLATE, extension=".md", require_save=False) or ""
    return written.replace(TEMPLATE, "").encode(), "editor"


def _text(data: bytes, source: str) -> str:
    from muster.model.errors import InputError
    from muster.model.issues import BriefError, Issue
    from muster.model.markdown import NotTextError, decode

    try:
        text = decode(data)
    except NotTextError as error:
        issue = Issue(code="NOT_TEXT", message=str(error), line=error.line, hint=error.hint)
        raise BriefError(source, [issue]) from None
    if not text.strip():
        raise InputError("Nothing was said, so there is no brief.", hint='muster brief -m "what is wanted"')
    return text


def _checked(data: bytes, source: str, strict: bool) -> tuple[Brief, tuple[Issue, ...]]:
    from muster.model.brief_document import check_brief
    from muster.model.issues import BriefError

    found, issues = check_brief(data, source=source, strict=strict)
    if found is None:
        raise BriefError(source, issues)
    return found, issues


def _drafted(text: str, slug: str | None, source: str) -> Brief:
    from muster.clock import SystemClock
    from muster.model.brief_document import MAX_BRIEF_BYTES, check_brief, format_brief
    from muster.model.brief_draft import draft_brief
    from muster.model.errors import InputError
    from muster.model.issues import Severity
    from muster.model.quantities import format_size
    from muster.model.slugs import slug_of

    if len(text) > MAX_BRIEF_BYTES:
        raise InputError(f"{source}: the text is too long for a brief; at most {format_size(MAX_BRIEF_BYTES)} fit.")
    draft = draft_brief(text, slug or "brief", SystemClock().now().replace(microsecond=0))
    _, issues = check_brief(format_brief(draft).encode(), source=source, strict=True)
    errors = [issue.message for issue in issues if issue.severity is Severity.ERROR]
    if errors:
        hint = "say in a sentence or more what is wanted"
        raise InputError(f"{source}: no brief can be made from this: {errors[0]}.", hint=hint)
    return _with_slug(draft, slug or slug_of(draft.title, "brief"))


def _with_slug(found: Brief, slug: str | None) -> Brief:
    import msgspec

    return msgspec.structs.replace(found, slug=slug) if slug else found


def _has_slug(text: str) -> bool:
    """Whether a text names its slug itself, so that it can be kept byte for byte."""
    from muster.model.markdown import read_markdown

    front = read_markdown(text).front_matter
    return front is not None and any(line.startswith("slug:") for line in front.text.split("\n"))


def _keep(project: Path, slug: str, text: str, source: str, *, force: bool) -> tuple[Path, bool]:
    """Write the brief, unless it is there already; never over another one without being told."""
    from muster.model.errors import RefusedError
    from muster.pipeline.artefacts import BRIEF, artefact_path, read_artefact, write_artefact

    place = artefact_path(project, slug, BRIEF)
    old = read_artefact(project, slug, BRIEF)
    # Checking a brief in its own place must not change it, whatever its line ends are.
    if old is not None and (old == text.encode() or Path(source).resolve() == place.resolve()):
        return place, False
    if old is not None and not force:
        raise RefusedError(
            f"{_relative(place)} exists already; nothing was changed.",
            hint="--force replaces it, --project SLUG makes another one",
        )
    return write_artefact(project, slug, BRIEF, text), True


def _relative(place: Path) -> str:
    try:
        return str(place.relative_to(Path.cwd()))
    except ValueError:
        return str(place)
