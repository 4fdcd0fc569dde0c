"""Every shape that a change can have: each file once, with its status, and hunks and numbers that agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.model.errors import EnvironmentProblem
from muster.review.scope import Scope, find_scope
from muster.review.triage import triage
from tests.integration.git_project import GitProject

pytestmark = pytest.mark.anyio

# What there is before, what is done to it, and what then has changed how.
SHAPES = {
    "an empty file comes and goes": (": > e", "rm e; : > f; : > g.py", {"f": "R", "g.py": "A"}),
    "a last line without its end": ("printf x > a; echo x > b", "echo x > a; printf x > b", {"a": "M", "b": "M"}),
    "only the mode": ("echo x > a", "chmod +x a", {"a": "M"}),
    "only the case of a name": ("seq 30 > File", "git mv File file", {"file": "R"}),
    "a file becomes a link": ("seq 9 > a", "rm a; ln -s b a", {"a": "T"}),
    "a link becomes a folder": ("ln -s b a", "rm a; mkdir a; echo x > a/b", {"a": "D", "a/b": "A"}),
    "a folder becomes a link": ("mkdir a; echo x > a/b", "rm -r a; ln -s /etc/passwd a", {"a": "A", "a/b": "D"}),
    "a line as long as a file": ("echo x > a", "head -c 200000 /dev/zero | tr '\\0' y > a", {"a": "M"}),
    "carriage returns": (
        r"printf 'a\r\nb\r\n' > a",
        r"printf 'a\r\nc\r\n' > a; printf 'a\rb\r' > b",
        {"a": "M", "b": "A"},
    ),
    "bytes of another encoding": (
        "echo x > a",
        r"printf '\261\340\302\353\n' > a; printf '\377\376a\0' > b",
        {"a": "M", "b": "A"},
    ),
    "text that looks like a patch": (
        "echo x > a",
        r"printf 'diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+y\n-- \n++ z\n' > a; cp a b",
        {"a": "M", "b": "A"},
    ),
    "a submodule comes": (
        "echo x > a",
        "git init -q s; git -C s commit -q --allow-empty -m s; printf '[submodule \"s\"]\\n' > .gitmodules",
        {".gitmodules": "A", "s": "A"},
    ),
    "a submodule moves on": (
        "git init -q s; git -C s commit -q --allow-empty -m s",
        "git -C s commit -q --allow-empty -m t",
        {"s": "M"},
    ),
    "a submodule moves away": ("git init -q s; git -C s commit -q --allow-empty -m s", "mv s t", {"t": "R"}),
    "a submodule becomes a file": (
        "git init -q s; git -C s commit -q --allow-empty -m s",
        "rm -rf s; echo x > s",
        {"s": "T"},
    ),
    "all is gone": ("echo x > a; echo y > b", "rm a b", {"a": "D", "b": "D"}),
}


def agrees(scope: Scope, wanted: dict[str, str]) -> bool:
    """Whether exactly these files are listed and covered, and the patch was read in full."""
    listed = {change.path: change.status for change in scope.changes}
    covered = [row.path for row in triage(scope).covered]
    return (listed, sorted(covered), scope.disagreeing) == (wanted, sorted(wanted), ())


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_change_of_any_shape_is_listed_once_and_read_in_full(tmp_path: Path, shape: str) -> None:
    before, change, wanted = SHAPES[shape]
    project = GitProject.create(tmp_path, {"stays": "x\n"})
    project.run(before)
    since = project.commit("Before", {})
    project.run(change)

    as_it_lies = await find_scope(project.top, since=since)
    project.commit("After", {})
    committed = await find_scope(project.top, since=since)

    assert agrees(as_it_lies, wanted), as_it_lies.changes
    assert agrees(committed, wanted), committed.changes
    assert [{one.uncommitted for one in scope.changes} for scope in (as_it_lies, committed)] == [{True}, {False}]


async def test_histories_that_cross_are_compared_from_end_to_end(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"a": "1\n", "b": "1\n"})
    base = project.head()
    ours = project.commit("Ours", {"a": "2\n"})
    project.git("switch", "-q", "-c", "other", base)
    theirs = project.commit("Theirs", {"b": "2\n"})
    project.git("merge", "-q", "-m", "One", ours)
    project.commit("More", {"c": "1\n"})
    project.git("switch", "-q", "main")
    project.git("merge", "-q", "-m", "Two", theirs)
    project.git("merge", "-q", "-m", "Three", "other")

    assert agrees(await find_scope(project.top, since=base), {"a": "M", "b": "M", "c": "A"})
    assert agrees(await find_scope(project.top, since="HEAD^1"), {"c": "A"})


async def test_a_start_on_another_line_of_history_is_said(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"a": "1\n"})
    project.git("switch", "-q", "--orphan", "other")
    project.commit("Other", {"b": "1\n"})

    scope = await find_scope(project.top, since="main")

    assert {change.path for change in scope.changes} in ({"a", "b"}, {"b"})
    assert any("is not in the history of" in warning for warning in scope.warnings)


async def test_a_linked_worktree_and_a_folder_of_it_are_reviewed_as_they_are(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"a": "1\n"})
    since = project.head()
    place = project.root / "linked"
    project.git("worktree", "add", "-q", str(place), "-b", "linked")
    project.write({"deep/b": "1\n"}, at=place)

    for folder in (place, place / "deep"):
        assert agrees(await find_scope(folder, since=since), {"deep/b": "A"})
    assert agrees(await find_scope(project.top, since=since), {})


async def test_a_repository_of_another_hash_works_the_same(tmp_path: Path) -> None:
    project = GitProject(tmp_path)
    project.top.mkdir()
    project.git("config", "--global", "user.name", "Uma User")
    project.git("config", "--global", "user.email", "uma@example.org")
    project.git("init", "-q", "--object-format=sha256")
    since = project.commit("First", {"a": "1\n"})
    project.commit("Second", {"a": "2\n"})
    project.write({"b": "1\n"})

    assert agrees(await find_scope(project.top, since=since[:12]), {"a": "M", "b": "A"})


async def test_what_the_callers_environment_says_of_git_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = GitProject.create(tmp_path, {"a": "1\n"})
    since = project.head()
    project.commit("Second", {"a": "2\n"})
    (tmp_path / "other").mkdir()
    other = GitProject.create(tmp_path / "other", {"z": "1\n"})
    mark = tmp_path / "ran"
    monkeypatch.setenv("GIT_DIR", str(other.top / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {mark}")
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "diff.noprefix")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")

    scope = await find_scope(project.top, since=since)

    assert agrees(scope, {"a": "M"})
    assert not mark.exists()


async def test_a_partial_clone_that_lacks_a_text_says_how_to_get_it(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"a": "1\n"})
    since = project.head()
    project.commit("Second", {"a": "2\n"})
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("clone", "-q", "--filter=blob:none", f"file://{project.top}", str(project.root / "partial"))

    with pytest.raises(EnvironmentProblem) as told:
        await find_scope(project.root / "partial", since=since)

    assert "partial clone" in told.value.hint
