"""Money: what a run may use, what happens at the end of it, and how it goes on."""

from __future__ import annotations

import json

import pytest

from tests.journeys.site import Site, adds


def spends(name: str, usd: float | None, *, tokens: int = 100, **manifest: object) -> str:
    """A task whose agent says that it used so much."""
    usage = {"output": tokens, **({} if usd is None else {"cost_usd": usd})}
    script = json.dumps([{"write": {"path": f"{name}.txt", "text": name}}, {"usage": usage}])
    fields = {"id": name, "agent": "scripted", "prompt": script, "expected_paths": [f"{name}.txt"], **manifest}
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    return f"## {name}\n\n```yaml\n{lines}\n```\n"


def test_a_run_stops_at_its_budget_with_its_work_kept_and_goes_on_when_it_is_raised(site: Site) -> None:
    site.plan(*(spends(name, 2.0, max_cost="2 usd") for name in ("one", "two", "three")), adds("free"))

    parked = site.muster("run", "--plan", "plan.md", "--no-input", "--budget", "5 usd", "--max-parallel", "1")

    assert parked.code == 3
    assert "three needs 2 usd (cap) and the run's budget of 5 usd has 1 usd left" in parked.out
    assert "nearly used up" in parked.out
    shown = site.show()
    assert [(one["id"], one["status"]) for one in shown["tasks"]] == [
        ("one", "done"),
        ("two", "done"),
        ("three", "queued"),
        ("free", "done"),
    ]
    assert shown["budget"]["limits"] == [{"scope": "run", "unit": "usd", "limit": 5.0, "spent": 4.0, "reserved": 0.0}]
    (gate,) = site.muster("inbox", "--json").json["gates"]
    assert gate["boundary"] == "budget-raise"
    refused = site.muster("approve", "--budget", "4 usd", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (4, "refused")

    went_on = site.muster("approve", "--budget", "6 usd", "--continue", "--json")

    assert went_on.code == 3, "the merge into main is the next question"
    assert [one["limit"] for one in site.of("budget.limit_set")] == [6.0]
    assert {one["status"] for one in site.show()["tasks"]} == {"done"}
    assert [(one["task"], one["cost_usd"]) for one in site.of("budget.settled")] == [
        ("one", 2.0),
        ("two", 2.0),
        ("three", 2.0),
    ]


def test_a_reservation_is_in_the_journal_right_before_its_start(site: Site) -> None:
    site.plan(spends("one", 0.1), spends("two", 0.1), adds("free"))

    assert site.muster("run", "--plan", "plan.md", "--gates", "open", "--budget", "4 usd, 1m tokens").code == 0

    types = [(type_, data.get("task")) for type_, data in site.events()]
    for task in ("one", "two"):
        at = types.index(("budget.reserved", task))
        assert types[at + 1] == ("task.attempt_started", task)
    assert ("budget.reserved", "free") not in types
    assert [(one["cost_usd"], one["tokens"], one["basis"]) for one in site.of("budget.reserved")] == [
        (1.0, 200_000, "default")
    ] * 2


def test_what_has_no_known_price_is_never_free(site: Site) -> None:
    site.plan(*(spends(name, None) for name in ("one", "two", "three")))

    ran = site.muster(
        "run", "--plan", "plan.md", "--gates", "open", "--budget", "2 usd", "--max-parallel", "1", "--no-input"
    )

    assert ran.code == 3
    assert [(one.get("cost_usd"), one["tokens"]) for one in site.of("budget.settled")] == [(None, 100)] * 2
    assert "no price is known for 2 attempt(s)" in site.muster("show").out


def test_history_says_how_much_is_set_aside(site: Site) -> None:
    site.plan(*(spends(f"t{n}", n / 10) for n in range(1, 6)))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0
    site.plan(spends("next", 0.1))

    assert site.muster("run", "--plan", "plan.md", "--gates", "open", "--budget", "4 usd").code == 0

    assert [(one["cost_usd"], one["basis"]) for one in site.of("budget.reserved")] == [(0.5, "p90")]


def test_runs_that_share_a_budget_never_take_it_twice(site: Site) -> None:
    site.write({"muster.toml": '[budget]\nday = "3 usd"\n'})
    site.muster("trust")
    for number in range(2):
        site.plan(*(spends(f"t{number}{n}", 1.0, max_cost="1 usd") for n in range(2)), at=f"plan{number}.md")

    runs = [site.start("run", "--plan", f"plan{n}.md", "--gates", "open", "--no-input", "--json") for n in range(2)]
    ended = [one.end() for one in runs]

    ids = [one.json["run"] for one in ended]
    assert sum(len(site.of("task.attempt_started", run)) for run in ids) == 3
    assert sum(one["cost_usd"] for run in ids for one in site.of("budget.settled", run)) == 3.0
    assert {one.code for one in ended} <= {0, 3}
    waiting = site.muster("inbox", "--json").json["gates"]
    assert {one["boundary"] for one in waiting} == {"budget-raise"}


@pytest.mark.parametrize("budget", ["5 eur", "lots", "0 usd", "1 usd, 2 usd"])
def test_a_budget_that_is_none_is_refused_before_anything_starts(site: Site, budget: str) -> None:
    site.plan(adds("one"))

    refused = site.muster("run", "--plan", "plan.md", "--budget", budget, "--json")

    assert refused.code == 2
    assert "budget.run" in refused.json["error"]["message"]
    assert site.muster("ls", "--json").json["runs"] == []


def test_a_run_whose_provider_is_shut_says_until_when_and_waits(site: Site) -> None:
    turned_away = [{"result": {"ok": False, "class": "rate_limit", "message": "5-hour limit", "retry_after_s": 18000}}]
    fields = {"id": "one", "agent": "scripted", "prompt": json.dumps(turned_away)}
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    site.plan(f"## one\n\n```yaml\n{lines}\n```\n")
    running = site.start("run", "--plan", "plan.md", "--gates", "open")

    due = site.wait_for("task.retry_scheduled")["due"]

    (waits,) = site.show()["waits_for"]
    assert (waits["task"], waits["provider"], waits["until"][:16]) == ("one", "scripted", due[:16])
    assert f"waits   for scripted until {due[:10]} {due[11:16]} UTC" in site.muster("show").out
    assert site.muster("stop").code == 0
    ended = running.end()
    assert (ended.code, f"one waits for scripted until {due[:10]} {due[11:16]} UTC" in ended.out) == (7, True)
    assert len(site.of("task.attempt_started")) == 1


def test_a_run_that_waits_for_money_goes_on_with_a_new_budget(site: Site) -> None:
    site.plan(spends("one", 2.0, max_cost="2 usd"))
    assert site.muster("run", "--plan", "plan.md", "--no-input", "--budget", "1 usd").code == 3

    assert site.muster("continue", "--budget", "2 usd", "--no-input").code == 3

    assert [one["status"] for one in site.show()["tasks"]] == ["done"]
    assert [gate["boundary"] for gate in site.muster("inbox", "--json").json["gates"]] == ["main-merge"]
