"""The orchestrator killed at an append of the demo run and continued, with nothing lost, repeated or left running."""

from __future__ import annotations

import anyio
import pytest

from muster.bench.crash import Point, points, reference, try_point

SLICES = 10


@pytest.fixture(scope="module")
def undisturbed() -> tuple[str, int]:
    """The tree that the demo ends with, and how many appends it takes, give or take a few."""
    return anyio.run(reference)


@pytest.mark.parametrize(
    ("part", "when"),
    [(0.1, "after"), (0.25, "before"), (0.4, "after"), (0.55, "before"), (0.7, "after"), (0.85, "before")],
)
def test_a_killed_run_comes_to_the_same_tree(undisturbed: tuple[str, int], part: float, when: str) -> None:
    tree, appends = undisturbed

    verdict = anyio.run(try_point, Point(append=round(part * appends), when=when), tree)

    assert verdict.killed
    assert verdict.problems == ()


@pytest.mark.crash_all
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(SLICES))
def test_no_point_to_be_killed_at_breaks_a_promise(undisturbed: tuple[str, int], part: int) -> None:
    tree, appends = undisturbed

    verdicts = [anyio.run(try_point, point, tree) for point in points(appends + 10)[part::SLICES]]

    assert verdicts[0].killed
    assert {verdict.point: verdict.problems for verdict in verdicts if verdict.problems} == {}
