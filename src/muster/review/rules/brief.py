"""What the brief and the plan say against what the range does: criteria, non-goals, planned paths."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence

from pathspec import GitIgnoreSpec

from muster.model.findings import Change, Finding, Severity
from muster.model.plan import Task
from muster.model.planning.brief import Brief, Criterion
from muster.review.objects import Objects
from muster.review.scope import Scope

REPORTER = "brief-conformance"
Check = Callable[[str, str], Awaitable[bool | None]]
"""Runs a verify command on a tree: whether it passed, None when it may not or cannot be run."""

_TICKED = re.compile(r"`([^`\n]+)`")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*(?:\(\))?")


async def criteria(
    scope: Scope, brief: Brief, objects: Objects, tree: dict[str, str], check: Check | None
) -> tuple[list[Finding], list[str]]:
    """Findings for criteria that are not met or were broken, and the criteria that only an agent can judge."""
    found, unclear = [], []
    for number, criterion in enumerate(brief.success_criteria, 1):
        ref = f"Success Criteria {number}"
        if not criterion.checkable:
            unclear.append(f"{ref}: {criterion.text}")
            continue
        for name in criterion.files:
            if not _is_there(f"{scope.prefix}{name}", tree):
                found.append(_unmet(ref, criterion, f"`{name}` does not exist"))
        for symbol in criterion.symbols:
            word = rf"(^|[^A-Za-z0-9_]){re.escape(symbol.rpartition('.')[2].removesuffix('()'))}([^A-Za-z0-9_]|$)"
            if not await objects.grep(scope.after_tree, word, ()):
                found.append(_unmet(ref, criterion, f"nothing is called `{symbol}`"))
        for command in criterion.verify:
            passed = await check(command, scope.after_tree) if check is not None else None
            if passed is None:
                unclear.append(f"{ref}: `{command}` was not run")
            elif not passed and check is not None:
                broken = bool(scope.before) and await check(command, scope.before_tree)
                found.append(_failing(ref, command) if broken else _unmet(ref, criterion, f"`{command}` fails"))
    return found, unclear


def _is_there(name: str, tree: dict[str, str]) -> bool:
    folder = name.rstrip("/") + "/"
    return name in tree or any(path.startswith(folder) for path in tree)


def _unmet(ref: str, criterion: Criterion, why: str) -> Finding:
    return _whole(
        "UNIMPLEMENTED_CRITERION", Severity.MAJOR, ref, f"A criterion is not met: {why}", f"{why}: {criterion.text}"
    )


def _failing(ref: str, command: str) -> Finding:
    detail = f"`{command}` passed before the change and fails after it. Repair what it checks."
    return _whole("BROKEN_SUCCESS_CRITERION", Severity.BLOCKER, ref, f"`{command}` passed and now fails", detail)


def non_goals(scope: Scope, brief: Brief) -> Iterator[Finding]:
    """Findings for paths and names that the brief says to leave alone."""
    for number, text in enumerate(brief.non_goals, 1):
        for token in _TICKED.findall(text):
            symbol = _IDENTIFIER.fullmatch(token)
            if "/" in token or "*" in token or _has_file(scope, token):
                spec = GitIgnoreSpec.from_lines([token])
                hits = [change for change in scope.changes if spec.match_file(change.path.removeprefix(scope.prefix))]
                severity, what = Severity.MAJOR, "is changed"
            elif symbol:
                hits = [change for change in scope.changes if _mentions(change, token.removesuffix("()"))]
                severity, what = Severity.BLOCKER, "is touched"
            else:
                continue
            for change in hits:
                yield _at(change, "NON_GOAL_VIOLATED", severity, f"Non-Goals {number}", f"{token} {what}", text, token)


def _has_file(scope: Scope, token: str) -> bool:
    return any(token in (change.path.rpartition("/")[2], change.path) for change in scope.changes)


def _mentions(change: Change, symbol: str) -> bool:
    name = re.compile(rb"(?<!\w)" + re.escape(symbol.rpartition(".")[2].encode()) + rb"(?!\w)")
    return any(line[:1] in (b"+", b"-") and name.search(line) for hunk in change.hunks for line in hunk.lines)


def drift(scope: Scope, manifests: Sequence[Task], brief: Brief | None) -> Iterator[Finding]:
    """Findings for planned paths that nothing touched, and for files that nobody planned."""
    patterns = [(task, pattern) for task in manifests for pattern in task.expected_paths]
    if not patterns:
        return
    names = {change.path: change.path.removeprefix(scope.prefix) for change in scope.changes}
    for task, pattern in patterns:
        if not any(GitIgnoreSpec.from_lines([pattern]).match_file(name) for name in names.values()):
            detail = f"Task {task.id} was to change {pattern}, and the range does not. Do it, or change the plan."
            yield _whole("PLAN_EXECUTE_DRIFT", Severity.MINOR, f"Plan {task.id}", f"{pattern} is untouched", detail)
    planned = GitIgnoreSpec.from_lines([pattern for _, pattern in patterns])
    criteria_files = {name for each in brief.success_criteria for name in each.files} if brief else set()
    for change in scope.changes:
        name = names[change.path]
        if planned.match_file(name) or name in criteria_files or name.startswith(".muster/projects/"):
            continue
        yield _at(change, "PLAN_EXECUTE_DRIFT", Severity.MINOR, "Plan", f"{name} is in no task's paths", "", name)


def _whole(rule: str, severity: Severity, ref: str, title: str, detail: str) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        path="",
        line=0,
        title=title[:120],
        detail=detail[:1200],
        brief_ref=ref,
        anchor=title,
        reporters=(REPORTER,),
    )


def _at(change: Change, rule: str, severity: Severity, ref: str, title: str, text: str, anchor: str) -> Finding:
    line = next((hunk.new_start for hunk in change.hunks), 0) if change.blob else 0
    return Finding(
        rule=rule,
        severity=severity,
        path=change.path,
        line=line,
        title=title[:120],
        detail=f"{title}. {ref} says: {text}"[:1200] if text else f"{title}: take the change out, or plan it.",
        brief_ref=ref,
        anchor=anchor,
        reporters=(REPORTER,),
        uncommitted=change.uncommitted,
    )
