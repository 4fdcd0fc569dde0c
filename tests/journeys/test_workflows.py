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
    assert [data["phase"] for data in site.of("phase.finished")] == ["research", "execute", "review"]
    assert prompt(site, "execute").startswith("Add a --verbose flag\n---\n")
    assert "The flags are in a.txt." in prompt(site, "execute")
