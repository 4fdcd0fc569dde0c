"""Where a person must say yes: autonomy, boundaries and the stages of a run."""

from __future__ import annotations

import enum


class Autonomy(enum.Enum):
    """How much a run decides by itself."""

    OPEN = "open"
    CLOSED = "closed"
    ADAPTIVE = "adaptive"


class Boundary(enum.Enum):
    """A place in a run where a person may have to decide."""

    BRIEF_READY = "brief-ready"
    RESEARCH_DONE = "research-done"
    PLAN_READY = "plan-ready"
    PLAN_CRITIC_BLOCKER = "plan-critic-blocker"
    WAVE_DONE = "wave-done"
    MANIFEST_AUDIT_FAILED = "manifest-audit-failed"
    BUDGET_RAISE = "budget-raise"
    REVIEW_VERDICT = "review-verdict"
    MAIN_MERGE = "main-merge"


class Stage(enum.Enum):
    """How far a run is on its way to the user's branch."""

    IDLE = "idle"
    APPROVED = "approved"
    EXECUTING = "executing"
    MERGE_PENDING = "merge-pending"
    MAIN_MERGED = "main-merged"


class Answer(enum.Enum):
    """What a person said at a gate."""

    APPROVE = "approve"
    DENY = "deny"


_ADAPTIVE_ASKS = frozenset(
    {
        Boundary.MANIFEST_AUDIT_FAILED,
        Boundary.PLAN_CRITIC_BLOCKER,
        Boundary.BUDGET_RAISE,
        Boundary.MAIN_MERGE,
    }
)

_FORWARD = {
    Stage.IDLE: frozenset({Stage.APPROVED}),
    Stage.APPROVED: frozenset({Stage.EXECUTING, Stage.IDLE}),
    Stage.EXECUTING: frozenset({Stage.MERGE_PENDING, Stage.IDLE}),
    Stage.MERGE_PENDING: frozenset({Stage.MAIN_MERGED, Stage.EXECUTING, Stage.IDLE}),
    Stage.MAIN_MERGED: frozenset[Stage](),
}


def must_ask(autonomy: Autonomy, boundary: Boundary) -> bool:
    """Say whether a run at ``boundary`` waits for a person.

    >>> must_ask(Autonomy.ADAPTIVE, Boundary.WAVE_DONE)
    False
    >>> must_ask(Autonomy.ADAPTIVE, Boundary.MAIN_MERGE)
    True
    >>> any(must_ask(Autonomy.OPEN, boundary) for boundary in Boundary)
    False
    >>> all(must_ask(Autonomy.CLOSED, boundary) for boundary in Boundary)
    True
    """
    match autonomy:
        case Autonomy.OPEN:
            return False
        case Autonomy.CLOSED:
            return True
        case Autonomy.ADAPTIVE:
            return boundary in _ADAPTIVE_ASKS


def may_move(before: Stage, after: Stage) -> bool:
    """Say whether a run may go from one stage to the other.

    >>> may_move(Stage.IDLE, Stage.APPROVED), may_move(Stage.IDLE, Stage.MAIN_MERGED)
    (True, False)
    """
    return after in _FORWARD[before]
