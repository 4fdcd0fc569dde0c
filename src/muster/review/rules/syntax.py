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
from muster.review.rules.text import conflict_markers

_LARGEST = 512 * 1024
# JSON that its readers allow comments in, and files that become what they are named after only when filled in.
_LOOSE_JSON = re.compile(
    r"(?:^|/)(?:tsconfig[^/]*|jsconfig[^/]*|devcontainer|\.eslintrc|\.babelrc|\.swcrc)\.json$|(?:^|/)\.vscode/"
)
_TEMPLATE = re.compile(r"\{\{|\{%|<%")
_OLD_PYTHON = re.compile(r"Missing parentheses in call|multiple exception types|leading zeros in decimal|print >>")
_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def syntax(side: Side) -> Iterator[Spot]:
    """The first place at which Python, JSON, TOML or YAML cannot be read."""
    kind = language(side.path)
    if kind == "python":
        problem = _python(side)
    elif kind in ("json", "toml", "yaml") and len(side.data) <= _LARGEST and not _TEMPLATE.search(side.text):
        problem = _data(side, kind)
    else:
        return
    # A conflict that was left in is said elsewhere, and is why.
    if problem is None or any(conflict_markers(side)):
        return
    line, what = problem
    line = min(max(line, 1), len(side.lines))
    intended = is_test(side.path) or _OLD_PYTHON.search(what)
    yield Spot(
        rule="BROKEN_SYNTAX",
        severity=Severity.MINOR if intended else Severity.BLOCKER,
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
    line = error.lineno or 1
    # A template breaks where its marks are; f-strings have the same marks elsewhere.
    if any(_TEMPLATE.search(side.line(near)) for near in (line - 1, line, line + 1) if 1 <= near <= len(side.lines)):
        return None
    return line, error.msg


def _data(side: Side, kind: str) -> tuple[int, str] | None:
    try:
        if kind == "json":
            if not _LOOSE_JSON.search(side.path) and side.text.strip():
                json.loads(side.data.decode("utf-8-sig"))
        elif kind == "toml":
            tomllib.loads(side.data.decode("utf-8"))
        else:
            for _ in yaml.parse(side.data, Loader=_loader):
                pass
    except json.JSONDecodeError as error:
        return error.lineno, error.msg
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        return int(at[1]) if at else 1, str(error)
    except yaml.MarkedYAMLError as error:
        return (error.problem_mark.line + 1 if error.problem_mark else 1), str(error.problem)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return 1, str(error).partition("\n")[0]
    return None


RULES = (syntax,)
