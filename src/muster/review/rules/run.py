"""Runs every rule over a range, both states of each file, and keeps what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from muster.model.findings import Change, Finding, Severity, Treatment
from muster.model.plan import Task
from muster.model.planning.brief import Brief
from muster.model.record import Record
from muster.model.running.state import replace
from muster.review.both import both
from muster.review.catalogue import EXTENSIONS
from muster.review.objects import Objects
from muster.review.rules import (
    creep,
    dependencies,
    guards,
    patterns,
    placeholders,
    scripts,
    secrets,
    sinks,
    syntax,
    text,
)
from muster.review.rules import tests as test_rules
from muster.review.rules.brief import Check, criteria, drift, non_goals
from muster.review.rules.kinds import is_code, is_test, language
from muster.review.rules.lint import ruff
from muster.review.rules.linters import read_report
from muster.review.rules.reverts import Range
from muster.review.rules.spots import Pair, Side, Spot, anchor_of, finding, new_spots
from muster.review.scope import Scope
from muster.review.triage import Triage

Rule = Callable[[Side], Iterator[Spot]]
Lint = Callable[[str], Awaitable[Sequence[bytes]]]
"""Runs the other linters on a tree and returns their reports."""

# The rules that need one state of one file; what a table holds is looked at on both sides and compared.
CHEAP: tuple[Rule, ...] = (*text.RULES, *secrets.RULES)
FULL: tuple[Rule, ...] = (*CHEAP, *placeholders.RULES, *sinks.RULES, *scripts.RULES, *syntax.RULES, *patterns.RULES)
_SYMLINK, _GITLINK = "120000", "160000"


class RuleReport(Record, frozen=True):
    """What the rules found, what they could not decide, and what was missing."""

    findings: tuple[Finding, ...]
    needs_agent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def run_rules(
    scope: Scope,
    triage: Triage,
    brief: Brief | None = None,
    manifests: Sequence[Task] = (),
    *,
    check: Check | None = None,
    lint: Lint | None = None,
    extensions: bool = True,
) -> RuleReport:
    """Judge a range by code alone; ``manifests`` are the tasks of the plan that the range carries out.

    ``extensions`` off leaves the rules to those that every review has.
    """
    treatments = {row.path: row.treatment for row in triage.covered}
    pairs = [_pair(scope, change, treatments.get(change.path, Treatment.SUMMARY)) for change in scope.changes]
    looked = [pair for pair in pairs if pair.treatment is not Treatment.SKIP]
    with scope.objects() as objects:
        # ruff works while this process does.
        (spots, notes), (more, (findings, unclear)) = await both(
            lambda: _ruffled(looked),
            lambda: both(
                lambda: _seen(pairs, looked, scope, objects, lint),
                lambda: _asked(scope, brief, manifests, objects, check),
            ),
        )
    spots += more
    findings += (finding(pair, _weighed(pair, spot)) for pair, spot in spots)
    findings += (_disagreeing(path) for path in scope.disagreeing)
    findings = [found for found in findings if extensions or found.rule not in EXTENSIONS]
    ordered = sorted(findings, key=lambda found: (found.path, found.line, found.rule, found.title))
    return RuleReport(
        findings=tuple(ordered),
        needs_agent=tuple(unclear),
        notes=(*notes, *_missing(looked)),
    )


async def _ruffled(pairs: Sequence[Pair]) -> tuple[list[tuple[Pair, Spot]], list[str]]:
    sides = (side for pair in pairs for side in (pair.old, pair.new))
    found, note = await ruff(side for side in sides if side is not None and _is_python(side))
    spots = []
    for pair in pairs:
        if pair.new is not None and (now := found.get(pair.new)):
            before = found.get(pair.old, []) if pair.old is not None else []
            spots += [(pair, spot) for spot in new_spots(before, now, pair.added)]
    return spots, [note] * bool(note)


async def _seen(
    pairs: Sequence[Pair], looked: Sequence[Pair], scope: Scope, objects: Objects, lint: Lint | None
) -> list[tuple[Pair, Spot]]:
    spots = _moved_away(pairs, [(pair, spot) for pair in pairs for spot in _of_file(pair)])
    spots += await _of_range(looked, scope, objects)
    spots += guards.guards(looked)
    spots += [shrunk] if (shrunk := Range(looked).shrunk) else []
    return spots + (await _linted(lint, scope, looked) if lint is not None else [])


async def _asked(
    scope: Scope, brief: Brief | None, manifests: Sequence[Task], objects: Objects, check: Check | None
) -> tuple[list[Finding], list[str]]:
    findings: list[Finding] = list(drift(scope, manifests, brief))
    unclear: list[str] = []
    if brief is not None:
        tree = await objects.tree(scope.after_tree)
        found, unclear = await criteria(scope, brief, objects, tree, check)
        findings += (*found, *non_goals(scope, brief))
    return findings, unclear


def _pair(scope: Scope, change: Change, treatment: Treatment) -> Pair:
    binary = change.added is None and not text.is_veiled(change.path, scope.new(change))
    if binary or {change.mode, change.old_mode} & {_SYMLINK, _GITLINK}:
        return Pair(change, None, None, treatment)
    return Pair(change, scope.old(change), scope.new(change), treatment)


def _is_python(side: Side) -> bool:
    return language(side.path) == "python" and not is_test(side.path)


def _of_file(pair: Pair) -> Iterator[Spot]:
    """What is new in one file."""
    if pair.treatment is Treatment.SKIP:
        yield from map(_skipped, _new(pair, CHEAP))
        return
    yield from _new(pair, FULL)
    yield from dependencies.new_dependencies(pair)
    yield from dependencies.older_dependencies(pair)
    yield from creep.steering(pair)


def _new(pair: Pair, rules: Iterable[Rule]) -> Iterator[Spot]:
    if pair.new is None:
        return
    for rule in rules:
        # Most rules see nothing in most files; then the old text need not be read.
        if now := list(rule(pair.new)):
            yield from new_spots(rule(pair.old) if pair.old is not None else (), now, pair.added)


def _moved_away(pairs: Sequence[Pair], spots: Sequence[tuple[Pair, Spot]]) -> list[tuple[Pair, Spot]]:
    """Without what only moved here from another file of the range."""
    if not spots:
        return []
    gone: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        if pair.old is not None and pair.treatment is not Treatment.SKIP and (pair.change.deleted or 0):
            left = (spot for rule in FULL for spot in _vanished(rule, pair))
            gone.update((spot.rule, anchor_of(spot)) for spot in left)
    kept = []
    for pair, spot in spots:
        key = spot.rule, anchor_of(spot)
        if gone[key] > 0:
            gone[key] -= 1
        else:
            kept.append((pair, spot))
    return kept


def _vanished(rule: Rule, pair: Pair) -> Iterator[Spot]:
    before = list(rule(pair.old)) if pair.old is not None else []
    if before:
        yield from new_spots(rule(pair.new) if pair.new is not None else (), before, frozenset())


async def _of_range(pairs: Sequence[Pair], scope: Scope, objects: Objects) -> list[tuple[Pair, Spot]]:
    """What only the files together show."""
    spots = test_rules.weakened(pairs)
    if missing := test_rules.missing_test(pairs):
        spots.append(missing)
    modules = next((pair.new.text for pair in pairs if pair.path == ".gitmodules" and pair.new), None)
    if modules is None and any(pair.change.mode == _GITLINK for pair in pairs):
        modules = await _text_at(objects, scope.after_tree, ".gitmodules")
    spots += [(pair, spot) for pair in pairs for spot in creep.creep(pair, modules or "")]
    if any(True for pair in pairs for _ in dependencies.wanted(pair)):
        tree = await objects.tree(scope.after_tree)
        spots += await dependencies.undeclared(pairs, tree, objects, scope.before_tree)
    return spots + await dependencies.dropped(pairs, objects, scope.after_tree)


async def _text_at(objects: Objects, tree: str, path: str) -> str:
    blob = (await objects.tree(tree)).get(path, "")
    return (await objects.blobs([blob])).get(blob, b"").decode("utf-8", "replace")


async def _linted(lint: Lint, scope: Scope, pairs: Sequence[Pair]) -> list[tuple[Pair, Spot]]:
    now = [row for report in await lint(scope.after_tree) for row in read_report(report)]
    before = [row for report in await lint(scope.before_tree) for row in read_report(report)] if now else []
    return [
        (pair, spot)
        for pair in pairs
        for spot in new_spots(
            (seen for path, seen in before if path == (pair.change.old_path or pair.path)),
            (seen for path, seen in now if path == pair.path),
            pair.added,
        )
    ]


def _weighed(pair: Pair, spot: Spot) -> Spot:
    """A swallowed error weighs more where safety is decided."""
    if pair.treatment is Treatment.DEEP and spot.rule == "MISSING_ERROR_HANDLING" and spot.severity is Severity.MINOR:
        return replace(spot, severity=Severity.MAJOR)
    return spot


def _skipped(spot: Spot) -> Spot:
    title = f"In a skipped file: {spot.title}"
    return replace(spot, rule="COVERAGE_SILENT_SKIP", severity=Severity.MAJOR, title=title)


def _disagreeing(path: str) -> Finding:
    return Finding(
        rule="COVERAGE_SILENT_SKIP",
        severity=Severity.MAJOR,
        path=path,
        line=0,
        title="The patch and the numbers of git disagree on this file",
        detail="Not every changed line of the file could be read. Look at it by hand.",
        impact="Whatever is wrong in the rest of it was not looked for.",
        anchor="disagreeing",
        reporters=("code-correctness",),
    )


def _missing(pairs: Sequence[Pair]) -> Iterator[str]:
    unread = [pair.path for pair in pairs if pair.change.added and pair.new is None and _is_text(pair.change)]
    if unread:
        yield f"Too large to be read: {', '.join(unread)}"
    if any(is_code(pair.path) and scripts.needs_ast_grep(pair.path) for pair in pairs):
        try:
            import ast_grep_py  # noqa: F401
        except ImportError:
            yield "ast-grep is not installed: fewer rules for other languages. Install muster-agents[review]."


def _is_text(change: Change) -> bool:
    return bool(change.blob) and change.mode not in (_SYMLINK, _GITLINK)
