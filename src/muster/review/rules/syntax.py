"""Files that can no longer be read by what reads them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator

import yaml

from muster.model.findings import Severity
from muster.review.rules.kinds import is_test, language
from muster.review.rules.spots import Side, Spot
from muster.review.rules.text import conflict_markers, is_template

_LARGEST = 512 * 1024
# JSON whose readers allow comments and a comma after the last.
_LOOSE_JSON = re.compile(
    r"(?:^|/)(?:(?:ts|js|pyright)config[^/]*|devcontainer|\.eslintrc|\.babelrc|\.swcrc)\.json$|(?:^|/)\.vscode/"
)
_JSON_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.S)
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")
# What another version of Python reads: its messages, and its forms on the line that cannot be read by this one.
_OTHER_MESSAGE = re.compile(
    r"Missing parentheses in call|multiple exception types|leading zeros in decimal|inconsistent use of tabs"
)
_OTHER_FORM = re.compile(
    r"^\s*(?:raise [\w.\[\]()]+\s*,|exec [^(=]|type \w+.*=|class \w+\s*\[|(?:async )?def \w+\s*\[)"
    r"|\bfor .+ in .+,.+\]|<>|`\w+`|\b\d+L\b|\b(?:[fFtT][rR]?|[uU][rR])[\"']"
)
_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def syntax(side: Side) -> Iterator[Spot]:
    """The first place at which Python, JSON, TOML or YAML cannot be read."""
    kind = language(side.path)
    if kind == "python":
        problem = _python(side)
    elif kind in ("json", "toml", "yaml") and len(side.data) <= _LARGEST:
        problem = _data(side, kind)
    else:
        return
    # A conflict that was left in is said elsewhere, and is why.
    if problem is None or is_template(side, problem[0]) or any(conflict_markers(side)):
        return
    line, what = problem
    line = min(max(line, 1), len(side.lines))
    other = kind == "python" and _is_other_python(side, line, what)
    yield Spot(
        rule="BROKEN_SYNTAX",
        severity=Severity.MINOR if other or is_test(side.path) else Severity.BLOCKER,
        line=line,
        title=f"The file is no valid {kind.upper() if kind != 'python' else 'Python'}: {what}",
        detail=f"Line {line} cannot be read: {what}.",
        impact="Nothing that needs this file works.",
        evidence=side.line(line),
        anchor=kind,
    )


def _python(side: Side) -> tuple[int, str] | None:
    error = side.parsed
    if not isinstance(error, Exception):
        return None
    if not isinstance(error, SyntaxError):
        return 1, str(error)
    return error.lineno or 1, error.msg


def _is_other_python(side: Side, line: int, what: str) -> bool:
    """Whether a text is Python, only not this one; a grammar that knows every version has the last word."""
    form = _OTHER_FORM.search(side.line(line)) and side.root is not None and not side.unread
    return bool(form or _OTHER_MESSAGE.search(what))


def _data(side: Side, kind: str) -> tuple[int, str] | None:
    try:
        if kind == "json":
            return _json(side)
        if kind == "toml":
            tomllib.loads(side.data.decode("utf-8"))
        else:
            for _ in yaml.parse(side.data, Loader=_loader):
                pass
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        return int(at[1]) if at else 1, str(error)
    except yaml.MarkedYAMLError as error:
        return (error.problem_mark.line + 1 if error.problem_mark else 1), str(error.problem)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return 1, str(error).partition("\n")[0]
    return None


def _json(side: Side) -> tuple[int, str] | None:
    text = side.data.decode("utf-8-sig")
    try:
        if text.strip():
            json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and all(map(_is_json, filter(None, side.lines))):
            return None  # One document per line, whatever the name says.
        loose = _LOOSE_JSON.search(side.path) or side.line(error.lineno).lstrip().startswith(("//", "/*"))
        return (
            None
            if loose and _is_json(_TRAILING_COMMA.sub("", _JSON_COMMENT.sub(_without, text)))
            else (error.lineno, error.msg)
        )
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _without(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else ""


RULES = (syntax,)
