"""A repository that wants to run its own code, or to make Muster write elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.journeys.site import Site, adds, plan, task

HOOKS = [
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg"),
    *("commit-msg", "post-commit", "post-checkout", "post-merge", "pre-push", "pre-rebase", "post-rewrite"),
    *("reference-transaction", "post-index-change", "fsmonitor-watchman", "pre-auto-gc", "sendemail-validate"),
]


def canary(site: Site) -> Path:
    """What the repository's code would make if it ran."""
    return site.root / "canary"


def program(site: Site, at: str) -> Path:
    """A program of the repository that makes the canary, and passes its input on like a filter."""
    path = site.top / at
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {at} >> {canary(site)}\nexec cat\n")
    path.chmod(0o755)
    return path


def test_no_hook_of_the_repository_runs(site: Site) -> None:
    for name in HOOKS:
        program(site, f".git/hooks/{name}")
    site.plan(adds("one"), adds("two"))

    assert site.muster("init").code == 0
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0
    assert site.muster("undo").code == 0
    assert site.muster("doctor").code == 0
    assert site.muster("gc").code == 0
    assert not canary(site).exists()


@pytest.mark.parametrize(
    "setting",
    [
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "merge.evil.driver",
        "core.fsmonitor",
        "diff.external",
        "include.path",
    ],
)
def test_configuration_that_would_run_commands_is_refused_until_it_is_trusted(site: Site, setting: str) -> None:
    site.commit("Attributes", {".gitattributes": "* filter=evil merge=evil diff=evil\n"})
    command = str(program(site, "tools/evil"))
    if setting == "include.path":
        site.write({"tools/config": f"[core]\n\tfsmonitor = {command}\n"})
        command = "../tools/config"
    site.git("config", setting, command)
    site.plan(adds("one"))

    refused = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json")
    looked = [site.muster(*args).code for args in (["ls"], ["doctor"], ["config", "show"])]

    assert refused.code == 4, refused
    error = refused.json["error"]
    assert error["code"] == "refused"
    assert ("core.fsmonitor" if setting == "include.path" else setting) in error["message"]
    assert "muster trust" in error["hint"]
    assert not canary(site).exists(), canary(site).read_text()
    assert looked[0] == 0

    assert site.muster("trust").code == 0
    if setting not in ("filter.evil.process", "core.fsmonitor", "include.path"):
        assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0


OURS = [
    *(".muster", ".muster/state", ".muster/worktrees", ".muster/projects", ".muster/state/runs"),
    *(".muster/state/muster.db", ".muster/projects/journey", ".muster/projects/journey/progress.json"),
]


def test_a_link_in_place_of_what_is_ours_is_refused_before_anything_runs(site: Site) -> None:
    elsewhere = site.root / "elsewhere"
    elsewhere.mkdir()
    site.plan(task("one", f"echo ran > {canary(site)}"))
    for name in OURS:
        place = site.top / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(elsewhere)

        ran = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json")

        assert (ran.code, ran.json.get("error", {}).get("code")) == (4, "refused"), (name, ran)
        assert "symbolic link" in ran.json["error"]["message"]
        assert list(elsewhere.iterdir()) == []
        assert not canary(site).exists()
        place.unlink()


def test_runs_that_came_with_a_clone_are_not_continued(site: Site) -> None:
    site.plan(task("evil", f"echo ran >> {canary(site)}; echo x > x.txt"))
    assert site.muster("run", "--plan", "plan.md", "--gates", "closed", "-q").code == 3
    site.muster("approve")
    site.git("add", "--force", ".muster/state/muster.db")
    site.git("commit", "-q", "-m", "A present")
    clone = site.root / "clone"
    site.git("clone", "-q", str(site.top), str(clone))

    for args in (["continue", "--yes"], ["approve"], ["stop"], ["gc"]):
        ran = site.muster(*args, "--json", cwd=clone)

        assert ran.code == 4, ran
        assert ".muster/state/muster.db is kept in git" in ran.json["error"]["message"]
    assert not canary(site).exists()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("[agents.scripted]\ncommand = ['./evil']\n", "agents.scripted.command"),
        ("[agents.scripted]\nenv_allow = ['*']\n", "agents.scripted.env_allow"),
        ("[run]\nenv_allow = ['SECRET']\n", "run.env_allow"),
        ("[git]\nhooks = true\n", "git.hooks"),
        ("[worktree]\nlink = ['../../home']\n", "worktree.link"),
    ],
)
def test_settings_that_reach_out_are_refused_until_they_are_trusted(site: Site, settings: str, key: str) -> None:
    site.commit("Settings", {"muster.toml": settings})
    site.plan(task("one", "echo ${SECRET-nothing} > one.txt"))

    refused = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json", env={"SECRET": "canary"})

    assert refused.code == 4, refused
    assert key in refused.json["error"]["message"]
    assert "muster trust" in refused.json["error"]["hint"]
    assert site.tree() == ["a.txt", "b.txt", "muster.toml"]


def test_trust_ends_when_what_was_trusted_changes(site: Site) -> None:
    site.commit("Settings", {"muster.toml": "[run]\nenv_allow = ['SECRET']\n"})
    site.plan(task("one", "echo ${SECRET-nothing} > one.txt"))
    assert site.muster("trust").code == 0
    assert site.muster("run", "--plan", "plan.md", "--gates", "open", env={"SECRET": "seen"}).code == 0
    assert site.git("show", "main:one.txt") == "seen"

    site.commit("More", {"muster.toml": "[run]\nenv_allow = ['SECRET', 'TOKEN']\n"})

    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 4


def test_attributes_alone_change_nothing_and_run_nothing(site: Site) -> None:
    site.commit(
        "Attributes",
        {
            ".gitattributes": "* filter=nowhere diff=nowhere merge=union\n*.txt ident export-subst text eol=crlf\n",
            "c.txt": "$Id$\r\n",
        },
    )
    site.plan(adds("one"))

    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0
    assert site.git("status", "--porcelain", "--untracked-files=no") == ""
    assert site.git("cat-file", "blob", "main:one.txt") == "one"


def test_a_program_in_the_repository_does_not_take_the_place_of_another(site: Site) -> None:
    for name in ("git", "sh", "muster", "python3", "sitecustomize.py", "json.py", "msgspec.py", "yaml.py"):
        program(site, name)
    shutil.copy(site.top / "git", site.top / "python")
    site.git("add", "-A")
    site.git("commit", "-q", "-m", "Programs")
    site.write(
        {
            "plan.md": plan(
                adds("one"), "## two\n\n```yaml\nid: two\nagent: scripted\nprompt: |\n  - say: hi\nchanges: any\n```\n"
            )
        }
    )

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert ran.code == 0, ran
    assert not canary(site).exists()


def test_a_forecast_refuses_what_the_run_itself_would_refuse(site: Site) -> None:
    site.write({"muster.toml": '[run]\nenv_allow = ["AWS_*"]\n'})
    site.plan(adds("one"))

    forecast, ran = site.muster("run", "--plan", "plan.md", "--dry-run"), site.muster("run", "--plan", "plan.md")

    assert (forecast.code, forecast.err) == (ran.code, ran.err)
    assert "muster trust" in forecast.err
