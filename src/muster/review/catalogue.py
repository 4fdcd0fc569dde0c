"""The rules that a finding may name, and how much each may weigh."""

from __future__ import annotations

from muster.model.findings import CONFORMANCE, CORRECTNESS, Severity
from muster.model.record import Record

_BLOCKER, _MAJOR, _MINOR, _SUGGESTION = Severity


class Limits(Record, frozen=True):
    """What a rule is about and how much a model may make it weigh, from ``highest`` to ``lowest``.

    ``whole_range`` says that a finding of it may name no line, or no file at all.
    ``reviewer`` is the agent reviewer that looks for it, empty when only programs do.
    """

    what: str
    highest: Severity
    lowest: Severity = Severity.SUGGESTION
    whole_range: bool = False
    reviewer: str = ""


# What this program looks for beyond what every review does; `review.catalogue = "seed"` leaves it out.
EXTENSIONS = frozenset({"BROKEN_SYNTAX", "NEW_DEPENDENCY", "TEST_WEAKENED", "REVIEWER_INPUT_CHANGED"})

CATALOGUE = {
    "UNIMPLEMENTED_CRITERION": Limits(
        what="a success criterion of the brief is not met by the change",
        highest=_BLOCKER,
        lowest=_MAJOR,
        whole_range=True,
        reviewer=CONFORMANCE,
    ),
    "BROKEN_SUCCESS_CRITERION": Limits(
        what="a success criterion that was met before is not met any more",
        highest=_BLOCKER,
        lowest=_BLOCKER,
        whole_range=True,
        reviewer=CONFORMANCE,
    ),
    "NON_GOAL_VIOLATED": Limits(
        what="the change does what the brief rules out",
        highest=_BLOCKER,
        lowest=_MAJOR,
        whole_range=True,
        reviewer=CONFORMANCE,
    ),
    "SCOPE_CREEP_BUILT": Limits(
        what="the change does something that nobody asked for", highest=_MAJOR, whole_range=True, reviewer=CONFORMANCE
    ),
    "PLAN_EXECUTE_DRIFT": Limits(
        what="what was changed is not what was planned", highest=_MAJOR, lowest=_MINOR, whole_range=True
    ),
    "MISSING_BRIEF_REF": Limits(
        what="a finding names no part of the brief", highest=_MAJOR, lowest=_MAJOR, whole_range=True
    ),
    "MISSING_ERROR_HANDLING": Limits(
        what="a failure is swallowed or not thought of", highest=_MAJOR, lowest=_MINOR, reviewer=CORRECTNESS
    ),
    "MISSING_TEST": Limits(
        what="new behaviour has no test", highest=_MINOR, lowest=_MINOR, whole_range=True, reviewer=CORRECTNESS
    ),
    "PLACEHOLDER_IN_CODE": Limits(what="something was left to be done later", highest=_BLOCKER, lowest=_MINOR),
    "SECURITY_INJECTION": Limits(
        what="input reaches an interpreter, or a secret or hidden text is in the code",
        highest=_BLOCKER,
        lowest=_MINOR,
        reviewer=CORRECTNESS,
    ),
    "UNDECLARED_DEPENDENCY": Limits(what="an import is not among the declared dependencies", highest=_MAJOR),
    "COVERAGE_SILENT_SKIP": Limits(
        what="a file was passed over without a word", highest=_MAJOR, lowest=_MAJOR, whole_range=True
    ),
    "BROKEN_SYNTAX": Limits(what="a file cannot be parsed any more", highest=_BLOCKER, lowest=_BLOCKER),
    "NEW_DEPENDENCY": Limits(what="a dependency is new", highest=_SUGGESTION, whole_range=True),
    "TEST_WEAKENED": Limits(
        what="a test proves less than before", highest=_MAJOR, lowest=_MAJOR, whole_range=True, reviewer=CORRECTNESS
    ),
    "REVIEWER_INPUT_CHANGED": Limits(
        what="the change touches what tells reviewers and agents what to do", highest=_MINOR, whole_range=True
    ),
}


def rules_of(*, extensions: bool) -> dict[str, Limits]:
    """The rules of a review."""
    return {name: limits for name, limits in CATALOGUE.items() if extensions or name not in EXTENSIONS}
