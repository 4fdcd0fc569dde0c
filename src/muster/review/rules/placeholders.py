"""Code that was left unfinished: stubs, reminders, leftovers of debugging."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from muster.model.findings import Severity
from muster.review.rules.kinds import is_aside, is_code, is_test, language
from muster.review.rules.python import Function, docstring_of, functions
from muster.review.rules.spots import Side, Spot

_RULE = "PLACEHOLDER_IN_CODE"
_REMINDER = re.compile(r"(?:#|//|/\*|^[ \t]*\*|<!--|--|;).{0,200}?\b(TODO|FIXME|XXX|HACK)\b(?!\s*=)", re.MULTILINE)
_OMITTED = re.compile(
    r"(?:#|//|/\*|\.\.\.).{0,40}?\b(?:rest of (?:the |your |this )?(?:implementation|code|function|file|class|method)\b"
    r"|(?:existing|remaining|previous) (?:code|implementation|logic) (?:here|remains|unchanged|goes|\.\.\.)"
    r"|your (?:code|implementation|logic) (?:goes )?here\b|(?:implementation|code|logic) goes here\b"
    r"|(?:code|implementation) omitted\b|omitted for brevity\b|(?<!re-)implement (?:me|this)\b)",
    re.IGNORECASE,
)
_DEBUG = {
    "python": re.compile(r"(?m)^[ \t]*(?:breakpoint\(\)|(?:i?pu?db)\.set_trace\(|import i?pu?db\b)"),
    "javascript": re.compile(r"(?m)^[ \t]*(?:debugger\b|console\.(?:log|debug|trace)\()"),
    "ruby": re.compile(r"(?m)^[ \t]*(?:binding\.(?:pry|irb)|byebug)\b"),
    "go": re.compile(r"(?m)^[ \t]*(?:spew\.Dump|fmt\.Print(?:ln|f)?\(\"(?:DEBUG|debug|XXX))"),
    "rust": re.compile(r"(?m)\bdbg!\("),
}
_DEBUG |= {"typescript": _DEBUG["javascript"], "tsx": _DEBUG["javascript"]}
_STUB = re.compile(
    r"""\bthrow new \w*(?:Error|Exception)\(\s*["'`](?:not (?:yet )?implemented|todo|unimplemented)\b"""
    r"""|\b(?:todo|unimplemented)!\(|\bpanic\("(?:not (?:yet )?implemented|todo|unimplemented)"""
    r"""|^[ \t]*TODO\(|\bfatalError\("(?:not (?:yet )?implemented)""",
    re.IGNORECASE | re.MULTILINE,
)
_HINTS = ("TODO", "FIXME", "XXX", "HACK")
_ABSTRACT = re.compile(r"Base|Abstract|Mixin|Interface|Protocol|Dummy|Null|Stub|Fake|Mock")
_BY_DESIGN = re.compile(
    r"subclass|overrid|abstract|support|interface|derived|backend|must (?:be )?implement|should be implemented"
    r"|not available|should not|cannot|can't|only\b|deprecated|removed|platform",
    re.IGNORECASE,
)


def placeholders(side: Side) -> Iterator[Spot]:
    """Reminders, stubs and leftovers in code of any language."""
    if not is_code(side.path):
        return
    kind, test = language(side.path), is_test(side.path)
    for found in _REMINDER.finditer(side.text) if any(hint in side.text for hint in _HINTS) else ():
        title = f"A {found[1]} is left in the code"
        yield _spot(side, found.start(1), Severity.MINOR, title, "Do it now, or keep it where it is not forgotten.")
    if test:
        return
    for found in _OMITTED.finditer(side.text):
        yield _spot(
            side, found.start(), Severity.MAJOR, "A comment stands where code should be", "Write the code it names."
        )
    for found in _STUB.finditer(side.text) if kind != "python" else ():
        yield _spot(side, found.start(), Severity.MAJOR, "A stub that only fails", "Write the implementation.")
    if kind in _DEBUG and not is_aside(side.path):
        for found in _DEBUG[kind].finditer(side.text):
            yield _spot(side, found.end(), Severity.MINOR, "A leftover of debugging", "Take it out, or use the logger.")


def python_stubs(side: Side) -> Iterator[Spot]:
    """Functions without a body that nothing says are abstract."""
    if language(side.path) != "python" or side.path.endswith(".pyi") or is_test(side.path) or side.tree is None:
        return
    if "NotImplementedError" not in side.text and "pass" not in side.text and "..." not in side.text:
        return
    for function in functions(side.tree):
        what = _stub(function)
        if what is None or _is_abstract(function):
            continue
        hard = what == "raises NotImplementedError" and function.owner is None and function.is_public
        hard = hard and not is_aside(side.path)
        line = function.node.lineno
        yield Spot(
            rule=_RULE,
            severity=Severity.MAJOR if hard else Severity.MINOR,
            line=line,
            title=f"{function.name} is a stub: it only {what}",
            detail="Write the implementation, or mark the function as abstract.",
            impact="Callers get nothing or an error." if hard else "",
            evidence=side.line(line),
            symbol=function.name,
            anchor=f"{function.node.name} {what}",
        )


def _stub(function: Function) -> str | None:
    body = function.node.body
    body = body[1:] if docstring_of(function.node) and len(body) > 1 else body
    if len(body) != 1:
        return None
    match body[0]:
        case ast.Raise(exc=ast.Name(id="NotImplementedError")):
            return "raises NotImplementedError"
        case ast.Raise(exc=ast.Call(func=ast.Name(id="NotImplementedError"), args=args)):
            words = " ".join(ast.unparse(arg) for arg in args)
            return None if _BY_DESIGN.search(words) else "raises NotImplementedError"
        case ast.Pass() if function.owner is None and function.is_public and not docstring_of(function.node):
            return "passes"
        case _:
            pass
    return None


def _is_abstract(function: Function) -> bool:
    decorators = " ".join(ast.unparse(each) for each in function.node.decorator_list)
    if "abstract" in decorators or "overload" in decorators or _BY_DESIGN.search(docstring_of(function.node)):
        return True
    if (owner := function.owner) is None:
        return bool(decorators)
    bases = " ".join(ast.unparse(base) for base in (*owner.bases, *owner.keywords))
    if re.search(r"ABC|Protocol|Abstract|Interface", bases) or _ABSTRACT.search(owner.name):
        return True
    return bool(_BY_DESIGN.search(docstring_of(owner)))


def _spot(side: Side, at: int, severity: Severity, title: str, detail: str) -> Spot:
    line = side.text.count("\n", 0, at) + 1
    return Spot(rule=_RULE, severity=severity, line=line, title=title, detail=detail, evidence=side.line(line))


RULES = (placeholders, python_stubs)
