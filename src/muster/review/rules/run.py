"""Runs every rule over a range, both states of each file, and keeps what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from muster.model.brief import Brief
from muster.model.findings import Finding, Treatment
from muster.model.plan import Task
from muster.model.record import Record
from muster.review.rules import text
from muster.review.rules.spots import Pair, Side, Spot, finding, new_spots
from muster.review.scope import Scope
from muster.review.triage import Triage

Rule = Callable[[Side], Iterator[Spot]]


class RuleReport(Record, frozen=True):
    """What the rules found, what they could not decide, what was missing, and which files they went through."""

    findings: tuple[Finding, ...]
    needs_agent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attested: tuple[str, ...] = ()


async def run_rules(
    scope: Scope, triage: Triage, brief: Brief | None = None, manifests: Sequence[Task] = ()
) -> RuleReport:
    """Judge a range by code alone; ``manifests`` are the tasks of the plan that the range carries out."""
    treatments = {row.path: row.treatment for row in triage.covered}
    findings: list[Finding] = []
    for change in scope.changes:
        pair = Pair(change, scope.old(change), scope.new(change), treatments.get(change.path, Treatment.SUMMARY))
        findings += (finding(pair, spot) for spot in _new(pair, text.RULES))
    ordered = sorted(findings, key=lambda found: (found.path, found.line, found.rule, found.title))
    return RuleReport(findings=tuple(ordered), attested=tuple(change.path for change in scope.changes))


def _new(pair: Pair, rules: Sequence[Rule]) -> Iterator[Spot]:
    for rule in rules:
        if pair.new is not None:
            yield from new_spots(rule(pair.old) if pair.old else (), rule(pair.new), pair.added)
