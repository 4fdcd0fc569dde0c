"""Markdown as documents need it: front matter, sections and fenced blocks, each with its line.

It follows CommonMark for what it reads: ATX headings, fences of backticks and
tildes, HTML comments. Headings inside fences or comments are text. It reads
no containers: what is inside a quote or indented by four columns is text.
"""

from __future__ import annotations

import re

from muster.model.record import Record

_FRONT_END = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_STRUCTURE = re.compile(
    r"^(?P<indent> {0,3})(?:"
    r"(?P<level>#{1,6})(?:[ \t]+(?P<title>[^\n]*))?$"
    r"|(?P<ticks>`{3,})(?P<info>[^`\n]*)$"
    r"|(?P<tildes>~{3,})(?P<note>[^\n]*)$"
    r"|(?P<comment><!--))",
    re.MULTILINE,
)


class NotTextError(ValueError):
    """The bytes are not UTF-8 text; says where."""

    def __init__(self, message: str, line: int, hint: str) -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint


class Block(Record, frozen=True):
    """A piece of text and the line it begins at."""

    text: str
    line: int


class Fence(Record, frozen=True, gc=False):
    """A fenced block: its language, the text inside and the line of that text's beginning.

    ``start`` and ``end`` are its place in the section's text, fences included.
    """

    language: str
    text: str
    line: int
    start: int
    end: int


class Section(Record, frozen=True, gc=False):
    """A heading of level 1 or 2 and all below it; level 0 is what comes before the first."""

    level: int
    title: str
    line: int
    text: str = ""
    fences: tuple[Fence, ...] = ()

    def without(self, fence: Fence) -> str:
        """The section's text around a fence, without blank lines at its ends."""
        around = (self.text[: fence.start], self.text[fence.end :])
        return "\n\n".join(part for part in map(trimmed, around) if part)


class Document(Record, frozen=True):
    """A Markdown file: front matter and sections in order.

    ``unclosed`` is what would close a fence, comment or front matter that
    runs on to the end of the file, begun at ``unclosed_line``.
    """

    sections: tuple[Section, ...]
    front_matter: Block | None = None
    unclosed: str = ""
    unclosed_line: int = 0


def decode(data: bytes) -> str:
    r"""Text from bytes: UTF-8 with or without byte order mark, every kind of line end read as a newline.

    >>> decode(b"\xef\xbb\xbfa\r\nb\rc")
    'a\nb\nc'

    Raises:
        NotTextError: the bytes are something else.
    """
    zero = data.find(b"\0")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        what = "the file is UTF-16" if utf16 else f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise NotTextError(what, line, "save the file as UTF-8") from None
    if zero >= 0:
        line = data.count(b"\n", 0, zero) + 1
        raise NotTextError("the file holds a NUL byte", line, "is this really a text file?")
    text = text.removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_markdown(text: str, *, front_matter: bool = True) -> Document:
    r"""Read a document in one pass.

    >>> document = read_markdown("---\ntype: plan\n---\n# Title\n## One\n~~~yaml\n## id: a\n~~~\n### Part\n")
    >>> document.front_matter
    Block(text='type: plan\n', line=2)
    >>> [(section.level, section.title, section.line) for section in document.sections]
    [(0, '', 4), (1, 'Title', 4), (2, 'One', 5)]
    >>> document.sections[2].fences[0].text
    '## id: a\n'
    """
    front, start, unclosed = _front_matter(text) if front_matter else (None, 0, "")
    if unclosed:
        return Document(sections=(), unclosed=unclosed, unclosed_line=1)
    reader = _Reader(text, start)
    reader.read()
    return Document(
        sections=tuple(reader.sections),
        front_matter=front,
        unclosed=reader.unclosed,
        unclosed_line=reader.unclosed_line,
    )


def is_prose(text: str) -> bool:
    """Whether a text can stand inside a section without ending it or swallowing what follows."""
    document = read_markdown(text, front_matter=False)
    return len(document.sections) == 1 and not document.unclosed


def trimmed(text: str) -> str:
    r"""A text without blank lines at its ends; the indentation of its first line stays.

    >>> trimmed("  \n\n  a\n b \n\n")
    '  a\n b'
    """
    ended = text.rstrip()
    begun = ended.lstrip()
    return ended[ended.rfind("\n", 0, len(ended) - len(begun)) + 1 :] if begun else ""


def longest_fence(text: str, mark: str = "`") -> int:
    """The longest row of ``mark`` in a text, which a fence around the text has to exceed."""
    return max(map(len, re.findall(f"{re.escape(mark)}+", text)), default=0)


def _front_matter(text: str) -> tuple[Block | None, int, str]:
    first, newline, _ = text.partition("\n")
    if first.rstrip(" \t") != "---":
        return None, 0, ""
    end = _FRONT_END.search(text, len(first) + 1) if newline else None
    if end is None:
        return None, 0, "---"
    return Block(text=text[len(first) + 1 : end.start()], line=2), min(end.end() + 1, len(text)), ""


class _Reader:
    """Walks over a text from structure to structure, counting lines as it goes."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.at, self.line = start, text.count("\n", 0, start) + 1
        self.sections: list[Section] = []
        self.unclosed, self.unclosed_line = "", 0
        self._head = Section(level=0, title="", line=self.line)
        self._body, self._fences = start, list[Fence]()

    def read(self) -> None:
        position = self.at
        search = _STRUCTURE.search
        while match := search(self.text, position):
            self._advance(match.start())
            if match["level"]:
                position = match.end()
                if len(match["level"]) <= 2:
                    self._close_section(match.start())
                    self._head = Section(
                        level=len(match["level"]), title=_heading(match["title"] or ""), line=self.line
                    )
                    self._body = min(match.end() + 1, len(self.text))
            elif match["comment"]:
                end = self.text.find("-->", match.start("comment") + 2)
                position = self._line_end(end) if end >= 0 else self._run_on("-->")
            else:
                position = self._fence(match)
        self._close_section(len(self.text))

    def _fence(self, match: re.Match[str]) -> int:
        mark = match["ticks"] or match["tildes"]
        info = (match["info"] if match["ticks"] else match["note"]).split(maxsplit=1)
        start = min(match.end() + 1, len(self.text))
        closing = re.compile(rf"^ {{0,3}}{mark[0]}{{{len(mark)},}}+[ \t]*+$", re.MULTILINE).search(self.text, start)
        if closing is None:
            return self._run_on(mark)
        inside = self.text[start : closing.start()]
        if match["indent"]:
            inside = re.sub(rf"^ {{1,{len(match['indent'])}}}", "", inside, flags=re.MULTILINE)
        self._fences.append(
            Fence(
                language=info[0].lower() if info else "",
                text=inside,
                line=self.line + 1,
                start=match.start() - self._body,
                end=closing.end() - self._body,
            )
        )
        return closing.end()

    def _close_section(self, end: int) -> None:
        head = self._head
        self.sections.append(
            Section(
                level=head.level,
                title=head.title,
                line=head.line,
                text=self.text[self._body : end],
                fences=tuple(self._fences),
            )
        )
        self._fences = []

    def _run_on(self, closer: str) -> int:
        self.unclosed, self.unclosed_line = closer, self.line
        return len(self.text)

    def _line_end(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end

    def _advance(self, position: int) -> None:
        self.line += self.text.count("\n", self.at, position)
        self.at = position


def _heading(text: str) -> str:
    """A heading's text without the closing row of number signs that it may have."""
    stripped = text.strip(" \t")
    opened = stripped.rstrip("#")
    if opened == stripped or (opened and opened[-1] not in " \t"):
        return stripped
    return opened.rstrip(" \t")
