"""A person at a terminal: questions, second terminals, Ctrl-C, a closed window."""

from __future__ import annotations

import pytest

from tests.journeys.site import Site, adds, task

QUESTION = "[y]es"
CTRL_C, CTRL_D = "\x03", "\x04"


def test_a_question_is_asked_until_there_is_an_answer(site: Site) -> None:
    site.plan(adds("new"))
    terminal = site.terminal("run", "--plan", "plan.md")
    terminal.sees(QUESTION)

    terminal.type("perhaps")
    terminal.sees(f"perhaps\n  {QUESTION}")
    terminal.type("y it is fine")

    assert terminal.end() == 0
    assert "Merge 1 of 1 tasks into main?" in terminal.screen
    assert site.of("gate.answered")[0]["why"] == "it is fine"
    assert site.tree() == ["a.txt", "b.txt", "new.txt"]


def test_a_no_at_the_terminal_cancels_and_exits_with_7(site: Site) -> None:
    site.plan(adds("new"))
    terminal = site.terminal("run", "--plan", "plan.md")
    terminal.sees(QUESTION)

    terminal.type("n too early")

    assert terminal.end() == 7
    assert "too early" in site.show()["reason"]
    assert site.tree() == ["a.txt", "b.txt"]


def test_an_answer_from_a_second_terminal_takes_the_question_back(site: Site) -> None:
    site.plan(adds("new"))
    terminal = site.terminal("run", "--plan", "plan.md")
    terminal.sees(QUESTION)
    assert site.show()["status"] == "running"

    approved = site.muster("approve", "--json")

    assert (approved.code, approved.json["driven"]) == (0, True)
    assert terminal.end() == 0
    assert len(site.of("gate.answered")) == 1
    assert site.tree() == ["a.txt", "b.txt", "new.txt"]


@pytest.mark.parametrize("leave", ["end of input", "closed window"])
def test_a_person_who_leaves_at_a_question_finds_it_again(site: Site, leave: str) -> None:
    site.plan(adds("new"))
    terminal = site.terminal("run", "--plan", "plan.md")
    terminal.sees(QUESTION)

    if leave == "end of input":
        terminal.press(CTRL_D)
        assert terminal.end() == 3
    else:
        terminal.hang_up()

    assert site.show()["status"] == "waiting"
    assert len(site.muster("inbox", "--json").json["gates"]) == 1
    assert site.muster("approve", "--continue").code == 0
    assert "new.txt" in site.tree()


def test_a_question_from_before_is_shown_again_with_what_it_asks(site: Site) -> None:
    site.plan(adds("new"))
    site.muster("run", "--plan", "plan.md")

    terminal = site.terminal("continue")
    before = terminal.sees(QUESTION)
    terminal.type("y")

    assert "? Merge 1 of 1 tasks into main?" in before
    assert (terminal.end(), "new.txt" in site.tree()) == (0, True)


def test_ctrl_c_at_a_question_cancels_the_run(site: Site) -> None:
    site.plan(adds("new"))
    terminal = site.terminal("run", "--plan", "plan.md")
    terminal.sees(QUESTION)

    terminal.press(CTRL_C)

    assert terminal.end() == 130
    assert site.show()["status"] == "cancelled"


def test_ctrl_c_ends_a_command_that_only_looks(site: Site) -> None:
    site.plan(adds("new"))
    site.muster("run", "--plan", "plan.md", "-q")
    terminal = site.terminal("events", "--follow")
    terminal.sees("gate.asked")

    terminal.press(CTRL_C)

    assert terminal.end() == 130
    assert "Traceback" not in terminal.screen
    assert site.show()["status"] == "waiting"


def test_ctrl_c_lets_a_task_say_its_last_word_and_keeps_its_work(site: Site) -> None:
    meeting = site.meeting()
    last_word = "trap 'echo saved > last.txt; exit 0' TERM"
    site.plan(task("slow", f"{last_word}; echo half > half.txt; {meeting.command}"), adds("after", needs=["slow"]))
    terminal = site.terminal("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    terminal.press(CTRL_C)

    assert terminal.end() == 130
    assert "Traceback" not in terminal.screen
    assert "x slow cancelled: stopped by" in terminal.screen
    assert "given up" not in terminal.screen
    shown = site.show()
    assert (shown["status"], shown["tasks"][0]["status"]) == ("cancelled", "cancelled")
    assert shown["tasks"][1]["attempts"] == []
    (saved,) = site.muster("salvage", "ls", "--json").json["salvage"]
    assert site.tree(saved["ref"]) == ["a.txt", "b.txt", "half.txt", "last.txt"]
    assert site.muster("salvage", "restore", saved["name"], "--branch", "half").code == 0
    assert site.git("show", "half:half.txt") == "half"
    assert site.muster("ps", "--orphans").code == 0


def test_ctrl_c_twice_gives_no_grace(site: Site) -> None:
    meeting = site.meeting()
    # It ignores SIGTERM, so that with a grace of ten minutes only the second Ctrl-C ends it in time.
    site.plan(task("deaf", f"trap '' TERM; while :; do {meeting.command}; done"))
    terminal = site.terminal("run", "--plan", "plan.md", env={"MUSTER_RUN_GRACE_S": "600"})
    meeting.reached()

    terminal.press(CTRL_C)
    site.wait_for("run.state", state="cancel_requested")
    terminal.press(CTRL_C)

    assert terminal.end() == 130
    assert site.show()["status"] == "cancelled"


def test_a_closed_window_leaves_a_working_run_to_be_continued(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo done > slow.txt"))
    terminal = site.terminal("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    terminal.hang_up()

    assert site.left() == {}
    assert site.show()["status"] == "parked"
    resumed = site.start("continue")
    meeting.reached()
    meeting.leave()
    assert resumed.end().code == 0
    (slow,) = site.show()["tasks"]
    assert [one["ending"] for one in slow["attempts"]] == ["interrupted", "ok"]
