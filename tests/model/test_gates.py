"""Where a person is asked, and which way a run may go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.gates import Autonomy, Boundary, Stage, may_move, must_ask

# boundary: open, closed, adaptive
ASKS = {
    Boundary.BRIEF_READY: (False, True, False),
    Boundary.RESEARCH_DONE: (False, True, False),
    Boundary.PLAN_READY: (False, True, False),
    Boundary.PLAN_CRITIC_BLOCKER: (False, True, True),
    Boundary.WAVE_DONE: (False, True, False),
    Boundary.MANIFEST_AUDIT_FAILED: (False, True, True),
    Boundary.BUDGET_RAISE: (False, True, True),
    Boundary.REVIEW_VERDICT: (False, True, False),
    Boundary.MAIN_MERGE: (False, True, True),
}

MOVES = {
    (Stage.IDLE, Stage.APPROVED),
    (Stage.APPROVED, Stage.EXECUTING),
    (Stage.EXECUTING, Stage.MERGE_PENDING),
    (Stage.MERGE_PENDING, Stage.MAIN_MERGED),
    (Stage.MERGE_PENDING, Stage.EXECUTING),
    (Stage.APPROVED, Stage.IDLE),
    (Stage.EXECUTING, Stage.IDLE),
    (Stage.MERGE_PENDING, Stage.IDLE),
}


@pytest.mark.parametrize("boundary", Boundary)
def test_each_boundary_asks_as_the_truth_table_says(boundary: Boundary) -> None:
    asked = tuple(must_ask(autonomy, boundary) for autonomy in (Autonomy.OPEN, Autonomy.CLOSED, Autonomy.ADAPTIVE))

    assert asked == ASKS[boundary]


@pytest.mark.parametrize("before", Stage)
@pytest.mark.parametrize("after", Stage)
def test_a_run_moves_only_along_the_state_machine(before: Stage, after: Stage) -> None:
    assert may_move(before, after) == ((before, after) in MOVES)


@given(wanted=st.lists(st.sampled_from(Stage), max_size=30))
def test_no_sequence_of_moves_reaches_main_without_approval_and_a_pending_merge(wanted: list[Stage]) -> None:
    path = [Stage.IDLE]
    for after in wanted:
        if may_move(path[-1], after):
            path.append(after)

    assert path.count(Stage.MAIN_MERGED) <= 1
    if Stage.MAIN_MERGED in path:
        assert path[-1] is Stage.MAIN_MERGED
        assert path[-2] is Stage.MERGE_PENDING
        assert Stage.APPROVED in path
