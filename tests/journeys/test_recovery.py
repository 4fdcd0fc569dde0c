"""What `muster continue` finds after a crash, says, asks and leaves alone."""

from __future__ import annotations

import sqlite3

from tests.journeys.site import Site, adds, task


def interrupted(site: Site, name: str = "slow", *, at: str = "plan.md") -> str:
    """A run whose owner was killed while its one task worked; returns its id."""
    meeting = site.meeting(name)
    site.plan(task(name, f"{meeting.command}; echo whole > {name}.txt"), at=at)
    running = site.start("run", "--plan", at, "--gates", "open")
    meeting.reached()
    running.kill()
    meeting.leave()
    return str(site.muster("ls", "--json").json["runs"][0]["run"])


def damage(site: Site, where: str) -> None:
    with sqlite3.connect(site.top / ".muster/state/muster.db") as database:
        database.execute(f"UPDATE entries SET data = x'00' WHERE {where}")


def test_a_script_that_names_no_run_is_not_taken_for_a_yes(site: Site) -> None:
    run = interrupted(site)

    asked = site.muster("continue", "--json")

    assert asked.code == 3
    assert "1 task would restart" in asked.json["error"]["message"]
    assert f"muster continue {run}" in asked.json["error"]["hint"]
    assert site.of("run.resumed") == []
    assert site.muster("continue", run).code == 0, "naming it is a yes"
    assert site.of("run.resumed")[0]["from_seq"] > 0


def test_the_setting_resumes_unasked(site: Site) -> None:
    interrupted(site)

    assert site.muster("continue", env={"MUSTER_RELIABILITY_AUTO_RECOVER": "true"}).code == 0


def test_several_interrupted_runs_are_named_and_continued_one_by_one(site: Site) -> None:
    first, second = interrupted(site, "one"), interrupted(site, "two", at="second.md")

    continued = site.muster("continue", "--yes")

    assert (continued.code, f"Run {first} was interrupted too" in continued.out) == (0, True)
    assert site.muster("continue", first).code == 0
    assert [site.show(run)["status"] for run in (first, second)] == ["complete", "complete"]
    assert site.tree() == ["a.txt", "b.txt", "one.txt", "two.txt"]


def test_a_damaged_end_of_the_journal_is_cut_and_said(site: Site) -> None:
    meeting = site.meeting()
    site.plan(adds("quick"), task("slow", f"{meeting.command}; echo whole > slow.txt"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    site.wait_for("task.succeeded", task="quick")
    running.kill()
    meeting.leave()
    last = len(site.events())
    damage(site, f"seq = {last}")
    assert site.muster("show").code == 6

    continued = site.muster("continue", "--yes")

    assert continued.code == 0, continued.out
    assert "damaged end: its last entry was put aside" in continued.out
    assert site.of("run.resumed")[0]["from_seq"] == last - 1
    assert site.tree() == ["a.txt", "b.txt", "quick.txt", "slow.txt"]
    with sqlite3.connect(site.top / ".muster/state/muster.db") as database:
        assert database.execute("SELECT count(*) FROM cut_entries").fetchone() == (1,)


def test_a_damaged_middle_of_the_journal_stops_the_recovery_of_that_run_alone(site: Site) -> None:
    run = interrupted(site)
    damage(site, "seq = 3")
    with sqlite3.connect(site.top / ".muster/state/muster.db") as database:
        before = database.execute("SELECT * FROM entries ORDER BY pos").fetchall()

    refused = site.muster("continue", run, "--json")

    assert (refused.code, refused.json["error"]["code"]) == (6, "journal")
    assert "entry 3" in refused.json["error"]["message"]
    with sqlite3.connect(site.top / ".muster/state/muster.db") as database:
        assert database.execute("SELECT * FROM entries ORDER BY pos").fetchall() == before
    site.plan(adds("other"))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0
