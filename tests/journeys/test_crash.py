"""Coming back after the orchestrator was killed."""

from __future__ import annotations

from collections import Counter

from tests.journeys.site import Site, adds, task


def started(site: Site) -> Counter[tuple[str, int]]:
    """How often each attempt was announced."""
    return Counter((one["task"], one["attempt"]) for one in site.of("task.attempt_started"))


def test_a_killed_run_is_found_interrupted_and_continued_by_exactly_one(site: Site) -> None:
    meeting, traces = site.meeting(), site.root / "starts"
    site.plan(
        adds("first"),
        task(
            "slow", f"echo $MUSTER_ATTEMPT >> {site.root}/starts; {meeting.command}; date > slow.txt", needs=["first"]
        ),
        adds("last", needs=["slow"]),
    )
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    running.kill()

    assert site.muster("ls", "--json").json["runs"][0]["status"] == "interrupted"
    assert "interrupted" in site.muster("ls").out

    continued = [site.start("continue", "--yes", "--json") for _ in range(2)]
    site.wait_for("run.resumed")
    meeting.leave()
    ended = sorted((one.end() for one in continued), key=lambda one: one.code)

    assert [one.code for one in ended] == [0, 75]
    assert ended[1].json["error"]["code"] == "busy"
    assert len(site.of("run.resumed")) == 1
    assert set(started(site).values()) == {1}
    starts = traces.read_text().split()
    assert len(starts) == len(set(starts))
    assert site.tree() == ["a.txt", "b.txt", "first.txt", "last.txt", "slow.txt"]
    assert site.git("status", "--porcelain", "--untracked-files=no") == ""


def test_an_attempt_that_outlived_its_owner_is_adopted(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo whole > slow.txt"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    running.kill()

    continued = site.start("continue", "--yes")
    site.wait_for("run.resumed")
    meeting.leave()

    assert continued.end().code == 0
    assert started(site) == {("slow", 1): 1}
    assert site.git("show", "main:slow.txt") == "whole"


def test_a_person_is_asked_before_an_interrupted_run_goes_on(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo whole > slow.txt"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    running.kill()

    declined = site.terminal("continue")
    declined.sees("1 tasks would restart")
    declined.type("n")

    assert declined.end() == 7
    assert site.muster("ls", "--json").json["runs"][0]["status"] == "interrupted"

    accepted = site.terminal("continue")
    accepted.sees("Resume?")
    accepted.type("y")
    meeting.leave()

    assert accepted.end() == 0


def test_a_run_whose_owner_is_gone_can_be_stopped(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"echo half > half.txt; {meeting.command}"))
    running = site.start("run", "--plan", "plan.md")
    meeting.reached()
    running.kill()

    stopped = site.muster("stop", "--now", "--json")

    assert (stopped.code, stopped.json["result"]) == (0, "cancelled")
    assert site.left() == {}
    (saved,) = site.muster("salvage", "ls", "--json").json["salvage"]
    assert site.git("show", f"{saved['ref']}:half.txt") == "half"
