"""Trust: what a repository may bring of its own, and when that is asked again."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from muster.config.load import load_settings
from muster.config.trust import TrustState, contents, revoke, trust, trust_state, trusted_projects
from muster.model.errors import ConflictError, RefusedError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = '[agents.kimi]\ncommand = ["kimi", "acp"]\n[run]\ngates = "closed"\n'


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that remembers what is trusted, away from the real one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "muster" / "trust.json"


@pytest.fixture
def project(tmp_path: Path, book: Path) -> Path:
    return make_project(tmp_path / "project")


def make_project(folder: Path) -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / "muster.toml").write_text(SETTINGS)
    write(folder / ".muster/agents/executor.md", "be careful")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_trusted_project_may_set_commands_and_an_unknown_one_may_not(project: Path) -> None:
    before = load_settings(project, environ={})

    trust(project, NOW)

    assert [found.key for found in before.ignored] == ["agents.kimi.command"]
    after = load_settings(project, environ={})
    assert after.required().agents.named["kimi"].command == ("kimi", "acp")


def test_the_record_is_readable_by_its_owner_only(project: Path, book: Path) -> None:
    trust(project, NOW)

    assert book.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in book.parent.iterdir() if path.suffix == ".new"] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("muster.toml", SETTINGS.replace("kimi", "evil")),
        ("muster.toml", SETTINGS + "[git]\nhooks = true\n"),
        (".muster/agents/executor.md", "be evil"),
        (".muster/workflows/new.workflow.md", "steps"),
        (".muster/skills/deep/down/SKILL.md", "x"),
        (".muster/reactions.yaml", "rules: []"),
    ],
)
def test_a_change_of_what_could_run_code_asks_again(project: Path, path: str, text: str) -> None:
    trust(project, NOW)

    write(project / path, text)

    assert trust_state(project) is TrustState.CHANGED


def test_taking_a_definition_away_asks_again(project: Path) -> None:
    trust(project, NOW)

    (project / ".muster/agents/executor.md").unlink()

    assert trust_state(project) is TrustState.CHANGED


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("muster.toml", "# a comment\n" + SETTINGS.replace("closed", "open")),
        ("src/main.py", "print()"),
        (".muster/projects/x/plan.md", "a plan"),
        (".muster/profiles/mine.yaml", "phase_models: []"),
        (".muster/state/muster.db", "x"),
    ],
)
def test_a_change_of_anything_else_does_not(project: Path, path: str, text: str) -> None:
    trust(project, NOW)

    write(project / path, text)

    assert trust_state(project) is TrustState.TRUSTED


def test_a_copy_of_a_trusted_repository_is_not_trusted(project: Path, tmp_path: Path) -> None:
    trust(project, NOW)

    shutil.copytree(project, tmp_path / "copy")

    assert trust_state(tmp_path / "copy") is TrustState.UNKNOWN


def test_another_repository_at_the_same_path_is_not_trusted(project: Path) -> None:
    trust(project, NOW)

    # Kept for the moment, so that the new folder cannot get the same inode.
    project.rename(project.with_name("old"))
    make_project(project)

    assert trust_state(project) is TrustState.CHANGED


def test_a_worktree_shares_the_trust_of_its_repository(project: Path, tmp_path: Path) -> None:
    trust(project, NOW)
    worktree = tmp_path / "worktree"
    shutil.copytree(project, worktree, ignore=shutil.ignore_patterns(".git"))
    write(project / ".git/worktrees/worktree/commondir", "../..\n")
    write(worktree / ".git", f"gitdir: {project}/.git/worktrees/worktree\n")

    assert trust_state(worktree) is TrustState.TRUSTED


def test_projects_of_one_repository_are_trusted_one_by_one(project: Path) -> None:
    write(project / "sub/muster.toml", SETTINGS)

    trust(project, NOW)

    assert trust_state(project / "sub") is TrustState.UNKNOWN


def test_trust_can_be_taken_back(project: Path) -> None:
    trust(project, NOW)

    assert [revoke(project), revoke(project)] == [True, False]
    assert trust_state(project) is TrustState.UNKNOWN
    assert trusted_projects() == ()


def test_contents_name_what_is_trusted(project: Path) -> None:
    found = contents(project)

    assert found["agents.kimi.command"] == '["kimi", "acp"]'
    assert list(found)[1:] == [".muster/agents/executor.md"]


@pytest.mark.parametrize("target", ["/etc/passwd", "nowhere", "../../muster.toml"])
@pytest.mark.parametrize("place", ["agents/link.md", "agents/sub", "workflows", "reactions.yaml"])
def test_a_definition_that_is_a_link_is_never_trusted(project: Path, place: str, target: str) -> None:
    link = project / ".muster" / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)

    with pytest.raises(RefusedError, match=f"^.muster/{place}: a definition must be a plain file"):
        trust(project, NOW)


def test_a_definition_that_is_a_pipe_is_refused_and_not_read(project: Path) -> None:
    os.mkfifo(project / ".muster/agents/pipe.md")

    with pytest.raises(RefusedError, match="plain file"):
        trust(project, NOW)


def test_a_file_name_that_is_not_utf8_can_be_trusted(project: Path) -> None:
    write(project / ".muster/agents" / os.fsdecode(b"caf\xe9.md"), "x")

    trust(project, NOW)

    assert trust_state(project) is TrustState.TRUSTED


def test_a_record_that_others_may_write_is_not_believed(project: Path, book: Path) -> None:
    trust(project, NOW)
    book.chmod(0o666)

    with pytest.raises(RefusedError, match="could be written by somebody else"):
        trust_state(project)


def test_a_broken_record_is_named_and_left_alone(project: Path, book: Path) -> None:
    write(book, "{")
    book.chmod(0o600)

    with pytest.raises(ConflictError, match=r"trust\.json cannot be read"):
        trust(project, NOW)
    assert book.read_text() == "{"


def test_many_at_the_same_time_do_not_forget_each_other(tmp_path: Path, book: Path) -> None:
    projects = [make_project(tmp_path / f"project {number}") for number in range(12)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda project: trust(project, NOW), projects))

    assert len(trusted_projects()) == 12
    assert len(json.loads(book.read_text())["projects"]) == 12
