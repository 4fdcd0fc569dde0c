"""Agents review: what they prove to have read and found counts, whatever else they do leaves the verdict open."""

from __future__ import annotations

from typing import Any

import pytest

from tests.journeys.site import Ran, Site
from tests.live.model_server import ModelServer
from tests.live.programs import Cli

pytestmark = [pytest.mark.live_cli, pytest.mark.timeout(240)]
CODE = "import subprocess\n\n\ndef names(place):\n    return subprocess.call(['ls', place])\n"
BRIEF = """\
---
type: brief
slug: names
---
# Names

## Intent
See what is there.

## Goal
A list of names.

## Success Criteria
- There is such a function, symbol: `names`
"""


@pytest.fixture
def asked(site: Site, cli: Cli) -> Site:
    """An operator who lets the agent review, in a repository with one change; the agent may read and nothing else."""
    config = site.home / ".config/muster/config.toml"
    tiers = "\n".join(f'{tier} = "{cli.model}"' for tier in ("opus", "sonnet", "haiku"))
    review = f'[review]\nagents = ["{cli.name}"]\n'
    config.write_text(f"{config.read_text()}\n[agents.{cli.name}.models]\n{tiers}\n{review}")
    site.commit("Settings", {"muster.toml": ""})
    site.commit("Work", {"src/app.py": CODE})
    return site


def reviewed(site: Site, *args: str) -> tuple[Ran, dict[str, Any], dict[str, Any]]:
    """The review, and what became of the reviewer of the code."""
    ran = site.muster("review", *args, "--json")
    assert ran.out, ran
    (run,) = [run for run in ran.json["reviewers"] if run["name"].startswith("agent:code-correctness/")]
    return ran, ran.json, run


def test_what_an_agent_proves_to_have_read_and_found_counts(asked: Site, cli: Cli, model: ModelServer) -> None:
    before = asked.git("status", "--porcelain")
    (asked.root / "brief.md").write_text(BRIEF)

    ran, review, run = reviewed(asked, str(asked.root / "brief.md"), "--since", "HEAD~1")

    assert run["status"] == "done", review["reviewers"]
    assert (ran.code, review["verdict"]) == (0, "WARN")
    (found,) = [one for one in review["findings"] if one["severity"] == "MAJOR"]
    assert (found["path"], found["line"], found["evidence"]) == ("src/app.py", 5, CODE.splitlines()[-1].strip())
    # Both roles were played by the agent, and what both say counts for two.
    assert found["reporters"] == [f"agent:{role}/{cli.name}" for role in ("brief-conformance", "code-correctness")]
    assert found["support"] == 2
    assert {one["status"] for one in review["reviewers"]} == {"done"}
    # It looked at the file in a worktree of its own, which is gone.
    assert {one.step for one in model.of("review")} >= {0, 1}
    assert asked.git("status", "--porcelain") == before
    assert asked.git("worktree", "list").count("\n") == 0


@pytest.mark.parametrize(
    ("script", "status"),
    [("text", "failed"), ("blind", "unattested"), ("job", "failed"), ("text]] [[fault:401", "failed")],
    ids=["talks", "proves-nothing", "writes", "has-no-key"],
)
def test_an_agent_that_does_not_review_leaves_the_verdict_open(
    asked: Site, model: ModelServer, script: str, status: str
) -> None:
    asked.commit("More", {"src/more.py": f"# [[s:{script}]]\nx = 1\n"})
    head = asked.head()

    ran, review, run = reviewed(asked)

    assert model.of(script.split("]")[0])
    assert run["status"] == status, run
    assert (ran.code, review["verdict"]) == (5, "INCONCLUSIVE")
    assert [one["path"] for one in review["coverage"]] == ["src/more.py"]
    assert (asked.head(), asked.git("status", "--porcelain")) == (head, "")
    assert not (asked.top / "hello.txt").exists()
