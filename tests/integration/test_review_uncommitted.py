"""What is in the folder and not committed is part of a review, and nothing in the repository notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.review.scope import find_scope
from tests.integration.git_project import GitProject

pytestmark = pytest.mark.anyio


@pytest.fixture
def project(tmp_path: Path) -> GitProject:
    return GitProject.create(tmp_path)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


async def paths(project: GitProject, since: str = "HEAD") -> dict[str, str]:
    scope = await find_scope(project.top, since=since)
    return {change.path: change.status for change in scope.changes}


async def test_staged_unstaged_deleted_and_new_files_count_and_ignored_ones_do_not(project: GitProject) -> None:
    since = project.commit("Base", {".gitignore": "ignored\n", "both": "1\n", "gone": "g\n", "far": "f\n" * 20})
    project.write({"both": "2\n", "a.txt": "staged\n"})
    project.git("add", "both", "a.txt")
    project.write({"both": "3\n", "b.txt": "unstaged\n", "deep/new": "n\n", "later": "x\n", "ignored": "i\n"})
    project.git("add", "-N", "later")
    project.run("rm gone; git mv far near")

    found = await paths(project, since)

    assert found == {"a.txt": "M", "b.txt": "M", "both": "M", "deep/new": "A", "gone": "D", "later": "A", "near": "R"}


async def test_nothing_is_written_into_the_repository(project: GitProject, tmp_path: Path) -> None:
    project.git("update-index", "--split-index")
    project.write({"a.txt": "changed\n", "new.txt": "new\n"})
    (tmp_path / "loose").mkdir()
    before = everything(project.top)

    scope = await find_scope(project.top, since="HEAD", loose=tmp_path / "loose")
    with scope.objects() as objects:
        tree = await objects.tree(scope.after_tree)

    assert everything(project.top) == before
    assert [scope.new(change) for change in scope.changes] == [b"changed\n", b"new\n"]
    assert "new.txt" in tree


async def test_the_index_cannot_say_that_a_file_is_not_to_be_looked_at(project: GitProject) -> None:
    project.git("update-index", "--assume-unchanged", "a.txt")
    project.git("update-index", "--skip-worktree", "b.txt")
    hidden = await paths(project)
    project.write({"a.txt": "changed\n", "b.txt": "changed\n"})

    assert (hidden, await paths(project)) == ({}, {"a.txt": "M", "b.txt": "M"})


async def test_a_sparse_checkout_hides_nothing_and_lacks_nothing(project: GitProject) -> None:
    since = project.head()
    project.commit("Both", {"dir/c.txt": "changed\n", "other/d.txt": "new\n"})
    project.git("sparse-checkout", "set", "other")
    project.write({"other/e.txt": "new\n"})

    assert await paths(project, since) == {"dir/c.txt": "M", "other/d.txt": "A", "other/e.txt": "A"}


async def test_a_branch_does_not_choose_what_a_configured_filter_runs_on(project: GitProject) -> None:
    mark = project.root / "ran"
    project.git("config", "filter.lfs.clean", f"touch {mark}; sed s/^/clean-/")
    project.git("config", "filter.lfs.required", "true")
    project.write({".gitattributes": "*.txt filter=lfs\n", "a.txt": "two\n"})
    chosen_by_the_branch = await find_scope(project.top, since="HEAD")
    ran = mark.exists()
    since = project.commit("Agreed", {})
    project.write({"b.txt": "six\n"})
    agreed_before = await find_scope(project.top, since=since)

    texts = [[scope.new(change) for change in scope.changes] for scope in (chosen_by_the_branch, agreed_before)]
    assert texts == [[b"*.txt filter=lfs\n", b"two\n"], [b"clean-six\n"]]
    assert not ran


async def test_what_git_cannot_add_is_named_and_holds_nothing_else_back(project: GitProject) -> None:
    project.run("git init -q nested; echo x > nested/x; rm a.txt; mkfifo a.txt pipe")
    project.write({"new.txt": "new\n"})

    scope = await find_scope(project.top, since="HEAD")

    assert [change.path for change in scope.changes] == ["new.txt"]
    assert scope.warnings == ("Left out, because git cannot add it: 'a.txt', 'nested/'",)


async def test_a_conflict_that_is_not_resolved_is_reviewed_as_it_stands(project: GitProject) -> None:
    project.git("switch", "-q", "-c", "other")
    project.commit("Theirs", {"a.txt": "theirs\n"})
    project.git("switch", "-q", "main")
    since = project.commit("Ours", {"a.txt": "ours\n"})
    project.git("merge", "other", ok=False)

    scope = await find_scope(project.top, since=since)

    assert b"<<<<<<< HEAD" in (scope.new(scope.changes[0]) or b"")
    assert project.git("status", "--porcelain") == "UU a.txt"


async def test_an_index_that_cannot_be_read_is_said(project: GitProject) -> None:
    (project.top / ".git/index").write_bytes(b"junk")

    scope = await find_scope(project.top, since="HEAD")

    assert scope.changes == ()
    assert scope.warnings[0].startswith("Uncommitted changes are left out:")


async def test_a_link_out_of_the_repository_is_not_followed(project: GitProject) -> None:
    (project.root / "secret").write_text("not for reviewers\n")
    (project.top / "link").symlink_to("../secret")

    scope = await find_scope(project.top, since="HEAD")

    assert [scope.new(change) for change in scope.changes] == [b"../secret"]
