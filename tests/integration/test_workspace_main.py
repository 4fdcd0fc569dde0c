"""The user's branch moves only when nothing can be hurt, and can be put back."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.workspaces.workspace import GitWorkspace
from tests.integration.git_project import GitProject, note

pytestmark = pytest.mark.anyio
MAIN = "refs/heads/main"


async def merged(repo: GitProject, work: GitWorkspace, files: dict[str, str]) -> tuple[str, str]:
    """The commit the run began from and the merge of a task that wrote some files."""
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    repo.write(files, at=place)
    left = await work.collect("T1", 1, base, note(), hooks=False)
    proposal = await work.propose(base, left.commit, note("Merge\n"))
    await work.advance(base, proposal.commit)
    return base, proposal.commit


OBSTACLES = {
    "dirty": "echo mine > b.txt",
    "staged": "echo mine > b.txt; git add b.txt",
    "untracked in the way": "echo mine > new.txt",
    "ignored in the way": "echo new.txt >> .git/info/exclude; echo mine > new.txt",
    "a folder in the way": "mkdir new.txt; echo mine > new.txt/x",
    "a merge begun": "git merge -q --no-commit --no-ff side || true",
    "a rebase begun": "git rebase -q side || true",
    "a bisect begun": "git bisect start -q; git bisect bad; git bisect good HEAD~1",
    "moved": "git commit -q --allow-empty -m mine",
    "gone": "git checkout -q --detach; git branch -q -D main",
    "locked": "touch .git/index.lock",
}
REASONS = {
    "staged": "dirty",
    "untracked in the way": "in-the-way",
    "ignored in the way": "in-the-way",
    "a folder in the way": "in-the-way",
    "a merge begun": "in-progress",
    "a rebase begun": "in-progress",
    "a bisect begun": "in-progress",
    "gone": "missing",
    "locked": "refused",
}


@pytest.mark.parametrize("what", OBSTACLES)
async def test_whatever_is_in_the_way_leaves_everything_as_it_was(tmp_path: Path, what: str) -> None:
    repo = GitProject.create(tmp_path)
    repo.run(
        "git checkout -q -b side; echo s > side.txt; git add -A; git commit -qm side;"
        " echo s > a.txt; git commit -qam changed"
    )
    repo.run("git checkout -q main; echo m > a.txt; git commit -qam m")
    work = await repo.workspace()
    before, after = await merged(repo, work, {"new.txt": "new\n", "a.txt": "changed\n"})
    repo.run(OBSTACLES[what])
    users = repo.users()

    state = await work.move_main(MAIN, before, after)

    assert state.reason == REASONS.get(what, what)
    assert state.hint
    assert repo.users() == users


async def test_a_clean_branch_moves_with_its_working_tree(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    before, after = await merged(repo, work, {"new.txt": "new\n", "a.txt": "changed\n"})
    (repo.top / "untracked.txt").write_text("stays\n")
    assert await work.main_state(MAIN) == await work.move_main(MAIN, before, before)

    state = await work.move_main(MAIN, before, after)

    assert (state.commit, state.reason) == (after, "")
    assert repo.git("status", "--porcelain") == "?? untracked.txt"
    assert (repo.top / "a.txt").read_text() == "changed\n"
    assert repo.git("show", "-s", "--format=%P", after).split()[0] == before


async def test_the_command_in_the_hint_does_it(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    before, after = await merged(repo, work, {"a.txt": "changed\n"})
    (repo.top / "b.txt").write_text("mine\n")
    state = await work.move_main(MAIN, before, after)
    repo.git("checkout", "-q", "b.txt")

    repo.run(state.hint.rpartition("then: ")[2])

    assert repo.head() == after


async def test_a_branch_that_is_nowhere_checked_out_moves_alone(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    before, after = await merged(repo, work, {"a.txt": "changed\n"})
    repo.git("checkout", "-q", "-b", "other")
    (repo.top / "a.txt").write_text("mine\n")

    state = await work.move_main(MAIN, before, after)

    assert state.reason == ""
    assert repo.git("rev-parse", "main") == after
    assert (repo.head(), (repo.top / "a.txt").read_text()) == (before, "mine\n")


async def test_a_branch_in_another_worktree_moves_there_or_not_at_all(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    linked = tmp_path / "linked"
    repo.git("worktree", "add", "-q", "-b", "side", str(linked))
    work = await repo.workspace()
    before, after = await merged(repo, work, {"a.txt": "changed\n"})
    (linked / "a.txt").write_text("mine\n")

    refused = await work.move_main("refs/heads/side", before, after)
    repo.git("checkout", "-q", "a.txt", cwd=linked)
    moved = await work.move_main("refs/heads/side", before, after)

    assert (refused.reason, moved.reason) == ("dirty", "")
    assert (linked / "a.txt").read_text() == "changed\n"
    assert (repo.top / "a.txt").read_text() == "one\n"


async def test_undo_puts_everything_back(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work, repository = await repo.workspace(), await repo.repository()
    users = repo.users()
    before, after = await merged(repo, work, {"new.txt": "new\n", "a.txt": "changed\n"})
    await work.move_main(MAIN, before, after)

    state = await repository.undo("r1", MAIN, after, before)

    assert (state.commit, state.reason) == (before, "")
    assert repo.git("status", "--porcelain") == ""
    files = {name: value for name, value in repo.users().items() if name not in ("index", "reflog")}
    assert files == {name: value for name, value in users.items() if name not in ("index", "reflog")}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("git commit -q --allow-empty -m mine", "moved"),
        ("echo mine > new.txt", "dirty"),
        ("git rm -q --cached b.txt; git commit -q -m mine", "moved"),
    ],
)
async def test_undo_never_takes_back_what_somebody_did_since(tmp_path: Path, how: str, reason: str) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    before, after = await merged(repo, work, {"new.txt": "new\n"})
    await work.move_main(MAIN, before, after)
    repo.run(how)
    users = repo.users()

    state = await (await repo.repository()).undo("r1", MAIN, after, before)

    assert (state.reason, repo.users()) == (reason, users)


async def test_undo_spares_a_file_that_only_the_old_state_knows(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "a.txt").unlink()
    (place / ".gitignore").write_text("a.txt\n")
    left = await work.collect("T1", 1, base, note(), hooks=False)
    await work.move_main(MAIN, base, left.commit)
    (repo.top / "a.txt").write_text("mine, ignored\n")

    state = await (await repo.repository()).undo("r1", MAIN, left.commit, base)

    assert state.reason == "in-the-way"
    assert (repo.top / "a.txt").read_text() == "mine, ignored\n"
