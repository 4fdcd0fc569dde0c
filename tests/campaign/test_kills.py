"""SIGKILL at every entry of the journal, for the orchestrator, its agents, or both."""

from __future__ import annotations

import anyio
import pytest

from muster.bench.crash import Point, points, reference, try_point

pytestmark = pytest.mark.slow

SLICES = 8


@pytest.fixture(scope="module")
def undisturbed() -> tuple[str, int]:
    """The tree that the demo ends with, and how many appends it takes, give or take a few."""
    return anyio.run(reference)


def killed(part: float, when: str, who: str, undisturbed: tuple[str, int]) -> None:
    tree, appends = undisturbed
    verdict = anyio.run(try_point, Point(append=max(1, round(part * appends)), when=when, who=who), tree)
    assert verdict.killed == (who != "agents")
    assert verdict.problems == ()


@pytest.mark.parametrize(("part", "when"), [(0.4, "before"), (0.7, "after")])
def test_mode_09_an_orchestrator_killed_at_any_entry_comes_to_the_same_tree(
    undisturbed: tuple[str, int], part: float, when: str
) -> None:
    """The orchestrator of the demo run is killed right before or after an entry is durable, and continued.

    Work: the final tree is the one of an undisturbed run.
    Processes: agents that live on are adopted or ended; none is left at the end.
    Money: no attempt is started twice, none is forgotten.
    """
    killed(part, when, "orchestrator", undisturbed)


@pytest.mark.parametrize(("part", "who"), [(0.5, "agents"), (0.6, "both")])
def test_mode_10_agents_killed_alone_or_with_their_orchestrator_cost_an_attempt_and_no_work(
    undisturbed: tuple[str, int], part: float, who: str
) -> None:
    """All processes of attempts and checks are killed at an entry, with or without the orchestrator.

    Work: the final tree is the one of an undisturbed run.
    Processes: none is left at the end.
    Money: a killed attempt is tried again where the policy says so; an interrupted one does not use up an attempt.
    """
    killed(part, "before", who, undisturbed)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("who", ["orchestrator", "agents", "both"])
@pytest.mark.parametrize("part", range(SLICES))
def test_mode_09_and_10_at_every_entry(undisturbed: tuple[str, int], who: str, part: int) -> None:
    """Every entry of the demo run, each of the three ways.

    Work: 100 % of the points come to the same tree.
    Processes: none is left after any of them.
    Money: no attempt is started twice.
    """
    tree, appends = undisturbed

    verdicts = [anyio.run(try_point, point, tree) for point in points(appends + 6, who)[part::SLICES]]

    assert {verdict.point: verdict.problems for verdict in verdicts if verdict.problems} == {}
