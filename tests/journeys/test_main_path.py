"""From an empty project to merged work, as a person does it who comes back to it later."""

from __future__ import annotations

import re

from tests.journeys.site import Site, adds, task


def test_a_first_plan_is_made_checked_and_forecast_without_starting_anything(site: Site) -> None:
    made = site.muster("init", "--json")
    again = site.muster("init", "--json")
    new = site.muster("plan", "new")
    linted = site.muster("plan", "lint", "--json")
    forecast = site.muster("run", "--dry-run", "--json")

    assert [ran.code for ran in (made, again, new, linted, forecast)] == [0] * 5
    assert (made.json["created"], again.json["created"]) == (["muster.toml"], [])
    assert linted.json["valid"] is True
    assert forecast.json["asks_at"] == ["manifest-audit-failed", "main-merge"]
    assert sum(len(wave) for wave in forecast.json["waves"]) == 3
    assert "nothing is started" in site.muster("run", "--dry-run").out
    assert site.muster("ls").out.startswith("No runs yet")
    assert site.muster("run", "--dry-run", "--gates", "closed", "--json").json["asks_at"][0] == "plan-ready"
    assert site.muster("plan", "new").code == 4, "it never writes over a plan"
    assert site.git("status", "--porcelain") == "?? muster.toml\n?? plan.md"
    assert site.muster("run", "-q").code == 3
    assert site.muster("approve", "--continue").code == 0


def test_a_plan_becomes_merged_work_after_a_person_said_yes(site: Site) -> None:
    site.plan(
        adds("left", title="The left half"),
        adds("right"),
        task(
            "both",
            "cat left.txt right.txt > both.txt; echo joined; echo warned >&2",
            needs=["left", "right"],
            expected_paths=["both.txt"],
            verify=["grep -q right both.txt"],
        ),
    )
    base = site.head()

    started = site.muster("run", "--plan", "plan.md")

    assert started.code == 3
    waits, look, then, otherwise = started.out.splitlines()[-4:]
    gate = site.muster("inbox", "--json").json["gates"][0]
    assert waits.split(maxsplit=1) == ["waits:", "Merge 3 of 3 tasks into main?"]
    assert look == f"look:   muster diff {gate['run']}"
    assert f"muster approve {gate['id']}" in then
    assert f"muster deny {gate['id']}" in otherwise
    assert (gate["boundary"], gate["subject"], gate["run"]) == ("main-merge", "main", gate["id"].partition(".")[0])
    assert gate["id"] in site.muster("inbox").out
    assert site.head() == base
    assert site.show()["status"] == "waiting"

    approved = site.muster("approve", gate["id"], "-m", "looks right", "--json")

    assert (approved.code, approved.json["driven"]) == (0, False)
    assert site.head() == base

    went_on = site.muster("continue")

    assert went_on.code == 0, went_on
    assert site.tree() == ["a.txt", "b.txt", "both.txt", "left.txt", "right.txt"]
    assert (site.top / "both.txt").read_text() == "left\nright\n"
    assert site.git("status", "--porcelain", "--untracked-files=no") == ""
    assert site.head("HEAD^1") == base, "the merge must not be a fast-forward"
    merge = site.git("log", "-1", "--format=%(trailers:key=Muster-Run,valueonly)").strip()
    assert merge == gate["run"]
    work = site.git("log", "--no-merges", "--format=%s|%an|%(trailers:key=Muster-Task,valueonly,separator=%x2C)")
    assert work.splitlines()[-3:] != []
    assert "The left half|command|left" in work.splitlines()
    assert site.muster("inbox").out == "Nothing waits for you.\n"
    assert site.of("gate.answered")[0]["why"] == "looks right"


def test_what_a_run_did_can_be_looked_at_in_words_and_in_json_and_taken_back(site: Site) -> None:
    site.plan(task("one", "echo 1 > one.txt; echo said; echo warned >&2", verify=["test -s one.txt"]), adds("two"))
    base = site.head()
    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json")

    run = ran.json["run"]
    assert (ran.code, ran.json["schema"], ran.json["status"]) == (0, 1, "complete")
    shown = site.show()
    assert {key: ran.json[key] for key in ("run", "tasks", "main_commit")} == {
        key: shown[key] for key in ("run", "tasks", "main_commit")
    }
    assert [(one["id"], one["status"], len(one["attempts"])) for one in shown["tasks"]] == [
        ("one", "done", 1),
        ("two", "done", 1),
    ]
    text = site.muster("show").out
    assert f"run     {run}  complete" in text
    assert "+ one" in text
    listed = site.muster("ls", "--json").json
    assert [(one["run"], one["done"], one["tasks"]) for one in listed["runs"]] == [(run, 2, 2)]
    assert re.search(rf"{run} +complete +2/2", site.muster("ls").out)
    entries = site.muster("events", "--jsonl").lines
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[-1]["data"]["state"] == "complete"
    assert len(site.muster("events").out.splitlines()) == len(entries)
    only = site.muster("events", "--type", "task.merged", "--from", "2", "--jsonl").lines
    assert {entry["type"] for entry in only} == {"task.merged"}
    assert site.muster("log", run, "one").out == "said\n"
    assert site.muster("log", run, "one", "--stderr").out == "warned\n"
    assert re.search(r"two +1 +0 +0\b", site.muster("log").out)
    assert [(one["task"], one["stdout_bytes"]) for one in site.muster("log", "--json").json["logs"]] == [
        ("one", 5),
        ("two", 0),
    ]
    assert site.muster("log", "one").out == "said\n"
    assert site.muster("diff", "one").out == site.muster("diff", run, "one").out != site.muster("diff").out
    assert "'three' names no run" in site.muster("log", "three").err
    assert "+++ b/one.txt" in site.muster("diff").out
    assert "one.txt" not in site.muster("diff", run, "two", "--stat").out
    assert "`test -s one.txt` exit 0" in site.muster("report").out

    undone = site.muster("undo", "--json")

    assert (undone.code, undone.json["branch"], undone.json["commit"]) == (0, "main", base)
    assert (site.head(), site.tree()) == (base, ["a.txt", "b.txt"])
    assert not (site.top / "one.txt").exists()
    assert site.tree(undone.json["kept"]) == ["a.txt", "b.txt", "one.txt", "two.txt"]
    assert site.show()["status"] == "undone"
    assert site.muster("undo").code == 2


def test_a_person_who_says_no_ends_the_run_and_keeps_the_branch(site: Site) -> None:
    site.plan(adds("new"))
    base = site.head()
    site.muster("run", "--plan", "plan.md", "-q")

    denied = site.muster("deny", "@last", "-m", "not like this", "--json")
    after = site.muster("continue", "--no-input", "--json")

    assert denied.code == 0
    assert site.head() == base
    assert site.show()["status"] in ("cancelled", "waiting")
    first = site.muster("ls", "--json").json["runs"][-1]
    assert first["status"] == "cancelled"
    assert "not like this" in site.show(first["run"])["reason"]
    assert after.code in (3, 7)


def test_a_run_is_named_by_its_beginning_its_ending_or_as_the_last(site: Site) -> None:
    site.plan(adds("new"))
    runs = []
    for _ in range(2):
        runs.append(site.muster("run", "--plan", "plan.md", "--gates", "open", "--json").json["run"])
        site.git("reset", "-q", "--hard", "HEAD^1")
    common = next(at for at, (a, b) in enumerate(zip(*runs, strict=True)) if a != b)

    assert site.show(runs[0])["run"] == runs[0]
    assert site.show(runs[0][: common + 1])["run"] == runs[0]
    assert site.show(runs[0][-6:].upper())["run"] == runs[0]
    assert site.show()["run"] == site.show("@last")["run"] == runs[1]
    for wanted, says in ((runs[0][:common], "several runs"), ("zzzz", "names no run"), ("@first", "names no run")):
        failed = site.muster("show", wanted, "--json")
        assert (failed.code, failed.json["error"]["code"]) == (2, "input")
        assert says in failed.json["error"]["message"]
        assert "muster ls" in failed.json["error"]["hint"]


def test_what_was_asked_for_a_run_holds_for_the_one_that_goes_on_for_it(site: Site) -> None:
    ready = site.root / "ready"
    site.plan(task("one", f"test -e {ready} && echo one > one.txt"))
    assert site.muster("run", "--plan", "plan.md", "--gates", "closed", "--no-input").code == 3
    assert site.muster("approve", "--continue").code == 1
    ready.touch()

    goes_on = site.muster("continue", "--json").json
    asks_nothing = site.muster("stop", "@last").code, site.muster("continue", "--gates", "open", "--json").json

    assert (goes_on["autonomy"], goes_on["status"]) == ("closed", "waiting")
    assert asks_nothing[0] == 0
    assert (asks_nothing[1]["autonomy"], asks_nothing[1]["status"]) == ("open", "complete")


def test_who_watches_is_told_what_a_task_waits_for(site: Site) -> None:
    site.plan(*[task(name, f"sleep 0.5; echo x > {name}", expected_paths=[name]) for name in ("one", "two")])

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", env={"MUSTER_RUN_HOST_PARALLEL": "1"})

    assert ran.code == 0
    assert ran.out.count("waits: all 1 seats of this machine are taken") == 1
    assert [event["text"] for event in site.of("agent.noticed")] == ["waits: all 1 seats of this machine are taken"]


def test_a_run_writes_down_the_settings_that_are_no_defaults_and_where_each_comes_from(site: Site) -> None:
    site.write({"muster.toml": "[run]\nmax_parallel = 2\n"})
    site.plan(adds("left"))

    site.muster("run", "--plan", "plan.md", "--gates", "open", "-q")

    (given,) = [line["data"] for line in site.muster("events", "--type", "config.resolved", "--jsonl").lines]
    assert given["values"] == {"run.gates": '"open"', "run.max_parallel": "2"}
    assert given["sources"] == {"run.gates": "flag --gates", "run.max_parallel": "muster.toml:2"}
