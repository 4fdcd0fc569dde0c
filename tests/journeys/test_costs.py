"""What runs cost, from outside."""

from __future__ import annotations

import pytest

from tests.campaign.support import OPEN, played
from tests.journeys.site import Site, plan, task

PRICED = "- usage: {input: 10, output: 2, cache_write: 900, cache_read: 9000, cost_usd: 0.25}\n"
UNPRICED = "- usage: {input: 10, output: 2}\n"


def test_costs_are_of_agents_alone_and_an_unknown_price_is_said(site: Site) -> None:
    priced = [played(f"p{n}", PRICED, changes="any") for n in range(3)]
    site.plan(*priced, played("u", UNPRICED, changes="any"), task("c", "true", changes="any"))
    assert site.muster(*OPEN).code == 0

    shown = site.muster("cost", "--by", "task").out
    total = site.muster("cost", "--by", "model", "--json").json["total"]
    later = site.muster("cost", "@last", "--since", "2999-01-01", "--json").json
    caches = site.muster("cache", "report", "--json").json

    assert [line.split()[0] for line in shown.splitlines()[2:]] == ["p0", "p1", "p2", "u", "total"]
    assert "0.7500 usd + 1 unknown" in shown
    assert "0.0000" not in shown
    assert (total["attempts"], total["cost_usd"], total["unpriced"]) == (4, 0.75, 1)
    assert (later["rows"], later["total"]["cost_usd"]) == ([], None)
    assert [(use["children"], use["verdict"]) for use in caches["waves"]] == [(3, "POSITIVE")]


def test_a_profile_has_the_projects_own_numbers_after_three_runs(site: Site) -> None:
    site.plan(played("p", PRICED, changes="any"))
    before = site.muster("profile", "cost", "economy", "--tasks", "30", "--json").json["profiles"]
    for _ in range(3):
        assert site.muster(*OPEN, "--profile", "economy").code == 0

    (after,) = site.muster("profile", "cost", "economy", "--json").json["profiles"]

    assert [(one["basis"], one["low"], one["high"]) for one in before] == [("estimate", 6.0, 30.0)]
    assert (after["basis"], after["low"], after["high"], after["n"]) == ("measured", 0.25, 0.25, 3)


@pytest.mark.parametrize(("floor", "code"), [("0.3", 0), ("0.9", 6)])
def test_plans_are_compared_and_the_floor_decides(site: Site, floor: str, code: int) -> None:
    site.write(
        {
            "a.md": plan(task("a", "make test", title="Add a limit to the login endpoint")),
            "b.md": plan(task("a", "make test", title="Add a limit to the upload page")),
        }
    )

    ran = site.muster("plan", "compare", "a.md", "b.md", "--floor", floor)

    assert ran.code == code
    assert "- login endpoint" in ran.out
    assert "+ upload page" in ran.out
    measured = site.muster("plan", "compare", "a.md", "b.md", "--json").json["likeness"]
    assert measured["jaccard"] == pytest.approx(7 / 11)
