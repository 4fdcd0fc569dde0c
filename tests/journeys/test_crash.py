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


def test_a_person_who_does_not_resume_an_interrupted_run_ends_it(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"echo half > half.txt; {meeting.command}"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    running.kill()

    terminal = site.terminal("continue")
    terminal.sees("1 task would restart")
    terminal.type("n")

    assert terminal.end() == 7
    assert site.left() == {}
    assert site.show()["status"] == "cancelled"
    assert site.of("run.cancel")[0]["source"] == "interrupted-not-resumed"
    assert len(site.muster("salvage", "ls", "--json").json["salvage"]) == 1


def test_a_person_who_resumes_an_interrupted_run_sees_it_end(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo whole > slow.txt"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    running.kill()

    terminal = site.terminal("continue")
    terminal.sees("Resume?")
    terminal.type("y")
    meeting.leave()

    assert terminal.end() == 0


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


def test_one_task_of_a_run_whose_owner_is_gone_is_stopped_and_nothing_else_starts(site: Site) -> None:
    first, second = site.meeting("first"), site.meeting("second")
    site.plan(
        task("first", f"{first.command}; echo 1 > first.txt", on_failure="continue"),
        task("second", f"{second.command}; echo 2 > second.txt"),
        adds("third", needs=["second"]),
    )
    running = site.start("run", "--plan", "plan.md", "--gates", "open", "--max-parallel", "2")
    first.reached()
    second.reached()
    running.kill()

    stopped = site.muster("stop", "@last/first", "--json")
    unknown = site.muster("stop", "@last/fourth", "--json")

    assert (stopped.code, stopped.json["result"]) == (0, "accepted")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "not-found")
    assert [type_ for type_, _ in site.events() if type_ == "run.resumed"] == []
    assert not any("first.here" in words for words in site.left().values())
    second.leave()
    assert site.muster("continue", "--yes").code == 1
    assert [one["status"] for one in site.show()["tasks"]] == ["cancelled", "done", "done"]
    assert site.tree() == ["a.txt", "b.txt", "second.txt", "third.txt"]
