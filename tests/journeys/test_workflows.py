"""What a person asks for in words becomes merged work: workflows, their answers, gates, models and fallbacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site.create(tmp_path)
    yield site
    site.close()


def crew(site: Site, scripts: dict[str, Any], *more: str) -> None:
    """Make a scripted agent that follows a script of its own for each task, and whoever is asked first."""
    (site.root / "crew.yaml").write_text(json.dumps({"tasks": scripts, "default": [{"exit": 9}]}))
    folder = site.home / ".config" / "muster"
    folder.mkdir(parents=True, exist_ok=True)
    settings = [
        "[agents]",
        'default = "crew"',
        "[agents.crew]",
        'dialect = "scripted"',
        f"command = [{json.dumps(str(site.root / 'crew.yaml'))}]",
        *more,
    ]
    (folder / "config.toml").write_text("\n".join(settings) + "\n")


WRITES = [
    {"write": {"path": "flag.txt", "text": "--verbose\n"}},
    {"usage": {"input": 70, "output": 7, "cost_usd": 0.5}},
]
HOLDS = [{"say": "I ran it.\n\nVERDICT: HOLDS"}]


def prompt(site: Site, task: str, attempt: int = 1) -> str:
    """What an agent was given."""
    run = site.show()["run"]
    return (site.top / ".muster/state/runs" / run / f"{task}.{attempt}" / "stdin.log").read_text()


def test_words_become_a_merged_change_through_explore_execute_and_verify(site: Site) -> None:
    crew(site, {"explore": [{"say": "The flags are in a.txt."}], "execute": WRITES, "verify": HOLDS})

    ran = site.muster("run", "-m", "Add a --verbose flag", "--workflow", "fast-fix", "--gates", "open")

    assert ran.code == 0, (ran.out, ran.err)
    assert "flag.txt" in site.tree("main")
    assert (site.top / ".muster/projects/add-a-verbose-flag/brief.md").is_file()
    started = {data["task"]: data["agent"] for data in site.of("task.attempt_started")}
    assert started == {"explore": "crew", "execute": "crew", "verify": "crew"}
    used = next(data["outcome"] for data in site.of("task.attempt_ended") if data["task"] == "execute")
    assert used["usage"] == {"input": 70, "output": 7, "cost_usd": 0.5, "cost_source": "reported", "model": "scripted"}
    assert used["session"]
    assert {data["tool"] for data in site.of("agent.tool_called")} == {"write"}
    # The verifier's phase is the review too, before the whole work is reviewed.
    assert [data["phase"] for data in site.of("phase.finished")] == ["research", "execute", "review", "review"]
    assert prompt(site, "execute").startswith("Add a --verbose flag\n---\n")
    assert "The flags are in a.txt." in prompt(site, "execute")


PLAN = """## Write one
```yaml
id: T1
agent: executor
prompt: Write one.
expected_paths: [one.txt]
```

## Write two
```yaml
id: T2
agent: executor
needs: [T1]
prompt: Write two.
expected_paths: [two.txt]
```
"""
NO_PLAN = PLAN.replace("needs: [T1]", "needs: [T9]")
ONE = [{"write": {"path": "one.txt", "text": "1\n"}}]
TWO = [{"write": {"path": "two.txt", "text": "2\n"}}]
DEFAULT: dict[str, Any] = {
    "explore": [{"say": "There is a.txt."}],
    "plan": {"attempts": {1: [{"say": NO_PLAN}]}, "default": [{"say": PLAN}]},
    "T1": ONE,
    "T2": TWO,
    "verify": HOLDS,
}


def test_the_plan_of_an_agent_becomes_tasks_after_one_round_of_repair(site: Site) -> None:
    crew(site, DEFAULT)

    ran = site.muster("run", "-m", "Write one and two", "--gates", "open")

    assert ran.code == 0, (ran.out, ran.err)
    assert {"one.txt", "two.txt"} <= set(site.tree("main"))
    assert "T2.needs[0]: unknown task 'T9'" in prompt(site, "plan", 2)
    assert [data["attempt"] for data in site.of("task.attempt_started") if data["task"] == "plan"] == [1, 2]
    tasks = {task["id"]: task for task in site.show()["tasks"]}
    assert tasks["T1"]["needs"] == ["plan-ready"]
    assert tasks["execute"]["needs"] == ["plan-ready", "T1", "T2"]
    assert [data["phase"] for data in site.of("phase.finished")] == ["research", "plan", "execute", "review", "review"]
    assert "There is a.txt." in prompt(site, "T1")
    assert "Write one and two" in prompt(site, "T2")


@pytest.mark.campaign
def test_a_plan_that_stays_wrong_starts_nothing(site: Site) -> None:
    crew(site, {**DEFAULT, "plan": [{"say": NO_PLAN}]})

    ran = site.muster("run", "-m", "Write one and two", "--gates", "open")

    assert ran.code == 1
    assert "unknown task 'T9'" in ran.out
    assert {data["task"] for data in site.of("task.attempt_started")} == {"explore", "plan"}


def test_a_command_that_nobody_named_is_shown_to_a_person_before_the_plan_is_carried_out(site: Site) -> None:
    strange = PLAN.replace("expected_paths: [one.txt]", 'expected_paths: [one.txt]\nverify: ["test -f one.txt"]')
    crew(site, {**DEFAULT, "plan": [{"say": strange}]})

    ran = site.muster("run", "-m", "Write one and two")
    (gate,) = site.show()["gates"]
    assert ran.code == 3
    assert gate["boundary"] == "plan-critic-blocker"
    assert "test -f one.txt" in gate["detail"]
    assert "T1" not in {data["task"] for data in site.of("task.attempt_started")}
    site.muster("approve", gate["id"], "--continue")

    assert site.show()["gates"][-1]["boundary"] == "main-merge"
    assert site.show()["stage"] == "merge-pending"


@pytest.mark.campaign
def test_a_command_that_the_brief_names_needs_no_second_word(site: Site) -> None:
    named = PLAN.replace("expected_paths: [one.txt]", 'expected_paths: [one.txt]\nverify: ["test -f one.txt"]')
    crew(site, {**DEFAULT, "plan": [{"say": named}]})

    site.muster("run", "-m", "Write one and two. It must pass verify: `test -f one.txt`")

    assert [gate["boundary"] for gate in site.show()["gates"]] == ["main-merge"]


def test_what_a_verifier_finds_broken_is_not_merged(site: Site) -> None:
    crew(site, {**DEFAULT, "verify": [{"say": "two.txt is wrong.\nVERDICT: BROKEN"}]})
    before = site.head()

    ran = site.muster("run", "-m", "Write one and two", "--gates", "open")

    assert ran.code == 1
    assert "two.txt is wrong." in ran.out
    assert site.head() == before


def test_who_cannot_be_had_is_replaced_by_the_next_one_named(site: Site) -> None:
    away = [{"exit": {"code": 1, "class": "auth", "message": "log in first"}}]
    crew(
        site,
        {"explore": [{"say": "x"}], "execute": WRITES, "verify": HOLDS},
        "[agents.away]",
        'dialect = "scripted"',
        f"command = [{json.dumps(str(site.root / 'away.yaml'))}]",
        "[phases]",
        'execute = ["away:big@high", "crew:small@low"]',
    )
    (site.root / "away.yaml").write_text(json.dumps(away))

    ran = site.muster("run", "-m", "Add a --verbose flag", "-w", "fast-fix", "--gates", "open")

    assert ran.code == 0, (ran.out, ran.err)
    asked = [data for data in site.of("task.attempt_started") if data["task"] == "execute"]
    assert [(data["agent"], data["model"], data["effort"]) for data in asked] == [
        ("away:big@high", "big", "high"),
        ("crew:small@low", "small", "low"),
    ]


def test_what_was_planned_in_one_phase_is_carried_out_by_the_next(site: Site) -> None:
    crew(site, DEFAULT)

    ran = site.muster("plan", "-m", "Write one and two", "--gates", "open")

    assert ran.code == 0, (ran.out, ran.err)
    assert {data["task"] for data in site.of("task.attempt_started")} == {"explore", "plan"}
    assert "one.txt" not in site.tree("main")
    kept = site.top / ".muster/projects/write-one-and-two"
    assert "There is a.txt." in (kept / "research/explore.md").read_text()
    assert site.muster("plan", "lint", "--project", "write-one-and-two").code == 0
    assert site.muster("execute", "--project", "write-one-and-two", "--gates", "open").code == 0
    assert {"one.txt", "two.txt"} <= set(site.tree("main"))


def test_a_plan_is_made_of_the_research_that_there_is_for_its_brief(site: Site) -> None:
    crew(site, DEFAULT)
    project = ("--project", "write-one-and-two", "--gates", "open")
    place = site.top / ".muster/projects/write-one-and-two"

    def asked(*words: str) -> set[str]:
        ran = site.muster(*words)
        assert ran.code == 0, (ran.out, ran.err)
        return {data["task"] for data in site.of("task.attempt_started")}

    assert asked("research", "-m", "Write one and two", "-w", "default", "--gates", "open") == {"explore"}
    (place / "research/explore.md").write_text((place / "research/explore.md").read_text() + "A person knows more.\n")
    planned = asked("plan", *project)
    seen = prompt(site, "plan")
    again = asked("plan", "--again", *project)
    (place / "brief.md").write_text((place / "brief.md").read_text() + "\n## Notes\n\nIt changed.\n")
    changed = asked("plan", *project)

    assert planned == {"plan"}
    assert "There is a.txt." in seen
    assert "A person knows more." in seen
    assert again == changed == {"explore", "plan"}


def test_a_run_that_died_while_planned_work_went_on_comes_to_the_same_end(site: Site) -> None:
    crew(site, {**DEFAULT, "T1": [{"run": f"while [ ! -e {site.root}/go ]; do sleep 0.1; done"}, *ONE]})
    started = site.start("run", "-m", "Write one and two", "--gates", "open")
    site.wait_for("task.attempt_started", task="T1")
    started.process.kill()
    started.process.wait()
    (site.root / "go").touch()

    ran = site.muster("continue", "--yes")

    assert ran.code == 0, (ran.out, ran.err)
    assert {"one.txt", "two.txt"} <= set(site.tree("main"))
    tried = [data["task"] for data in site.of("task.attempt_started")]
    assert sorted(tried) == ["T1", "T2", "explore", "plan", "plan", "verify"]
    assert "There is a.txt." in prompt(site, "T2")


@pytest.mark.campaign
def test_a_run_that_goes_on_for_a_failed_one_still_knows_what_was_found_out(site: Site) -> None:
    crew(site, {**DEFAULT, "verify": [{"say": "VERDICT: BROKEN"}]})
    assert site.muster("run", "-m", "Write one and two", "--gates", "open").code == 1
    crew(site, DEFAULT)

    ran = site.muster("continue", "--gates", "open")

    assert ran.code == 0, (ran.out, ran.err)
    assert {data["task"] for data in site.of("task.attempt_started")} == {"verify"}
    assert "There is a.txt." in prompt(site, "verify")
    assert prompt(site, "verify").startswith("Write one and two\n---\n")


def test_a_dry_run_of_words_shows_steps_gates_and_models_and_starts_nothing(site: Site) -> None:
    crew(site, {}, "[phases]", 'plan = ["crew:big", "scripted"]')

    ran = site.muster("run", "-m", "Write one and two", "--dry-run", "--profile", "balanced")

    assert ran.code == 0, (ran.out, ran.err)
    assert "asks at plan-critic-blocker, manifest-audit-failed, main-merge" in ran.out
    assert "models: plan: crew with big, scripted with opus, profile balanced from flag" in ran.out
    assert "models: research: crew with sonnet" in ran.out
    assert "models: execute: crew with sonnet" in ran.out
    assert not (site.top / ".muster/projects").exists()


def test_what_a_role_takes_from_its_agent_reaches_the_program_or_is_refused_before_the_start(site: Site) -> None:
    record = f'printf "%s\\n" "$@" > {site.root}/args.txt; exit 1'
    settings = ["[agents.told]", 'dialect = "claude"', f"command = {json.dumps(['sh', '-c', record, 'told'])}"]
    crew(site, {}, *settings)
    files = {
        "agents/asker.md": "---\ntools: {deny: [web]}\nmax_turns: 9\nskills: [tidy]\n---\nAsk twice.\n",
        "skills/tidy/SKILL.md": "---\nname: tidy\ndescription: How.\n---\nSweep.\n",
        "workflows/ask.workflow.md": "---\nteam: asking\nsteps:\n  - {id: ask, role: asker, attempts: 1}\n---\n",
        "teams/asking.team.md": "---\nroles: {asker: told}\n---\n",
    }
    site.write(files, at=site.home / ".config" / "muster")
    asked = ("run", "-m", "Say", "--workflow", "ask", "--gates", "open")

    site.muster(*asked)
    run = site.show()["run"]
    refused = site.muster(*asked, "--team", "default")

    words = (site.root / "args.txt").read_text().splitlines()
    assert words[words.index("--disallowedTools") + 1] == "WebFetch,WebSearch"
    assert words[words.index("--max-turns") + 1] == "9"
    assert "Skill tidy: How.\nSweep." in prompt(site, "ask")
    assert refused.code == 2
    assert "the role 'asker' has no tools for 'web', and agent 'crew' cannot do without" in refused.err
    assert site.show()["run"] == run
