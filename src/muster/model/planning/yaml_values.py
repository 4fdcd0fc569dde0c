"""A small YAML block as values with lines: scalars stay text, so ``no``, ``1`` and dates mean what they say.

Only what a manifest needs is accepted. Values are built from parser events,
so that tags never construct anything and depth, size and aliases have limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import yaml

MAX_DEPTH = 8
MAX_VALUES = 2_000
MAX_ALIASES = 100

# YAML reads these as line ends (https://yaml.org/spec/1.1/#id871136), which would change a prompt unseen.
_LINE_ENDS = {"\x85": r"\N", "\u2028": r"\L", "\u2029": r"\P"}
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class YamlScalar(NamedTuple):
    """A piece of text; ``plain`` when it was written without quotes and not as a block."""

    text: str
    line: int
    plain: bool

    @property
    def empty(self) -> bool:
        """Whether nothing was written, or YAML's word for nothing."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


class YamlList(NamedTuple):
    """A list of values."""

    items: tuple[YamlValue, ...]
    line: int


class YamlMap(NamedTuple):
    """A mapping; keys are unique and keep their order."""

    items: dict[str, YamlValue]
    lines: dict[str, int]
    line: int


YamlValue = YamlScalar | YamlList | YamlMap


class YamlProblem(ValueError):
    """A block is not the YAML that is accepted; says on which line."""

    def __init__(self, message: str, line: int, hint: str = "", code: str = "YAML") -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint
        self.code = code


def read_yaml(text: str, first_line: int = 1, *, max_values: int = MAX_VALUES) -> YamlValue:
    """Read one YAML document whose first line is line ``first_line`` of the file.

    >>> read_yaml("needs: [1, no]").items["needs"].items[1].text
    'no'

    Raises:
        YamlProblem: it is not YAML, or holds tags, duplicate keys or too much.
    """
    for character, escape in _LINE_ENDS.items():
        if character in text:
            line = first_line + text.count("\n", 0, text.index(character))
            name = f"U+{ord(character):04X}"
            raise YamlProblem(f"YAML reads {name} as a line end", line, f'write it as {escape} in "double quotes"')
    builder = _Builder(text, first_line, max_values)
    try:
        return builder.document()
    except yaml.reader.ReaderError as error:
        # The error's own position counts bytes or characters, depending on the loader.
        character = error.character if isinstance(error.character, str) else chr(error.character)
        line = first_line + text.count("\n", 0, max(text.find(character), 0))
        name = f"U+{ord(character):04X}"
        raise YamlProblem(f"YAML does not allow the character {name}", line, 'write it escaped in "quotes"') from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + min(mark.line, text.count("\n")) if mark else first_line
        raise YamlProblem(f"not readable as YAML: {error.problem or error.context}", line) from None
    except RecursionError:
        raise YamlProblem("lists and mappings are nested too deeply", first_line) from None


def kind_of(value: YamlValue) -> str:
    """What a value is, for messages.

    >>> kind_of(read_yaml("[a]"))
    'a list'
    """
    if isinstance(value, YamlScalar):
        return "nothing" if value.empty else "text"
    return "a list" if isinstance(value, YamlList) else "a mapping"


class _Builder:
    """Turns parser events into values."""

    def __init__(self, text: str, first_line: int, max_values: int) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_Loader)
        self._first_line = first_line
        self._max_values = max_values
        self._anchors: dict[str, YamlValue | None] = {}
        self._values = self._aliases = 0

    def document(self) -> YamlValue:
        next(self._events)  # the start of the stream
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            return YamlScalar("", self._first_line, True)
        value = self._value(next(self._events), 0)
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise YamlProblem("a block holds one YAML document, here a second one begins", self._line(after))
        return value

    def _value(self, event: yaml.Event, depth: int) -> YamlValue:
        self._values += 1
        line = self._line(event)
        if self._values > self._max_values:
            raise YamlProblem(f"more than {self._max_values:,} values in one block", line)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor or "", line)
        assert isinstance(event, yaml.NodeEvent)
        self._refuse_tag(event, line)
        if event.anchor:
            self._anchors[event.anchor] = None
        value: YamlValue
        if isinstance(event, yaml.ScalarEvent):
            value = YamlScalar(event.value, line, not event.style or event.style == "plain")
        elif depth >= MAX_DEPTH:
            raise YamlProblem("lists and mappings are nested too deeply", line)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(line, depth)
        else:
            value = self._map(line, depth)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _list(self, line: int, depth: int) -> YamlList:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return YamlList(tuple(items), line)

    def _map(self, line: int, depth: int) -> YamlMap:
        items: dict[str, YamlValue] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, YamlScalar):
                raise YamlProblem(f"a key must be text, not {kind_of(key)}", key.line)
            key_line = self._line(event)
            if key.text in items:
                first = lines[key.text]
                message = f"key {key.text[:60]!r} is written twice, first on line {first}"
                raise YamlProblem(message, key_line, code="DUPLICATE_KEY")
            lines[key.text] = key_line
            items[key.text] = self._value(next(self._events), depth + 1)
        return YamlMap(items, lines, line)

    def _alias(self, anchor: str, line: int) -> YamlValue:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise YamlProblem(f"more than {MAX_ALIASES} aliases (*name) in one block", line, code="ALIASES")
        value = self._anchors.get(anchor)
        if value is None:
            what = "is used inside itself" if anchor in self._anchors else "has no anchor"
            raise YamlProblem(f"alias *{anchor[:60]} {what}", line, code="ALIASES")
        return value

    def _refuse_tag(self, event: yaml.NodeEvent, line: int) -> None:
        # A lone "!" and the tags of plain YAML types change nothing here, because all scalars are text.
        tag = getattr(event, "tag", None)
        if tag and tag not in ("!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            raise YamlProblem(f"tag {tag[:60]!r} is not accepted", line, "write the plain value", code="TAG")

    def _line(self, event: yaml.Event) -> int:
        return self._first_line + (event.start_mark.line if event.start_mark else 0)
