"""Stopping: from another terminal, by signals, by force; whatever a task left running is gone."""

from __future__ import annotations

import signal
import sqlite3
import time

import pytest

from tests.journeys.site import PATIENCE_S, Meeting, Site, adds, task


def leavers(site: Site, meeting: Meeting, then: str) -> list[str]:
    """Two tasks that leave a daemon each, one without any environment; its pid comes to the meeting."""
    return [
        task(
            name,
            f"{site.daemon(meeting.here, wiped=name == 'wiped')}; read _ < {meeting.go}; {then}",
            changes="any",
            on_failure="continue",
        )
        for name in ("marked", "wiped")
    ]


def wait_until_noted(site: Site, daemon: int) -> None:
    """Wait until the owner has written down an orphan that does not say itself whose it is."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if any(f"orphan {daemon} " in place.read_text() for place in site.top.glob(".muster/state/runs/**/process")):
            return
        time.sleep(0.02)
    raise AssertionError(f"the orphan {daemon} was never noted")


def test_a_stopped_run_is_gone_with_its_work_saved(site: Site) -> None:
    meeting = site.meeting()
    site.plan(adds("first"), task("slow", f"echo half > half.txt; {meeting.command}", needs=["first"]))
    running = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    meeting.reached()

    stopped = site.muster("stop", "--json")

    assert (stopped.code, stopped.json["result"], stopped.json["affects"]) == (0, "cancelled", ["slow"]), stopped.out
    ended = running.end()
    assert (ended.code, ended.json["status"]) == (7, "cancelled")
    assert site.left() == {}
    (saved,) = site.muster("salvage", "ls", "--json").json["salvage"]
    assert site.git("show", f"{saved['ref']}:half.txt") == "half"
    assert "+half" in site.muster("salvage", "show", saved["name"]).out
    assert site.of("run.cancel")[0]["source"] == "stop-command"
    again = site.muster("stop", "--json")
    assert (again.code, again.json["result"]) == (1, "already-terminal")

    continued = site.start("continue", "--gates", "open", "--json")
    meeting.reached()
    meeting.leave()

    assert continued.end().code == 0
    assert site.tree() == ["a.txt", "b.txt", "first.txt", "half.txt"]
    assert len(site.muster("ls", "--json").json["runs"]) == 2


def test_one_task_is_stopped_and_the_others_go_on(site: Site) -> None:
    meeting, other = site.meeting(), site.meeting("other")
    deaf = f"trap '' TERM; {meeting.command}; while :; do read _ < {meeting.go}; done"
    site.plan(
        task("deaf", deaf, on_failure="continue"),
        task("good", f"{other.command}; echo good > good.txt"),
    )
    running = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    meeting.reached()
    other.reached()

    stopped = site.muster("stop", "@last/deaf", "--now", "--json")
    other.leave()
    ended = running.end()

    assert (stopped.code, stopped.json["result"], stopped.json["affects"]) == (0, "cancelled", ["deaf"])
    assert [(one["id"], one["status"]) for one in ended.json["tasks"]] == [("deaf", "cancelled"), ("good", "done")]
    assert ended.code == 1
    assert site.tree() == ["a.txt", "b.txt", "good.txt"]
    assert site.muster("stop", "@last/none").code in (1, 2)


def test_a_stop_that_waits_for_grace_can_be_hurried_from_another_terminal(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("deaf", f"trap '' TERM; {meeting.command}; while :; do read _ < {meeting.go}; done"))
    site.write({"muster.toml": "[run]\ngrace_s = 600\n"})
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    first = site.start("stop", "--json")
    site.wait_for("run.state", state="cancel_requested")
    hurried = site.muster("stop", "--now", "--json")

    assert (hurried.code, hurried.json["result"]) == (0, "cancelled"), hurried
    assert first.end().json["result"] == "cancelled"
    assert running.end().code == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_run_is_left_to_be_continued(site: Site, number: signal.Signals) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo done > slow.txt"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    running.send(number)

    assert running.end().code == 75
    assert site.left() == {}
    assert site.of("task.attempt_ended")[0]["outcome"]["ending"] == "interrupted"
    assert number.name in site.of("run.released")[0]["reason"]
    continued = site.start("continue")
    meeting.reached()
    meeting.leave()
    assert continued.end().code == 0
    assert [one["attempt"] for one in site.show()["tasks"][0]["attempts"]] == [1, 2]
    assert site.tree() == ["a.txt", "b.txt", "slow.txt"]


@pytest.mark.parametrize(("then", "code"), [("true", 0), ("false", 1)])
def test_a_task_that_ends_leaves_no_daemon(site: Site, then: str, code: int) -> None:
    meeting = site.meeting()
    site.plan(*leavers(site, meeting, then))
    running = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    daemons = {meeting.reached(), meeting.reached()}
    assert daemons <= set(site.left())

    meeting.leave()
    meeting.leave()

    assert running.end().code == code
    assert site.left() == {}
    assert {pid for swept in site.of("process.swept") for pid in swept["pids"]} >= daemons


@pytest.mark.parametrize("how", ["stop", "ctrl-c", "terminate"])
def test_a_run_that_is_stopped_leaves_no_daemon(site: Site, how: str) -> None:
    meeting = site.meeting()
    site.plan(*leavers(site, meeting, "true"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    assert {meeting.reached(), meeting.reached()} <= set(site.left())

    match how:
        case "stop":
            assert site.muster("stop", "--now").code == 0
        case "ctrl-c":
            running.send(signal.SIGINT)
        case _:
            running.send(signal.SIGTERM)

    assert running.end().code == {"stop": 7, "ctrl-c": 130, "terminate": 75}[how]
    assert site.left() == {}
    assert site.muster("ps", "--orphans", "--json").json["processes"] == []


@pytest.mark.parametrize("place", [0, 1], ids=["marked", "wiped"])
def test_a_run_that_was_killed_and_continued_leaves_no_daemon(site: Site, place: int) -> None:
    meeting = site.meeting()
    site.plan(leavers(site, meeting, "true")[place])
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    daemon = meeting.reached()
    if place:
        wait_until_noted(site, daemon)

    running.kill()

    assert daemon in site.left(), "nobody was there who could have ended it"
    orphans = site.muster("ps", "--orphans", "--json")
    assert orphans.code == 1
    assert (daemon in {one["pid"] for one in orphans.json["processes"]}) == (place == 0)
    meeting.leave()
    assert site.muster("continue", "--yes").code == 0
    assert site.left() == {}
    assert site.muster("ps", "--orphans").code == 0


def test_a_stop_says_at_once_what_it_affects_and_what_never_started_is_closed_with_it(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", meeting.command, changes="any"), adds("later", needs=["slow"]))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    stopped = site.muster("stop")

    assert stopped.out.splitlines()[0].endswith(": slow; 1 more will not start")
    assert running.end().code == 7
    later = site.show()["tasks"][1]
    assert (later["status"], later["reason"]) == ("skipped", "the run was cancelled: stop-command")


def test_everything_is_stopped_at_once_whoever_drives_it(site: Site) -> None:
    meetings = [site.meeting(name) for name in ("one", "two")]
    running = []
    for meeting, name in zip(meetings, ("one", "two"), strict=True):
        site.plan(task(name, meeting.command, changes="any"), at=f"{name}.md")
        running.append(site.start("run", "--plan", f"{name}.md", "--gates", "open"))
        meeting.reached()
    running[0].kill()

    stopped = site.muster("stop", "--all", "--json")

    assert (stopped.code, stopped.json["result"]) == (0, "cancelled")
    assert sorted(name for run in stopped.json["runs"] for name in run["affects"]) == ["one", "two"]
    assert running[1].end().code == 7
    assert site.left() == {}
    assert site.muster("stop", "--all").out == "No run is open.\n"


def test_a_session_is_stopped_as_a_whole_and_nothing_else_is(site: Site) -> None:
    meetings = {name: site.meeting(name) for name in ("one", "two", "other")}
    running = {}
    for name, meeting in meetings.items():
        site.plan(task(name, meeting.command, changes="any"), at=f"{name}.md")
        session = () if name == "other" else ("--session", "nightly:main")
        running[name] = site.start("run", "--plan", f"{name}.md", "--gates", "open", "--json", *session)
        meeting.reached()

    stopped = site.muster("stop", "--session", "nightly:main", "--json")

    assert (stopped.code, stopped.json["result"]) == (0, "cancelled"), stopped
    assert sorted(name for run in stopped.json["runs"] for name in run["affects"]) == ["one", "two"]
    assert [running[name].end().code for name in ("one", "two")] == [7, 7]
    again = site.muster("stop", "--session", "nightly:main", "--json")
    assert (again.code, again.json["result"], again.json["runs"]) == (1, "already-terminal", [])
    meetings["other"].leave()
    other = running["other"].end().json
    assert other["status"] == "complete"
    assert [row["run"] for row in site.muster("ls", "--session", other["run"], "--json").json["runs"]] == [other["run"]]
    listed = site.muster("ls", "--session", "nightly:main", "--json").json["runs"]
    assert [(row["status"], row["session"]) for row in listed] == [("cancelled", "nightly:main")] * 2


def test_what_goes_on_for_a_run_stays_in_its_session(site: Site) -> None:
    site.plan(task("no", "false"))
    site.muster("run", "--plan", "plan.md", "--gates", "open", "--session", "night")

    site.muster("continue", "--gates", "open")

    assert [row["session"] for row in site.muster("ls", "--json").json["runs"]] == ["night", "night"]


def test_a_session_that_cannot_be_or_that_nobody_knows_is_an_error(site: Site) -> None:
    site.plan(task("yes", "true", changes="any"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")

    for said, wanted in {
        ("stop", "--session", "nothing"): "No run belongs to the session 'nothing'",
        ("stop", "@last", "--session", "night"): "Give one of RUN, --session and --all",
        ("run", "--plan", "plan.md", "--session", "two words"): "cannot be the key of a session",
    }.items():
        ran = site.muster(*said)
        assert ran.code == 2, ran
        assert wanted in ran.err
    assert len(site.muster("ls", "--json").json["runs"]) == 1


def test_a_stop_whose_owner_is_suspended_says_who_hangs_and_carries_it_out_once_that_is_gone(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", meeting.command, changes="any"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    running.send(signal.SIGSTOP)

    asked = site.start("stop", "--json")
    with sqlite3.connect(site.top / ".muster/state/muster.db") as database:
        while not database.execute("SELECT count(*) FROM inbox").fetchone()[0]:
            time.sleep(0.01)
    running.kill()

    assert asked.end().json["result"] == "cancelled"
    assert site.left() == {}
