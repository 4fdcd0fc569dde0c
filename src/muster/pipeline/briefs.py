"""A brief from what a person says: checked and kept where it is one already, else sorted into sections."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from muster.model.errors import InputError, RefusedError
from muster.model.planning.brief import Brief
from muster.model.planning.brief_document import MAX_BRIEF_BYTES, check_brief, format_brief, looks_like_brief
from muster.model.planning.brief_draft import draft_brief
from muster.model.planning.issues import BriefError, Issue, Severity
from muster.model.planning.markdown import NotTextError, decode, read_markdown
from muster.model.planning.slugs import slug_of
from muster.model.quantities import format_size
from muster.pipeline.artefacts import BRIEF, artefact_path, read_artefact, write_artefact


class Told(msgspec.Struct, frozen=True):
    """What a person said, the brief in it, what is doubtful about it, and whether its text is kept as it is."""

    text: str
    brief: Brief
    issues: tuple[Issue, ...] = ()
    kept: bool = False

    @property
    def document(self) -> str:
        """The brief as a file."""
        return self.text if self.kept else format_brief(self.brief)


def read_brief(data: bytes, source: str, now: datetime, *, slug: str | None = None, strict: bool = False) -> Told:
    """The brief in a person's words.

    Raises:
        BriefError: it has a brief's sections and cannot be used.
        InputError: nothing was said, or nothing that a brief can be made from.
    """
    try:
        text = decode(data)
    except NotTextError as error:
        raise BriefError(
            source, [Issue(code="NOT_TEXT", message=str(error), line=error.line, hint=error.hint)]
        ) from None
    if not text.strip():
        raise InputError("Nothing was said, so there is no brief.", hint='muster brief -m "what is wanted"')
    if not looks_like_brief(text):
        return Told(text=text, brief=_drafted(text, slug, source, now))
    found, issues = check_brief(data, source=source, strict=strict)
    if found is None:
        raise BriefError(source, issues)
    kept = found.slug == (slug or found.slug) and _has_slug(text)
    return Told(text=text, brief=_with_slug(found, slug), issues=issues, kept=kept)


def keep_brief(project: Path, told: Told, source: str, *, force: bool) -> tuple[Path, bool]:
    """Write the brief, unless it is there already; never over another one without being told.

    Raises:
        RefusedError: another brief has this slug.
    """
    slug = told.brief.slug
    place = artefact_path(project, slug, BRIEF)
    old = read_artefact(project, slug, BRIEF)
    # Checking a brief in its own place must not change it, whatever its line ends are.
    if old is not None and (old == told.document.encode() or Path(source).resolve() == place.resolve()):
        return place, False
    if old is not None and not force:
        raise RefusedError(
            f"{place} exists already; nothing was changed.",
            hint="--force replaces it, --project SLUG makes another one",
        )
    return write_artefact(project, slug, BRIEF, told.document), True


def with_free_slug(project: Path, told: Told, source: str) -> Told:
    """The same brief under a slug that no other brief has; words that were said before find their brief again."""
    base, number = told.brief.slug, 1
    while True:
        old = read_artefact(project, told.brief.slug, BRIEF)
        if old is None or Path(source).resolve() == artefact_path(project, told.brief.slug, BRIEF).resolve():
            return told
        before, _ = check_brief(old, source=BRIEF, strict=False)
        if before is not None and msgspec.structs.replace(before, created=None) == msgspec.structs.replace(
            told.brief, created=None
        ):
            return msgspec.structs.replace(told, brief=before)
        number += 1
        told = msgspec.structs.replace(told, brief=_with_slug(told.brief, f"{base[:44]}-{number}"), kept=False)


def _drafted(text: str, slug: str | None, source: str, now: datetime) -> Brief:
    if len(text) > MAX_BRIEF_BYTES:
        raise InputError(f"{source}: the text is too long for a brief; at most {format_size(MAX_BRIEF_BYTES)} fit.")
    draft = draft_brief(text, slug or "brief", now.replace(microsecond=0))
    _, issues = check_brief(format_brief(draft).encode(), source=source, strict=True)
    errors = [issue.message for issue in issues if issue.severity is Severity.ERROR]
    if errors:
        hint = "say in a sentence or more what is wanted"
        raise InputError(f"{source}: no brief can be made from this: {errors[0]}.", hint=hint)
    return _with_slug(draft, slug or slug_of(draft.title, "brief"))


def _with_slug(found: Brief, slug: str | None) -> Brief:
    return msgspec.structs.replace(found, slug=slug) if slug else found


def _has_slug(text: str) -> bool:
    """Whether a text names its slug itself, so that it can be kept byte for byte."""
    front = read_markdown(text).front_matter
    return front is not None and any(line.startswith("slug:") for line in front.text.split("\n"))
