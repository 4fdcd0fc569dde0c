"""Code that is not Python: swallowed errors and calls that run what they are given, found in the syntax tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from muster.model.findings import Severity
from muster.review.rules.kinds import is_aside, is_code, is_script, is_test, language, words
from muster.review.rules.spots import Side, Spot, normalised
from muster.review.rules.text import conflict_markers, is_template

_EMPTY_CATCH = re.compile(r"\bcatch\s*(?:\([^()]*\)\s*)?\{\s*\}")
_EMPTY_FINALLY_RETURN = re.compile(r"\bfinally\s*\{[^{}]*\breturn\b[^{}]*\}")
_EMPTY_CATCH_OF = frozenset(words("javascript typescript tsx java kotlin csharp swift php scala cpp"))
_GO_ERROR = re.compile(
    r",\s*_\s*:?=\s*(?:\w+\.)*(?:Open|Create|Read\w*|Write\w*|Parse\w*|Unmarshal|Marshal|Decode\w*|Do|Get|Post"
    r"|Exec\w*|Query\w*|Atoi|Dial\w*|New\w*|Copy|Stat|Load\w*)\("
)
_GO_DROPPED = re.compile(r"^\s*_\s*=\s*(?:\w+\.)+\w+\(|^\s*_\s*=\s*err\s*$")


_CODE, _SHELL, _MARKUP = "runs its argument as code", "gives its argument to a shell", "shows text as markup"
_QUERY = "gets text that was put together"
# Patterns of ast-grep, in which $X is what must be a literal to be harmless, and what each does with it.
_SCRIPT = {
    **dict.fromkeys(("eval($X)", "new Function($$$A, $X)", "new Function($X)", "vm.runInThisContext($X)"), _CODE),
    **dict.fromkeys(("exec($X, $$$A)", "execSync($X, $$$A)", "$C.exec($X, $$$A)", "$C.execSync($X, $$$A)"), _SHELL),
    **dict.fromkeys(("$R.innerHTML = $X", "$R.outerHTML = $X", "document.write($X)"), _MARKUP),
    "$R.insertAdjacentHTML($P, $X)": _MARKUP,
    "$C.query($X, $$$A)": _QUERY,
}
_SINKS = {
    **dict.fromkeys(("javascript", "typescript", "tsx"), _SCRIPT),
    "java": dict.fromkeys(("$R.exec($X)", "$S.executeQuery($X)", "$S.executeUpdate($X)", "$S.execute($X)"), _QUERY),
    "go": {
        **dict.fromkeys(('exec.Command("sh", "-c", $X)', 'exec.Command("bash", "-c", $X)'), _SHELL),
        **dict.fromkeys(("$D.Query($X, $$$A)", "$D.Exec($X, $$$A)"), _QUERY),
    },
    "ruby": {"eval($X)": _CODE, "system($X)": _SHELL},
    "php": {"eval($X)": _CODE, "shell_exec($X)": _SHELL},
}
_CALLED = re.compile(r"(?:new )?(?:\$?\w+\.)*(\w+)")
_WORTH_A_LOOK = re.compile(
    r"\beval\b|\bFunction\s*\(|HTML|document\.write|\bexec(?:Sync|ute\w*)?\s*\(|\.[qQ]uery\(|\.Exec\(|exec\.Command"
    r"|runIn|\bsystem\b|shell_exec"
)
_JOINED = re.compile(r"\+|\$\{|#\{|Sprintf|String\.format|\.format\(|\.concat\(")
_LITERAL = re.compile(
    r"""^(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`$]*`|\d+|[A-Z][A-Z0-9_]+|null|undefined)$""", re.S
)


def swallowed(side: Side) -> Iterator[Spot]:
    """Errors that are caught and forgotten."""
    kind = language(side.path)
    if kind in _EMPTY_CATCH_OF:
        for form, severity, what in (
            (_EMPTY_CATCH, Severity.MINOR, "An error is caught and forgotten"),
            (_EMPTY_FINALLY_RETURN, Severity.MAJOR, "A return in finally swallows the error"),
        ):
            for found in form.finditer(side.text):
                at = side.text.count("\n", 0, found.start()) + 1
                # Whose error it is stands before the handler.
                yield _handling(side, at, severity, what, f"{normalised(side.line(at - 1))} {normalised(found[0])}")
    elif kind == "go" and not is_test(side.path):
        for number, line in enumerate(side.lines, 1):
            if _GO_ERROR.search(line) or _GO_DROPPED.search(line):
                yield _handling(side, number, Severity.MINOR, "An error is thrown away", normalised(line))


def _handling(side: Side, line: int, severity: Severity, what: str, anchor: str) -> Spot:
    return Spot(
        rule="MISSING_ERROR_HANDLING",
        severity=severity,
        line=line,
        title=what,
        detail="Handle the error, pass it on, or say in a comment why it does not matter.",
        impact="A failure goes unseen.",
        evidence=side.line(line),
        anchor=anchor,
    )


def script_sinks(side: Side) -> Iterator[Spot]:
    """Calls that run or show text; without ast-grep there are none."""
    kind = language(side.path)
    if kind not in _SINKS or not _WORTH_A_LOOK.search(side.text) or (root := side.root) is None:
        return
    for pattern, what in _SINKS[kind].items():
        called = _CALLED.match(pattern)
        for node in root.find_all(pattern=pattern):
            argument = node.get_match("X")
            if argument is None or not _matters(pattern, what, side, argument.text()):
                continue
            place = node.range().start.line + 1
            severity = Severity.MAJOR if not _LITERAL.match(argument.text()) else Severity.MINOR
            if severity is Severity.MAJOR and _JOINED.search(argument.text()) and _is_parameter(node, argument.text()):
                severity = Severity.BLOCKER
            yield Spot(
                rule="SECURITY_INJECTION",
                severity=Severity.MINOR if is_aside(side.path) else severity,
                line=place,
                title=f"{called[1] if called else pattern} {what}",
                detail="Pass data as data: a list of arguments, bound values, text nodes.",
                impact="Whoever controls the text controls what happens.",
                evidence=side.line(place),
                anchor=normalised(node.text())[:300],
            )


def _matters(pattern: str, what: str, side: Side, argument: str) -> bool:
    if what is _QUERY:
        return bool(_JOINED.search(argument)) and not _LITERAL.match(argument)
    if pattern.startswith(("exec", "$C.exec")):
        return "child_process" in side.text and not argument.startswith("/")
    return True


def _is_parameter(node: Any, argument: str) -> bool:
    """Whether the text names a parameter of a function around it."""
    names = set(re.findall(r"[A-Za-z_$][\w$]*", argument))
    for around in node.ancestors():
        parameters = around.field("parameters") or around.field("parameter")
        if parameters is not None and names & set(re.findall(r"[A-Za-z_$][\w$]*", parameters.text())):
            return True
    return False


def script_syntax(side: Side) -> Iterator[Spot]:
    """The first place at which a script no longer parses."""
    if not is_script(side.path) and language(side.path) not in ("go", "java"):
        return
    if not (line := side.unread) or any(conflict_markers(side)):
        return
    loose = is_aside(side.path) or "@flow" in side.text[:500] or is_template(side, line)
    yield Spot(
        rule="BROKEN_SYNTAX",
        severity=Severity.MINOR if loose else Severity.BLOCKER,
        line=line,
        title=f"The file does not parse as {language(side.path)}",
        detail=f"Line {line} cannot be read.",
        impact="Nothing that needs this file works.",
        evidence=side.line(line),
        anchor="syntax",
    )


def needs_ast_grep(path: str) -> bool:
    """Whether rules for this file are lost without ast-grep."""
    return is_code(path) and language(path) in _SINKS


RULES = (swallowed, script_sinks, script_syntax)
