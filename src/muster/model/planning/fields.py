"""Typed reading of a mapping that a person wrote; whatever does not fit becomes an issue with its path."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from muster.model.planning.issues import Issues, quoted
from muster.model.planning.yaml_values import YamlList, YamlMap, YamlScalar, YamlValue, kind_of

E = TypeVar("E", bound=enum.Enum)

# Says in a few words what is wrong with a text and what would be right; None when nothing is wrong.
Check = Callable[[str], tuple[str, str] | None]


class Fields:
    """The keys of one mapping; each reading function takes a key once and reports what is wrong with it."""

    def __init__(self, values: YamlMap, path: str, issues: Issues) -> None:
        self.values = values
        self.path = path
        self.issues = issues
        self.line = values.line

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Report each key that is not one of ``known``, with the one that was probably meant."""
        for key, line in self.values.lines.items():
            if key not in known:
                hint = self.issues.similar(key, known) or f"known: {', '.join(known)}"
                self.issues.error("UNKNOWN_KEY", f"unknown key {quoted(key)}", line, self.path, hint=hint)

    def has(self, key: str) -> bool:
        """Whether something is written for a key."""
        return self.get(key) is not None

    def get(self, key: str) -> YamlValue | None:
        """The raw value; None when nothing is written."""
        value = self.values.items.get(key)
        return None if isinstance(value, YamlScalar) and value.empty else value

    def line_of(self, key: str) -> int:
        """The line of a key, or of the mapping when it is absent."""
        return self.values.lines.get(key, self.line)

    def path_of(self, key: str) -> str:
        """The path of a key inside the document."""
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str, check: Check | None = None) -> str:
        """A text, empty when absent or wrong."""
        value = self.get(key)
        return "" if value is None else self._text(value, self.path_of(key), check)

    def texts(self, key: str, check: Check | None = None, example: str = "value") -> tuple[str, ...]:
        """A list of texts."""
        return tuple(text for _, _, text in self.texts_at(key, check, example))

    def texts_at(self, key: str, check: Check | None = None, example: str = "value") -> list[tuple[str, int, str]]:
        """A list of texts, each with its path and line."""
        found = []
        for path, item in self.items(key, f"a list, for example [{example}]"):
            if isinstance(item, YamlScalar) and not item.text.strip():
                self.issues.error("VALUE", "an item is empty", item.line, path, allowed=f"text such as {example}")
            elif text := self._text(item, path, check):
                found.append((path, item.line, text))
        return found

    def items(self, key: str, allowed: str) -> Iterable[tuple[str, YamlValue]]:
        """The items of a list with their paths."""
        value = self.get(key)
        if value is None:
            return
        if not isinstance(value, YamlList):
            self._wrong_type(value, self.path_of(key), allowed)
            return
        for index, item in enumerate(value.items):
            yield f"{self.path_of(key)}[{index}]", item

    def mappings(self, key: str, allowed: str) -> Iterable[Fields]:
        """The mappings of a list."""
        for path, item in self.items(key, allowed):
            if isinstance(item, YamlMap):
                yield Fields(item, path, self.issues)
            else:
                self._wrong_type(item, path, allowed)

    def one_of(self, key: str, default: E) -> E:
        """A word out of an enumeration's values."""
        words = {str(member.value): member for member in type(default)}
        text = self.text(key)
        if text and text not in words:
            hint = self.issues.similar(text, words)
            allowed = ", ".join(words)
            self._error("VALUE", f"{quoted(text)} is not known", self.line_of(key), key, allowed=allowed, hint=hint)
        return words.get(text, default)

    def integer(self, key: str, low: int, high: int) -> int | None:
        """A whole number between two bounds."""
        text = self.text(key)
        if not text:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
        if number is None or not low <= number <= high:
            message = f"{quoted(text)} is not a whole number" if number is None else f"{number} is out of range"
            self._error("RANGE", message, self.line_of(key), key, allowed=f"{low} to {high}")
            return None
        return number

    def quantity(self, key: str, parse: Callable[[str], float], low: float, high: float, allowed: str) -> float | None:
        """A number with a unit, more than ``low`` and at most ``high``."""
        text = self.text(key)
        if not text:
            return None
        try:
            number = parse(text)
        except ValueError as error:
            self._error("VALUE", str(error), self.line_of(key), key)
            return None
        if not low < number <= high:
            self._error("RANGE", f"{quoted(text)} is out of range", self.line_of(key), key, allowed=allowed)
            return None
        return number

    def _text(self, value: YamlValue, path: str, check: Check | None) -> str:
        if not isinstance(value, YamlScalar):
            self._wrong_type(value, path, "text")
            return ""
        problem = storable(value.text) or (check(value.text) if check else None)
        if problem:
            message, allowed = problem
            self.issues.error("VALUE", message, value.line, path, allowed=allowed)
            return ""
        return value.text

    def _wrong_type(self, value: YamlValue, path: str, allowed: str) -> None:
        self.issues.error("TYPE", f"{kind_of(value)} does not fit here", value.line, path, allowed=allowed)

    def _error(self, code: str, message: str, line: int, key: str, *, allowed: str = "", hint: str = "") -> None:
        self.issues.error(code, message, line, self.path_of(key), allowed=allowed, hint=hint)


def storable(text: str) -> tuple[str, str] | None:
    """Whether a text can be stored and given to programs: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        return "a NUL character cannot be stored", "any other character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair is no character", "whole Unicode characters"
    return None
