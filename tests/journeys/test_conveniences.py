"""What a person expects from a command line tool, and gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.site import Site, adds, plan, task


def test_a_plan_is_run_as_it_is_also_where_words_are_expected(site: Site) -> None:
    site.plan(adds("one"))
    site.write({"words.md": "Add a flag.\n"})

    said = site.muster("run", "plan.md", "--dry-run")
    both = [site.muster("run", "plan.md", *more) for more in (("-m", "and quickly"), ("--reuse",))]
    words = site.muster("run", "words.md", "--dry-run")
    loose = site.muster("run", "Add a flag")

    assert (said.code, said.out.splitlines()[0]) == (0, "A journey: 1 task, nothing is started")
    assert [(one.code, "A plan is run as it is" in one.err) for one in both] == [(2, True)] * 2
    assert "\nworkflow default;" in words.out
    assert (loose.code, "-m" in loose.err) == (2, True)


def test_a_brief_leads_to_a_plan_by_agents_or_by_hand(site: Site) -> None:
    said = site.muster("brief", "-m", "Make it faster").out

    agents, hand = said.splitlines()[-2:]
    assert agents.startswith("next:  muster plan --project make-it-faster")
    assert site.muster("plan", "new", hand.split()[4]).code == 0
    assert site.muster("run", "--project", "make-it-faster", "--dry-run").code == 0


def test_trust_shows_what_it_allows_and_asks_at_a_terminal(site: Site) -> None:
    site.write({"muster.toml": "[git]\nhooks = true\n"})

    def at_a_terminal(answer: str) -> str:
        terminal = site.terminal("trust")
        assert terminal.sees("[y/N]").startswith("  git.hooks = true\n")
        terminal.type(answer)
        terminal.end()
        return terminal.screen

    def trusted() -> int:
        return len(site.muster("trust", "--list", "--json").json["trusted"])

    assert "is not trusted; nothing was changed." in at_a_terminal("n")
    assert trusted() == 0
    assert "is trusted with this." in at_a_terminal("y")
    assert trusted() == 1
    site.write({"muster.toml": '[git]\nhooks = true\n[agents.own]\ndialect = "acp"\ncommand = ["own"]\n'})
    unasked = site.terminal("trust", "--yes")
    assert (unasked.end(), "[y/N]" in unasked.screen) == (0, False)


def test_trust_shows_the_commands_of_workflows_and_obeys_no_name(site: Site) -> None:
    steps = 'steps: [{id: build, kind: command, run: "make all\\nmake more", verify: [make test]}]'
    site.write({".muster/workflows/ours.workflow.md": f"---\ndescription: Ours.\n{steps}\n---\n"})
    site.write({".muster/workflows/\x1b[2Jtheirs.workflow.md": "", ".muster/agents/two\nlines.md": ""})

    shown = site.muster("trust").out

    assert "  .muster/workflows/ours.workflow.md\n    runs: make all make more\n    runs: make test\n" in shown
    assert "\x1b" not in shown
    assert "  .muster/agents/two lines.md\n" in shown


def test_what_is_trusted_is_what_was_shown(site: Site) -> None:
    site.write({"muster.toml": "[git]\nhooks = true\n"})
    terminal = site.terminal("trust")
    terminal.sees("[y/N]")

    site.write({"muster.toml": '[git]\nhooks = true\n[worktree]\ncopy = [".env"]\n[agents.own]\ncommand = ["own"]\n'})
    terminal.type("y")

    assert terminal.end() == 0
    settings = site.muster("config", "show", "--json").json
    assert "git.hooks" in settings["ignored"]


def test_report_diff_and_diagnose_have_an_object_for_programs(site: Site) -> None:
    site.plan(adds("one"))
    run = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json").json["run"]

    report, diff, task_diff = (site.muster(*args, "--json").json for args in (["report"], ["diff"], ["diff", "one"]))
    diagnose = site.terminal("diagnose", "--json")

    assert (report["run"], report["markdown"]) == (run, site.muster("report").out)
    assert (diff["run"], diff["task"], diff["diff"]) == (run, "", site.muster("diff").out)
    assert (task_diff["task"], task_diff["diff"].count("\n+one\n")) == ("one", 1)
    assert diagnose.end() == 0
    assert f'"run": "{run}"' in diagnose.screen


def test_lists_that_are_empty_say_what_would_fill_them(site: Site) -> None:
    # Makes a journal with nothing in it.
    site.muster("gc")

    for args, says in (
        (["drift"], "muster baseline save NAME"),
        (["baseline"], "muster baseline save NAME"),
        (["trust", "--list"], "No project is trusted."),
        (["cache"], "commands cost nothing"),
        (["audit"], "No runs yet."),
        (["metrics"], "Nothing was measured yet."),
    ):
        said = site.muster(*args)
        assert (said.code, says in said.out, "───" in said.out) == (0, True, False), args


def test_drift_alone_lists_the_baselines(site: Site) -> None:
    site.muster("gc")
    site.muster("baseline", "save", "before")

    assert [one["name"] for one in site.muster("drift", "--json").json["baselines"]] == ["before"]


def test_roles_and_the_programs_that_take_them_have_names_of_their_own(site: Site) -> None:
    listed = {name: site.muster(name, "list").out for name in ("roles", "agents")}

    assert listed["agents"].startswith(listed["roles"])
    assert listed["agents"].endswith("muster agent ls\n")
    assert "\nexecutor " in listed["roles"]
    assert "\nclaude " in site.muster("agent", "ls").out
    assert "  agents " not in site.muster("--help").out
    assert site.muster("agents", "lint").code == site.muster("roles", "lint").code == 0


def test_an_agent_that_is_missing_or_misspelt_is_named_with_what_to_set(site: Site) -> None:
    site.plan(task("one", "", agent="claud", prompt="x").replace('run: ""\n', ""))

    lint = site.muster("plan", "lint")
    missing = site.muster("run", "-m", "Do it", env={"PATH": "/usr/bin:/bin"})

    assert (lint.code, "no agent or role 'claud' here (did you mean 'claude'?)" in lint.out) == (0, True)
    assert missing.code == 8
    assert "agents.default in muster.toml" in missing.err


def test_undo_names_the_run_that_could_be_undone(site: Site) -> None:
    site.plan(adds("one"))
    merged = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json").json["run"]
    site.write({"other.md": plan(adds("two"))})
    site.muster("run", "--plan", "other.md")

    refused = site.muster("undo")

    assert (refused.code, f"muster undo {merged}" in refused.err) == (2, True)
    assert site.muster("undo", merged).code == 0
    assert f"muster undo {merged}" not in site.muster("undo").err


def test_a_second_terminal_follows_a_run_to_its_end(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("one", f"{meeting.command}; echo one > one.txt"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    following = site.start("show", "--follow")

    meeting.leave()

    lines = following.end().out.splitlines()
    assert running.end().code == 0
    assert lines[:2] == ["wave 1: one", "  > one started"]
    assert lines[-1].startswith("run complete in ")


def test_a_shell_completes_commands_and_runs(site: Site) -> None:
    site.plan(adds("one"))
    runs = [site.muster("run", "--plan", "plan.md", "-q", "--json").json["run"] for _ in range(2)]

    def completed(words: str) -> list[str]:
        asked = {"_MUSTER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return [line.removeprefix("plain,") for line in site.muster(env=asked).out.split()]

    assert completed("muster sh") == ["show"]
    assert completed("muster show ") == ["@last", *reversed(runs)]
    assert completed(f"muster log {runs[0][:-1]}") == [runs[0]]
    assert completed("muster run --gates ") == ["open", "closed", "adaptive"]


def test_ps_shows_what_the_plan_says_and_not_what_is_around_it(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("one", meeting.command))
    running = site.start("run", "--plan", "plan.md")
    pid = meeting.reached()

    commands = {one["pid"]: one["command"] for one in site.muster("ps", "--json").json["processes"]}

    assert meeting.command[:100] in commands[pid]
    assert f"\n{pid}  " in site.muster("ps").out
    site.muster("stop")
    running.end()


def test_a_type_of_event_that_there_is_not_is_refused_with_the_nearest(site: Site) -> None:
    refused = site.muster("events", "--type", "run.stat")

    assert (refused.code, "'run.state'" in refused.err) == (2, True)


def test_init_before_the_first_commit_says_that_tasks_need_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.top.mkdir()
    site.git("init", "-q")

    assert "\nfirst: git add -A && git commit" in site.muster("init").out
    site.git("-c", "user.name=U", "-c", "user.email=u@example.org", "commit", "-q", "--allow-empty", "-m", "First")
    assert "first:" not in site.muster("init").out


def test_a_report_claims_no_proof_for_what_was_not_done(site: Site) -> None:
    bad = task("bad", "exit 3", on_failure="continue")
    site.plan(adds("good", verify=["true"]), adds("plain"), bad, task("lazy", "true"))
    site.muster("run", "--plan", "plan.md")

    assert "— waiting" in site.muster("report").out
    site.muster("stop")

    proofs = {row.split("**")[1]: row.rsplit("|", 2)[1].strip() for row in _rows(site.muster("report").out)}
    assert proofs == {"good": "`true` exit 0", "plain": "paths", "bad": "—", "lazy": "—"}
    assert "— not answered" in site.muster("report").out


def test_a_run_on_a_detached_head_says_how_to_keep_its_work(site: Site) -> None:
    site.git("checkout", "-q", "--detach")
    site.plan(adds("one"))

    said = site.muster("run", "--plan", "plan.md", "--gates", "open")

    step = said.out.splitlines()[-1].removeprefix("next:   ")
    site.git(*step.replace("NAME", "kept").split()[1:])
    assert "one.txt" in site.tree("kept")


@pytest.mark.parametrize("wanted", ["nope", "no-such-task"])
def test_a_word_that_is_neither_run_nor_task_is_answered_with_the_tasks(site: Site, wanted: str) -> None:
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md")

    refused = site.muster("log", wanted)

    assert (refused.code, "Its tasks: one" in refused.err) == (2, True)


def _rows(report: str) -> list[str]:
    return [line for line in report.splitlines() if line.startswith("| **")]
