"""Whole workflows: `muster run -m` with real agents in every role, from the sentence to the merge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.journeys.site import Site
from tests.live.model_script import HELLO, JOB
from tests.live.model_server import ModelServer
from tests.live.programs import Cli

pytestmark = [pytest.mark.live_cli, pytest.mark.timeout(300)]
WANTED = "Add a --verbose flag"


def takes_every_role(site: Site, cli: Cli, **phases: list[str]) -> None:
    """The operator's settings: who works, what this program calls the profile's model, who a phase."""
    config = site.home / ".config" / "muster" / "config.toml"
    named = [f"[agents.{cli.name}.models]", *(f"{tier} = {json.dumps(cli.model)}" for tier in ("opus", "sonnet"))]
    chosen = ["[phases]", *(f"{phase} = {json.dumps(agents)}" for phase, agents in phases.items())]
    config.write_text("\n".join(["[agents]", f'default = "{cli.name}"', config.read_text(), *named, *chosen, ""]))


def outcomes(site: Site) -> dict[str, Any]:
    """How the newest attempt of each task ended, by task."""
    return {ended["task"]: ended["outcome"] for ended in site.of("task.attempt_ended")}


def test_a_sentence_becomes_a_merged_change_that_another_agent_checked(
    site: Site, cli: Cli, model: ModelServer
) -> None:
    takes_every_role(site, cli)

    ran = site.muster("run", "-m", WANTED, "--workflow", "fast-fix", "--gates", "open", "--json")

    assert ran.code == 0, (ran, site.events())
    assert {task["id"]: task["status"] for task in ran.json["tasks"]} == dict.fromkeys(
        ("explore", "execute", "verify"), "done"
    )
    assert site.tree() == ["README.md", "hello.txt", "shell.txt"]
    assert site.git("show", "main:hello.txt") == HELLO.strip()
    assert "new line" in site.git("show", "main:README.md")
    ended = outcomes(site)
    assert list(ended) == ["explore", "execute", "verify"]
    for task, answers in (("explore", 2), ("execute", len(JOB)), ("verify", 2)):
        usage = ended[task]["usage"]
        told = tuple(usage.get(name, 0) for name in ("input", "cache_read", "output"))
        assert told == cli.used(answers), task
        assert usage.get("model", "").startswith(cli.reported)
        # Codex and OpenCode do not say which model it was, and nothing is made up.
        assert ("model" in usage) == bool(cli.reported) or cli.dialect == "acp", usage
        assert (usage.get("cost_source") == "reported") == cli.reports_cost
        assert (usage.get("cost_usd") is None) == (usage.get("cost_source", "none") == "none")
        assert ended[task]["session"]
    assert len({outcome["session"] for outcome in ended.values()}) == 3
    assert [len([one for one in site.of("agent.tool_called") if one["task"] == task]) for task in ended] == [1, 4, 1]
    # Who checks gets what was found and done, and has the change in its own worktree.
    asked = json.dumps(model.of("verifier")[0].body)
    assert WANTED in asked
    assert "DONE. I wrote hello.txt" in asked
    # A price that nobody knows is said to be unknown and is never 0.
    known = [outcome["usage"].get("cost_usd") is not None for outcome in ended.values()]
    total = site.muster("cost", "@last").out.splitlines()[-1]
    assert total.endswith(" usd" if all(known) else "unknown"), total
    assert any(known) == (" usd" in total)


def test_planned_tasks_are_what_the_planner_said_and_are_merged_after_a_check(
    site: Site, cli: Cli, model: ModelServer
) -> None:
    takes_every_role(site, cli)

    ran = site.muster("run", "-m", WANTED, "--workflow", "default", "--gates", "open", "--json")

    assert ran.code == 0, (ran, site.events())
    assert list(outcomes(site)) == ["explore", "plan", "T1", "verify"]
    assert site.tree() == ["README.md", "hello.txt", "shell.txt"]
    (plan,) = (site.top / ".muster" / "projects").glob("*/plan.md")
    assert "[[s:job]]" in plan.read_text()
    assert WANTED in json.dumps(model.of("job")[0].body)


@pytest.mark.parametrize("cli", ["claude"], indirect=True)
def test_work_of_an_agent_that_is_not_there_is_done_by_the_next(site: Site, cli: Cli) -> None:
    takes_every_role(site, cli, execute=["missing:sonnet", f"{cli.name}:sonnet"])
    config = site.home / ".config" / "muster" / "config.toml"
    config.write_text(config.read_text() + '[agents.missing]\ndialect = "codex"\ncommand = ["no-such-program"]\n')

    ran = site.muster("run", "-m", WANTED, "--workflow", "fast-fix", "--gates", "open", "--json")

    assert ran.code == 0, (ran, site.events())
    tried = [one["agent"] for one in site.of("task.attempt_started") if one["task"] == "execute"]
    assert tried == ["missing:sonnet", "claude:sonnet"]
    assert site.tree() == ["README.md", "hello.txt", "shell.txt"]
