"""What commands say when there is little to say, so that a person knows what to do next."""

from __future__ import annotations

import re
from pathlib import Path

from muster.cli.root import COMMANDS, SECTIONS
from tests.journeys.site import Site, adds, plan, task


def test_muster_alone_prints_its_help_as_it_is(site: Site) -> None:
    alone, group = site.muster(), site.muster("bundle")

    assert (alone.code, group.code) == (2, 2)
    assert alone.err.startswith("Usage: muster")
    assert group.err.startswith("Usage: muster bundle")


def test_the_overview_has_every_command_once_in_sections_that_fit_a_terminal(site: Site) -> None:
    said = site.muster("--help", env={"COLUMNS": "80"}).out

    listed = re.findall(r"^  (\w+)  +[A-Z]", said.partition("Begin:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert all(f"\n{title}:\n" in said for title in SECTIONS)


def test_a_group_alone_lists_and_ls_and_list_are_the_same(site: Site) -> None:
    (site.top / "muster.toml").touch()
    for group in ("dead", "profile", "baseline", "workflows"):
        alone, ls, long = (site.muster(group, *more, "--json") for more in ((), ("ls",), ("list",)))

        assert "usage" not in alone.out
        assert alone.json == ls.json == long.json
    assert "No such command 'nope'" in site.muster("dead", "nope").err


def test_show_says_what_to_type_next(site: Site) -> None:
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md")

    run = site.show()["run"]
    assert f"  muster diff {run}\n  muster approve {run}.1\n  muster deny {run}.1 -m WHY\n" in site.muster("show").out
    site.muster("approve")
    assert site.muster("show").out.endswith(f"next    muster continue {run}\n")
    site.muster("continue")
    assert site.muster("show").out.endswith(f"muster undo {run}\n")
    site.muster("undo")
    assert "next" not in site.muster("show").out


def test_a_forecast_needs_no_run_before_it_and_leaves_nothing(site: Site) -> None:
    site.plan(adds("one"))

    said = site.muster("run", "--plan", "plan.md", "--dry-run")

    assert (said.code, said.out.splitlines()[0]) == (0, "A journey: 1 task, nothing is started")
    assert not (site.top / ".muster").exists()


def test_an_answer_without_a_question_is_not_given_to_one_of_several(site: Site) -> None:
    site.plan(adds("one"))
    first, second = (site.muster("run", "--plan", "plan.md", "--json").json["run"] for _ in range(2))

    refused = site.muster("approve")

    assert (refused.code, refused.err.splitlines()[0]) == (2, "muster: 2 questions wait; say which.")
    assert [gate["run"] for gate in site.muster("inbox", "--json").json["gates"]] == [first, second]
    assert site.muster("approve", second).out.startswith(f"{second}.1 is approved: Merge 1 of 1")


def test_a_forecast_says_the_budget_and_a_wrong_choice_is_one_line(site: Site) -> None:
    site.plan(adds("one"))

    said = site.muster("run", "--plan", "plan.md", "--dry-run", "--budget", "5 usd")

    assert re.search(r"^budget: the run's budget of 5(\.00)? usd$", said.out, re.MULTILINE)
    assert len(site.muster("completion").err.splitlines()) == 2


def test_a_forecast_refuses_an_agent_that_a_run_would_refuse(site: Site) -> None:
    site.plan("## One\n\n```yaml\nid: one\nagent: nobody\nprompt: hello\n```\n")

    forecast, run = (site.muster("run", "--plan", "plan.md", *more) for more in (["--dry-run"], []))

    assert (forecast.code, forecast.err) == (run.code, run.err)
    assert forecast.code == 2
    assert "there is no role or agent 'nobody'" in forecast.err


def test_a_no_from_elsewhere_says_that_the_run_is_over(site: Site) -> None:
    site.plan(adds("one"))
    assert site.muster("run", "--plan", "plan.md").code == 3

    denied = site.muster("deny", "-m", "not today")

    assert denied.out.splitlines()[0].endswith(".1 is denied: Merge 1 of 1 tasks into main?")
    assert "is cancelled" in denied.out
    assert site.muster("approve").err.startswith("muster: Nothing waits for an answer.")
    assert "has ended already; nothing was stopped" in site.muster("stop").out


def test_a_branch_that_was_left_alone_is_said_in_words_and_the_run_waits(site: Site) -> None:
    site.plan(adds("one"))
    (site.top / "a.txt").write_text("mine\n")

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert ran.code == 3
    assert ran.out.startswith(
        "note: as things are, main will not move at the end:\n"
        "      there are uncommitted changes where it is checked out; tasks do not see them\nRun "
    )
    assert "main was left alone: there are uncommitted changes where it is checked out" in ran.out
    assert site.muster("ls", "--json").json["runs"][0]["status"] == site.show()["status"] == "waiting"


def test_a_continued_run_counts_what_was_done_before_it(site: Site) -> None:
    ready = site.root / "ready"
    site.plan(adds("one"), task("two", f"test -e {ready} && echo two > two.txt", needs=["one"]))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 1
    ready.touch()

    assert site.muster("continue").code == 0

    newest = site.muster("ls", "--json").json["runs"][0]
    assert (newest["done"], newest["tasks"]) == (2, 2)
    finished = site.muster("continue")
    assert (finished.code, finished.out) == (2, "")
    assert "nothing of its plan is open" in finished.err


def test_a_failure_is_shown_once(site: Site) -> None:
    site.plan(task("one", "echo the oven is cold >&2; exit 3"))
    assert site.muster("run", "--plan", "plan.md").code == 1

    tasks = site.muster("show").out.partition("wave 1")[2]

    assert tasks.count("the oven is cold") == 1


def test_settings_and_attempts_that_do_not_exist_are_named(site: Site) -> None:
    site.plan(adds("one"))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0

    setting, attempt = site.muster("config", "show", "nonsense"), site.muster("log", "@last", "one", "--attempt", "9")

    assert (setting.code, setting.err.splitlines()[0]) == (2, "muster: No setting begins with 'nonsense'.")
    assert (attempt.code, attempt.err.strip()) == (2, "muster: one has no attempt 9: it has 1.")


def test_the_demo_says_where_it_is_how_to_remove_it_and_how_to_find_muster(site: Site) -> None:
    bare = {"PATH": "/usr/bin:/bin"}

    said = site.muster("demo", env=bare).out

    folder = re.search(r"^there:  cd (\S+)\nremove: rm -r \1\npath:   export PATH=\S+:\$PATH$", said, re.MULTILINE)
    assert folder
    report = re.search(r"^report: (\S+)$", said, re.MULTILINE)
    assert report
    assert (Path(folder[1]) / report[1]).is_file()


def test_a_run_of_commands_says_nothing_about_models(site: Site) -> None:
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md")
    assert "profile" not in site.muster("show").out

    site.write({"agents.md": plan(task("one", "", agent="scripted", prompt="x").replace('run: ""\n', ""))})
    site.muster("run", "--plan", "agents.md")

    assert "\nagents  scripted; profile premium (default)\n" in site.muster("show").out
