"""A brief as a Markdown file that people write: reading, checking and writing it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from muster.model.planning.brief import REQUIRED, SECTIONS, Brief, BriefSection, Criterion
from muster.model.planning.document import front_fields, open_document
from muster.model.planning.issues import BriefError, Issue, Issues, Severity, quoted
from muster.model.planning.markdown import Block, Document, Section, is_prose, read_markdown, trimmed
from muster.model.planning.plan_rules import name_problem, title_problem
from muster.model.planning.plan_writer import scalar
from muster.model.planning.slugs import slug_of, slug_problem

MAX_BRIEF_BYTES = 4 * 1024 * 1024
FRONT_KEYS = ("type", "slug", "title", "created", "profile")
AGAIN = "run `muster brief` again"
NONE = "None."

_ITEM = re.compile(r"^(?:[-*+]|[0-9]{1,9}[.)])(?:[ \t]+|$)")
_STRUCTURE = re.compile(r"^( *)(#|```|~~~|<!--)", re.MULTILINE)
_FENCE = re.compile(r"^ *(`{3,}|~{3,})")
_NOTHING = frozenset({"", "none", "none.", "n/a", "-", "nothing", "nothing."})


def parse_brief(data: bytes, *, source: str, strict: bool = False) -> Brief:
    """Read a brief.

    Soft accepts whatever has the required sections; strict refuses every
    deviation from the form.

    Raises:
        BriefError: with all that is wrong, each with file, line and what is allowed.
    """
    brief, issues = check_brief(data, source=source, strict=strict)
    if brief is None:
        raise BriefError(source, issues)
    return brief


def check_brief(data: bytes, *, source: str, strict: bool) -> tuple[Brief | None, tuple[Issue, ...]]:
    """Read a brief and say all that is wrong; there is no brief when something is an error."""
    issues = Issues()
    document = open_document(data, "brief", MAX_BRIEF_BYTES, issues)
    if document is None or issues.errors:
        return None, issues.sorted
    reader = _Reader(document, issues, strict=strict)
    values = reader.read()
    if issues.errors:
        return None, issues.sorted
    title = reader.title
    stem = source.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".md")
    slug = reader.slug or slug_of(title or str(values.get("goal", "")), slug_of(stem, "brief"))
    return Brief(slug=slug, title=title, created=reader.created, profile=reader.profile, **values), issues.sorted


def looks_like_brief(text: str) -> bool:
    r"""Whether somebody wrote this as a brief: its front matter says so, or it has two of a brief's sections.

    >>> looks_like_brief("# Login\n## Intent\nx\n## Goal\ny\n"), looks_like_brief("Make it faster.")
    (True, False)
    """
    document = read_markdown(text)
    front = document.front_matter
    if front and re.search(r"^type:[ \t]*[\"']?brief\b", front.text, re.MULTILINE):
        return True
    return len({known_section(section) for section in document.sections} - {None}) >= 2


def format_brief(brief: Brief) -> str:
    """Write a brief in its one canonical form; every section is there, an empty one says so."""
    front = ["---", "type: brief", f"slug: {scalar(brief.slug)}"]
    if brief.created is not None:
        front.append(f"created: {brief.created.isoformat()}")
    if brief.profile:
        front.append(f"profile: {scalar(brief.profile)}")
    heading = read_markdown(f"# {brief.title}").sections[-1]
    titled = bool(brief.title) and heading.title == brief.title and known_section(heading) is None
    if brief.title and not titled:
        front.append(f"title: {scalar(brief.title)}")
    parts = ["\n".join([*front, "---"])]
    if titled:
        parts.append(f"# {brief.title}")
    if brief.preface:
        parts.append(brief.preface)
    for title, field in SECTIONS.items():
        parts.append(f"## {title}")
        value: Any = getattr(brief, field)
        if isinstance(value, str):
            parts.append(value or NONE)
        else:
            items = [item.text if isinstance(item, Criterion) else item for item in value]
            parts.append("\n".join(_as_item(item) for item in items) or NONE)
    for extra in brief.extra:
        parts.append(f"## {extra.title}")
        if extra.text:
            parts.append(extra.text)
    return "\n\n".join(parts) + "\n"


def items_of(text: str) -> tuple[str, ...]:
    r"""The list items of a section and the paragraphs between them, each without its mark.

    >>> items_of("- one\n  more\n- two\n\nAnd this.\n")
    ('one\nmore', 'two', 'And this.')
    """
    return tuple(item for item, _ in blocks_of(text))


def blocks_of(text: str) -> Iterable[tuple[str, bool]]:
    """List items and paragraphs in order; the second value says whether it was an item of a list."""
    lines: list[str] = []
    indent, blank, fence = 0, False, ""
    for line in [*text.split("\n"), None]:
        item = None if line is None or fence else _ITEM.match(line)
        ends = (
            line is None or item or (blank and not fence and line.strip() and not line.startswith(" " * max(indent, 1)))
        )
        if ends and any(each.strip() for each in lines):
            yield trimmed("\n".join(lines)), indent > 0
        if line is None:
            return
        if ends:
            lines, indent = [], 0
        if item:
            indent = 2 if len(item[0]) <= 2 else len(item[0])
            line = line[item.end() :]
        elif indent:
            line = line[min(indent, len(line) - len(line.lstrip(" "))) :]
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif fence and len(line.strip()) >= len(fence) and not line.strip().strip(fence[0]):
            fence = ""
        lines.append(line)
        blank = not line.strip()


class _Reader:
    """Reads the parts of a brief; what strict refuses is only a warning when soft."""

    def __init__(self, document: Document, issues: Issues, *, strict: bool) -> None:
        self.document = document
        self.issues = issues
        self.strict = strict
        self.title = self.slug = self.profile = ""
        self.created: datetime | None = None

    def read(self) -> dict[str, Any]:
        self._front_matter(self.document.front_matter)
        values: dict[str, Any] = {}
        prefaces, extra = [], []
        lines: dict[str, int] = {}
        for section in self.document.sections:
            name = known_section(section)
            text = trimmed(section.text)
            if name in lines:
                self._form("DUPLICATE", f"section {name!r} is there twice, first on line {lines[name]}", section.line)
                values[SECTIONS[name]] = _joined(values[SECTIONS[name]], _value(name, text))
            elif name:
                lines[name] = section.line
                values[SECTIONS[name]] = _value(name, text)
                if not values[SECTIONS[name]] and name in REQUIRED:
                    self._missing(f"section {name!r} is empty", section.line)
            elif section.level == 2:
                message = f"unknown section {quoted(section.title)}; it is kept"
                hint = self.issues.similar(section.title, SECTIONS)
                self._warn("UNKNOWN_SECTION", message, section.line, hint=hint)
                extra.append(BriefSection(title=section.title, text=text))
            elif section.level == 1 and not self.title:
                self.title = section.title
                prefaces.append(text)
            else:
                # A second title is no reason to lose what is written under it.
                heading = f"### {section.title}" if section.level else ""
                prefaces += [heading, text]
        for name in SECTIONS:
            if name not in lines:
                absent = f"section {name!r} is missing"
                if name in REQUIRED:
                    self._missing(absent, 1)
                else:
                    self._form("MISSING_SECTION", absent, 1)
        criteria = values.get("success_criteria", ())
        if criteria and not any(each.checkable for each in criteria):
            hint = "add verify: `command`, file: `path` or symbol: `name`"
            line = lines["Success Criteria"]
            message = "no success criterion can be checked by a program"
            self._warn("NOT_CHECKABLE", message, line, hint=hint)
        values["preface"] = "\n\n".join(part for part in prefaces if part)
        values["extra"] = tuple(extra)
        return values

    def _front_matter(self, block: Block | None) -> None:
        if block is None:
            self._form("FRONT_MATTER", "there is no front matter", 1, hint="begin with ---, type: brief, slug: …, ---")
            return
        fields = front_fields(block, self.issues)
        if fields is None:
            return
        if self.strict:
            fields.refuse_unknown(FRONT_KEYS)
        fields.text("type", lambda text: None if text == "brief" else (f"{quoted(text)} is no brief", "brief"))
        self.slug = fields.text("slug", slug_problem)
        self.title = fields.text("title", title_problem)
        self.profile = fields.text("profile", name_problem)
        created = fields.text("created", _time_problem)
        self.created = datetime.fromisoformat(created) if created else None
        for key in ("type", "slug"):
            if not fields.has(key):
                self._form("FRONT_MATTER", f"{key!r} is missing", 1, path="front matter")

    def _missing(self, message: str, line: int) -> None:
        self.issues.error("MISSING_SECTION", message, line, hint=AGAIN)

    def _form(self, code: str, message: str, line: int, *, path: str = "", hint: str = "") -> None:
        if self.strict:
            self.issues.error(code, message, line, path, hint=hint)
        else:
            self._warn(code, message, line, path=path, hint=hint)

    def _warn(self, code: str, message: str, line: int, *, path: str = "", hint: str = "") -> None:
        self.issues.add(Issue(code=code, message=message, severity=Severity.WARNING, line=line, path=path, hint=hint))


def known_section(section: Section) -> str | None:
    """The name of a brief's section that a heading means; None for other sections."""
    words = " ".join(re.findall(r"[a-z]+", section.title.lower()[:100]))
    names = {name.lower().replace("-", " "): name for name in SECTIONS}
    return names.get(words) if section.level else None


def _value(name: str, text: str) -> Any:
    if text.lower() in _NOTHING:
        text = ""
    if name in ("Intent", "Goal"):
        return text
    items = items_of(text)
    return tuple(Criterion(text=item) for item in items) if name == "Success Criteria" else items


def _joined(first: Any, second: Any) -> Any:
    return "\n\n".join(filter(None, (first, second))) if isinstance(first, str) else first + second


def _as_item(text: str) -> str:
    body = "\n".join(f"  {line}" if line else "" for line in text.split("\n"))
    # A fence or comment is only seen where it begins its line; a heading in an item must not be seen at all.
    forms = (f"-{body[1:]}", f"-\n{body}", "-" + _STRUCTURE.sub(r"\1\\\2", body)[1:])
    return next((form for form in forms if is_prose(form)), forms[-1])


def _time_problem(text: str) -> tuple[str, str] | None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return f"{quoted(text)} is no time", "for example 2026-01-31T12:00:00+00:00"
    return None
