"""What an operator asks before a run: config, profile, trust, version and doctor."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import pytest

from muster.cli.root import run_cli
from muster.model.journal.entries import Draft
from muster.model.journal.events import RunStateChanged
from muster.process import this_owner
from muster.stores.sqlite.store import SqliteStore
from muster.wiring.kit import operator
from tests.integration.web_site import Site as WebSite

Muster = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, with this user's settings out of reach."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in [name for name in os.environ if name.startswith("MUSTER_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Start")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def muster(capsys: pytest.CaptureFixture[str]) -> Muster:
    def run(*args: str) -> tuple[int, str, str]:
        code = run_cli(args)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def git(folder: Path, *args: str) -> None:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    subprocess.run(["git", *identity, *args], cwd=folder, check=True)


def findings(out: str, check: str) -> list[tuple[str, str, str]]:
    found = json.loads(out)["findings"]
    return [(one["level"], one["message"], one.get("fix", "")) for one in found if one["check"] == check]


def test_config_show_prints_each_value_with_its_source(project: Path, muster: Muster) -> None:
    (project / "muster.toml").write_text('[run]\ngates = "closed"\n[git]\nhooks = true\n')

    code, out, _ = muster("config", "show", "--json")

    shown = json.loads(out)
    assert code == 0
    assert shown["settings"]["run.gates"] == {"value": "closed", "source": "muster.toml:2"}
    assert shown["settings"]["run.max_parallel"] == {"value": 4, "source": "default"}
    assert shown["ignored"] == {"git.hooks": "muster.toml:4"}
    rows = [line.split() for line in muster("config", "show", "run.g", "git")[1].splitlines()[2:]]
    assert rows == [
        ["run.gates", '"closed"', "muster.toml:2"],
        ["run.grace_s", "5.0", "default"],
        ["git.hooks", "false", "default"],
        ["git.hooks", "(not", "taken)", "muster.toml:4,", "needs:", "muster", "trust"],
    ]


def test_config_show_works_outside_of_a_repository(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert muster("config", "show")[0] == 0


def test_a_wrong_setting_is_one_line_and_exit_code_2(project: Path, muster: Muster) -> None:
    (project / "muster.toml").write_text("[run]\ngate = 1\n")

    code, out, err = muster("config", "show")

    assert (code, out) == (2, "")
    assert err.startswith("muster: muster.toml:2: unknown setting 'run.gate'.")


def test_trust_is_given_listed_and_taken_back(project: Path, muster: Muster) -> None:
    (project / "muster.toml").write_text("[git]\nhooks = true\n")

    code, out, _ = muster("trust")

    assert (code, out.splitlines()[0]) == (0, "  git.hooks = true")
    assert json.loads(muster("config", "show", "--json")[1])["settings"]["git.hooks"]["value"] is True
    listed = json.loads(muster("trust", "--list", "--json")[1])["trusted"]
    assert [one["repository"] for one in listed] == [str(project / ".git")]
    assert json.loads(muster("trust", "--revoke", "--json")[1])["changed"] is True
    assert json.loads(muster("trust", "--list", "--json")[1])["trusted"] == []
    assert "was not trusted" in muster("trust", "--revoke")[1]
    assert muster("trust", "--revoke", "--list")[0] == 2


def test_a_profile_is_made_listed_shown_and_checked(project: Path, muster: Muster) -> None:
    assert muster("profile", "new", "mine", "--like", "economy")[0] == 0
    (project / "muster.toml").write_text('default_profile = "mine"\n')

    shown = json.loads(muster("profile", "show", "--json")[1])

    assert (shown["profile"], shown["profile_source"], shown["source"]) == ("mine", "config", "muster.toml:1")
    assert shown["phase_models_resolved"]["execute"] == "sonnet"
    names = [one["name"] for one in json.loads(muster("profile", "list", "--json")[1])["profiles"]]
    assert names == ["economy", "balanced", "premium", "mine"]
    assert "economy" in muster("profile", "list")[1]
    assert "(named here), for claude" in muster("profile", "show", "balanced")[1]
    assert muster("profile", "lint")[0] == 0


def test_profile_lint_names_each_wrong_file(project: Path, muster: Muster) -> None:
    folder = project / ".muster/profiles"
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text("phase_models: []\n")

    code, out, _ = muster("profile", "lint", "--json")

    assert code == 6
    assert json.loads(out)["problems"][0].startswith(".muster/profiles/bad.yaml: phase_models: no entry")
    assert muster("profile", "list")[2].startswith(".muster/profiles/bad.yaml")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("show", "cheap"), "There is no profile 'cheap'"),
        (("new", "balanced"), "locked"),
        (("new", "x", "--like", "cheap"), "There is no profile 'cheap'"),
        (("show", "economy", "--agent", "nobody"), "has no name for the model 'sonnet'"),
    ],
)
def test_a_profile_that_cannot_be_is_one_line(project: Path, muster: Muster, args: tuple[str, ...], says: str) -> None:
    code, _, err = muster("profile", *args)

    assert code == 2
    assert says in err.splitlines()[0]


def test_version_names_what_a_report_needs(project: Path, muster: Muster) -> None:
    shown = json.loads(muster("version", "--json")[1])

    assert set(shown) == {"schema", "muster", "python", "git", "sqlite", "platform"}
    assert shown["git"].startswith("2.")
    assert muster("version")[1].startswith("muster ")


def test_doctor_finds_a_good_project_good_and_changes_nothing(project: Path, muster: Muster, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))

    code, out, _ = muster("doctor", "--json")

    assert code == 0
    assert {one["check"] for one in json.loads(out)["findings"] if one["level"] != "fail"} >= {
        *("python", "git", "path", "open files", "folders", "repository", "settings"),
        *("store", "disk", "leftovers", "agents"),
    }
    assert sorted(tmp_path.rglob("*")) == before
    assert "findings: 0 fail" in muster("doctor")[1]


def test_doctor_says_that_commands_work_without_an_agent_and_which_to_install(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(programs))

    _, out, _ = muster("doctor", "--json")

    ((level, message, fix),) = findings(out, "agents")
    assert level == "warn"
    assert "Command tasks work without one" in message
    assert all(name in message for name in ("claude", "codex", "gemini"))
    assert fix.startswith("npm install")


def test_doctor_names_each_agents_state_and_the_one_command_that_mends_it(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(programs))
    for name, login in (("claude", "false"), ("codex", "true")):
        says = f'[ "$1" = --version ] && echo 1.2.3 && exit\n[ "$1" = login ]; echo \'{{"loggedIn": {login}}}\''
        (programs / name).write_text(f"#!/bin/sh\n{says}\n")
        (programs / name).chmod(0o755)

    told = {
        message.split()[0]: (level, message, fix)
        for level, message, fix in findings(muster("doctor", "--json")[1], "agents")
    }

    assert told["claude"] == ("warn", f"claude 1.2.3 at {programs}/claude, not logged in", "claude auth login")
    assert told["codex"] == ("ok", f"codex 1.2.3 at {programs}/codex, logged in", "")
    assert told["pi"][0] == "ok"
    assert told["pi"][2].startswith("npm install")


def no_commit(project: Path) -> None:
    git(project, "switch", "-q", "--orphan", "new")


def untrusted(project: Path) -> None:
    (project / "muster.toml").write_text("[git]\nhooks = true\n")


def bad_settings(project: Path) -> None:
    (project / "muster.toml").write_text("[run]\ngates = 'no'\n")


def bad_store(project: Path) -> None:
    (project / ".muster/state").mkdir(parents=True)
    (project / ".muster/state/muster.db").write_bytes(b"not a database" * 100)


def unwritable(project: Path) -> None:
    (project / ".muster").mkdir()
    (project / ".muster/worktrees").touch()


@pytest.mark.parametrize(
    ("harm", "check", "says"),
    [
        (no_commit, "repository", "has no commit yet"),
        (untrusted, "settings", "git.hooks is not taken"),
        (bad_settings, "settings", "open, closed or adaptive"),
        (bad_store, "store", "is not a journal"),
        (unwritable, "folders", "cannot be written"),
    ],
)
def test_doctor_fails_with_8_and_names_what_is_wrong(
    project: Path, muster: Muster, harm: Callable[[Path], None], check: str, says: str
) -> None:
    harm(project)

    code, out, _ = muster("doctor", "--json")

    assert code == 8
    assert [level for level, message, _ in findings(out, check) if says in message] == ["fail"]


def detached(project: Path) -> None:
    git(project, "switch", "-q", "--detach")


def changed(project: Path) -> None:
    (project / "a.txt").write_text("a")
    git(project, "add", "a.txt")


def lost_worktree(project: Path) -> None:
    git(project, "worktree", "add", "-q", "../tree", "HEAD", "--detach")
    (project.parent / "tree").rename(project.parent / "moved")


@pytest.mark.parametrize(
    ("harm", "says"),
    [(detached, "HEAD is detached"), (changed, "Tracked files have changes"), (lost_worktree, "1 worktrees lost")],
)
def test_doctor_warns_of_what_will_be_in_the_way(
    project: Path, muster: Muster, harm: Callable[[Path], None], says: str
) -> None:
    harm(project)

    code, out, _ = muster("doctor", "--json")

    assert code == 0
    assert [(level, bool(fix)) for level, text, fix in findings(out, "repository") if says in text] == [("warn", True)]


async def record_a_run(project: Path, *, driven: bool, state: str) -> None:
    store = await SqliteStore.open(project / ".muster/state/muster.db")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await store.append("01r", 0, [Draft(event=RunStateChanged(state=state, run_id="01r"), at=at)])
    if driven:
        await store.acquire("01r", this_owner(), at, 60)
    await store.close()


@pytest.mark.parametrize(("driven", "level"), [(False, "warn"), (True, "ok")])
def test_doctor_finds_processes_of_a_run_that_nobody_drives(
    project: Path, muster: Muster, driven: bool, level: str
) -> None:
    anyio.run(partial(record_a_run, project, driven=driven, state="start"))
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, "MUSTER_ATTEMPT": "01r:T1:1"})
    try:
        _, out, _ = muster("doctor", "--json")
    finally:
        process.kill()
        process.wait()

    assert [found[0] for found in findings(out, "leftovers")] == [level]
    assert findings(out, "store") == [("ok", "1 runs can be read, every entry as it was written", "")]


@pytest.mark.parametrize(("state", "level"), [("complete", "warn"), ("error", "warn"), ("start", "ok")])
def test_doctor_finds_worktrees_of_runs_that_are_over(project: Path, muster: Muster, state: str, level: str) -> None:
    anyio.run(partial(record_a_run, project, driven=False, state=state))
    (project / ".muster/worktrees/01r").mkdir(parents=True)

    assert [found[0] for found in findings(muster("doctor", "--json")[1], "leftovers")] == [level]


def test_doctor_warns_of_programs_that_a_repository_could_replace(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")

    assert findings(muster("doctor", "--json")[1], "path")[0][0] == "warn"


def test_doctor_works_outside_of_a_repository(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, _ = muster("doctor", "--json")

    assert code == 0
    assert findings(out, "repository")[0][2] == "git init"


def test_doctor_mends_what_is_safe_and_says_what_it_did(project: Path, muster: Muster) -> None:
    (project / ".muster/worktrees/01gone").mkdir(parents=True)
    git(project, "worktree", "add", "-q", "--detach", str(project / "elsewhere"))
    shutil.rmtree(project / "elsewhere")
    before = {fix for _, _, fix in findings(muster("doctor", "--json")[1], "leftovers")}

    code, out, _ = muster("doctor", "--fix", "--json")

    assert before == {"muster gc"}
    assert (code, sorted(json.loads(out)["fixed"])) == (0, ["git worktree prune", "muster gc"])
    assert [level for level, _, _ in findings(out, "leftovers")] == ["ok"]
    assert [level for level, _, _ in findings(out, "repository")] == ["ok"]
    assert not (project / ".muster/worktrees/01gone").exists()


def damaged(project: Path) -> None:
    anyio.run(partial(record_a_run, project, driven=False, state="complete"))
    with closing(sqlite3.connect(project / ".muster/state/muster.db")) as connection, connection:
        connection.execute("UPDATE entries SET data = replace(data, 'complete', 'error')")


def page_lost(project: Path) -> None:
    anyio.run(partial(record_a_run, project, driven=False, state="complete"))
    with closing(sqlite3.connect(project / ".muster/state/muster.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'cut_entries'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with (project / ".muster/state/muster.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)


@pytest.mark.parametrize(
    ("harm", "says"), [(damaged, "what follows entry 0 is damaged"), (page_lost, "SQLite finds it damaged")]
)
def test_doctor_proves_the_journal(project: Path, muster: Muster, harm: Callable[[Path], None], says: str) -> None:
    harm(project)

    code, out, _ = muster("doctor", "--json")

    ((level, message, fix),) = findings(out, "store")
    assert (code, level, bool(fix)) == (8, "fail", True)
    assert says in message


def test_doctor_names_definitions_that_cannot_be_used(project: Path, muster: Muster) -> None:
    for kind, end in (("workflows", ".workflow.md"), ("teams", ".team.md"), ("agents", ".md")):
        (project / ".muster" / kind).mkdir(parents=True)
        (project / ".muster" / kind / f"bad{end}").write_text("no front matter")

    found = findings(muster("doctor", "--json")[1], "definitions")

    assert sorted(fix for level, _, fix in found if level == "warn") == [
        f"muster {kind} lint" for kind in ("agents", "teams", "workflows")
    ]


def test_doctor_says_what_a_service_would_not_find(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "codex").write_text("#!/bin/sh\nexit 1\n")
    (programs / "codex").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    out = muster("doctor", "--json")[1]

    ((level, message, fix),) = findings(out, "service")
    assert (level, bool(fix)) == ("warn", True)
    assert f"codex ({programs}/codex)" in message
    mute = [found for found in findings(out, "agents") if found[1].startswith("codex ")]
    assert mute == [
        (
            "warn",
            f"codex at {programs}/codex does not answer when it is asked for its version.",
            f"'{programs}/codex' --version",
        )
    ]


def test_doctor_tries_whether_somebody_takes_the_metrics(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSTER_EXPORT_MODE", "otlp-json,textfile")
    monkeypatch.setenv("MUSTER_TEXTFILE_DIR", str(tmp_path))
    monkeypatch.setenv("MUSTER_OTEL_ALLOW_PRIVATE", "1")
    with WebSite(body=b"{}") as web:
        monkeypatch.setenv("MUSTER_OTEL_ENDPOINT", f"http://127.0.0.1:{web.port}")
        reached = muster("doctor", "--json")[1]
    lost = muster("doctor", "--json")[1]

    assert [found[0] for found in findings(reached, "exporters")] == ["ok", "ok"]
    assert [found[0] for found in findings(lost, "exporters")] == ["warn", "ok"]
    assert list(tmp_path.glob("*.prom")) == []


def test_every_finding_that_is_not_ok_has_a_command(
    project: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for harm in (detached, changed, damaged):
        harm(project)
    (project / ".muster/profiles").mkdir(parents=True)
    (project / ".muster/profiles/bad.yaml").write_text("phase_models: []\n")
    monkeypatch.setenv("MUSTER_EXPORT_MODE", "textfile")
    monkeypatch.setenv("MUSTER_TEXTFILE_DIR", str(tmp_path / "none"))

    found = json.loads(muster("doctor", "--json")[1])["findings"]

    assert len([one for one in found if one["level"] != "ok"]) >= 6
    assert [one for one in found if one["level"] != "ok" and not one.get("fix")] == []


def test_a_user_without_a_name_is_called_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)

    assert operator() == "operator"
