"""Nothing of the user's is touched, nothing of a hostile repository runs, and nothing that was written is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from muster.model.errors import InputError, NotFoundError, RefusedError
from muster.process import Completed
from muster.process.git import Git
from tests.integration.git_project import GitProject, note

pytestmark = pytest.mark.anyio


def mine(path: Path) -> str:
    """A command that leaves a trace when it runs."""
    return f"sh -c 'touch {path}; cat'"


async def test_hooks_and_commands_of_a_repository_do_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    repo = GitProject.create(tmp_path)
    for hook in ("pre-commit", "commit-msg", "post-commit", "post-checkout", "post-merge", "reference-transaction"):
        repo.write({f".git/hooks/{hook}": f"#!/bin/sh\ntouch {ran}\n"})
        (repo.top / ".git/hooks" / hook).chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "gpg.program", "core.sshCommand", "core.editor"):
        repo.git("config", key, mine(ran))
    repo.git("config", "commit.gpgSign", "true")
    repo.env["GIT_EXTERNAL_DIFF"] = mine(ran)
    repo.env["GIT_CONFIG_PARAMETERS"] = f"'core.hookspath={repo.top}/.git/hooks'"
    work, repository = await repo.workspace(), await repo.repository()
    base = (await repository.snapshot()).commit

    place = await work.prepare("T1", 1, base)
    (place / "a.txt").write_text("changed\n")
    left = await work.collect("T1", 1, base, note(), hooks=False)
    (place / "b.txt").write_text("changed\n")
    await work.salvage("T1", 1)
    merged = await work.propose(base, left.commit, note("Merge\n"))
    await work.advance(base, merged.commit)
    await repository.diff(base, merged.commit)
    moved = await work.move_main("refs/heads/main", base, merged.commit)
    await work.close()
    back = await repository.undo("r1", "refs/heads/main", merged.commit, base)

    assert (moved.reason, back.reason) == ("", "")
    assert not ran.exists()


async def test_the_configuration_that_would_run_commands_is_named(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {".gitconfig": '[filter "evil"]\n\tsmudge = touch /tmp/x\n'})
    assert await (await repo.repository()).untrusted_commands() == ()
    repo.git("config", "--global", "filter.mine.clean", "cat")
    for key, value in {
        "include.path": "../.gitconfig",
        "filter.a.b.process": "x",
        "merge.m.driver": "x",
        "core.fsmonitor": "x",
        "core.sshCommand": "x",
        "alias.fine": "log",
        "alias.evil": "!x",
        "submodule.s.update": "!x",
        "submodule.t.update": "checkout",
        "core.hooksPath": "x",
    }.items():
        repo.git("config", key, value)
    repo.git("config", "--add", "core.fsmonitor", "true")

    repository = await repo.repository()

    named = ("alias.evil", "core.fsmonitor", "core.sshcommand", "filter.a.b.process", "filter.evil.smudge")
    assert await repository.untrusted_commands() == (*named, "include.path", "merge.m.driver", "submodule.s.update")
    assert "core.hookspath" in await repository.untrusted_commands(hooks=True)


@pytest.mark.parametrize("name", [".muster", ".muster/state", ".muster/worktrees", ".muster/worktrees/r1"])
@pytest.mark.parametrize("what", ["link", "file"])
async def test_a_link_where_our_folders_are_is_refused(tmp_path: Path, name: str, what: str) -> None:
    repo = GitProject.create(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (repo.top / name).parent.mkdir(parents=True, exist_ok=True)
    if what == "link":
        (repo.top / name).symlink_to(outside)
    else:
        (repo.top / name).write_text("")

    with pytest.raises(RefusedError, match="outside"):
        await (await repo.workspace()).prepare("T1", 1, repo.head())
    assert list(outside.iterdir()) == []


async def test_an_exclude_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    (repo.top / ".git/info/exclude").unlink()
    (repo.top / ".git/info/exclude").symlink_to(tmp_path / "profile")

    with pytest.raises(RefusedError):
        await repo.repository()
    assert not (tmp_path / "profile").exists()


async def test_settings_a_task_writes_for_its_worktree_never_lead_out_of_it(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    repo.git("config", "extensions.worktreeConfig", "true")
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    repo.git("config", "--worktree", "core.worktree", str(repo.top), cwd=place)
    (place / "a.txt").write_text("changed\n")
    before = repo.users()

    left = await work.collect("T1", 1, base, note(), hooks=False)
    await work.dispose("T1", untouched=True)
    again = await work.prepare("T2", 1, base)

    assert left.paths == ("a.txt",)
    assert repo.users() == before
    assert repo.git("config", "--worktree", "core.worktree", cwd=again, ok=False) == ""


@pytest.mark.parametrize("hide", ["--assume-unchanged", "--skip-worktree"])
async def test_changes_that_are_hidden_from_git_are_found(tmp_path: Path, hide: str) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    repo.git("update-index", hide, "a.txt", cwd=place)
    (place / "a.txt").write_text("hidden\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)
    await work.dispose("T1", untouched=True)

    assert left.paths == ("a.txt",)
    assert ((await work.prepare("T2", 1, base)) / "a.txt").read_text() == "one\n"


LEFTOVERS = {
    "an ignored file": "echo x > x.ignored",
    "an untracked file": "echo x > x",
    "an empty folder": "mkdir -p e/f",
    "a staged file": "echo x > x; git add x",
    "a removed file": "git rm -q a.txt",
    "another HEAD": "git commit -q --allow-empty -m x",
    "a branch": "git checkout -q -b theirs",
    "a merge": "git checkout -q -b l; echo 1 > a.txt; git commit -qam 1; git checkout -q -b r HEAD~1; echo 2 > a.txt;"
    " git commit -qam 2; git merge -q l || true",
    "a rebase": "git checkout -q -b l; echo 1 > a.txt; git commit -qam 1; git checkout -q -b r HEAD~1; echo 2 > a.txt;"
    " git commit -qam 2; git rebase -q l || true",
    "a bisect": "git bisect start -q",
    "a repository": "git init -q nested",
    "a sparse checkout": "git sparse-checkout set dir",
    "a hidden file": "git update-index --skip-worktree a.txt; rm a.txt",
    "a mode": "chmod +x a.txt",
    "a read-only folder": "mkdir ro; echo x > ro/x.ignored; chmod 500 ro",
}


@pytest.mark.parametrize("how", LEFTOVERS.values(), ids=LEFTOVERS.keys())
@pytest.mark.parametrize("untouched", [True, False], ids=["untouched", "touched"])
async def test_the_next_task_finds_nothing_of_the_last(tmp_path: Path, how: str, untouched: bool) -> None:
    repo = GitProject.create(tmp_path, {"a.txt": "one\n", "dir/c.txt": "three\n", ".gitignore": "*.ignored\n"})
    work = await repo.workspace()
    base = repo.head()
    fresh = await work.prepare("T0", 1, base)
    place = await work.prepare("T1", 1, base)
    repo.run(how, cwd=place)
    await work.collect("T1", 1, base, note(), hooks=False)

    await work.dispose("T1", untouched=untouched)
    again = await work.prepare("T2", 1, base)

    assert sorted(str(path.relative_to(again)) for path in again.rglob("*")) == sorted(
        str(path.relative_to(fresh)) for path in fresh.rglob("*")
    )
    assert (again / "a.txt").read_text() == "one\n"
    assert not os.access(again / "a.txt", os.X_OK)
    for question in (
        ("status", "--porcelain=v2", "--branch", "--ignored"),
        ("status",),
        ("ls-files", "-v", "-s"),
        ("config", "--get-all", "core.sparseCheckout"),
        ("symbolic-ref", "-q", "HEAD"),
        ("for-each-ref", "refs/bisect"),
        ("log", "-g", "--format=%H", "HEAD"),
    ):
        mine, theirs = (repo.git(*question, cwd=at, ok=False) for at in (again, fresh))
        assert mine in (theirs, ""), question


async def test_a_hook_that_is_asked_for_runs_and_its_no_is_reported(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    repo.write({".git/hooks/pre-commit": "#!/bin/sh\ngrep -q bad a.txt && echo 'a.txt is bad' >&2 && exit 1\nexit 0\n"})
    (repo.top / ".git/hooks/pre-commit").chmod(0o755)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "a.txt").write_text("bad\n")

    refused = await work.collect("T1", 1, base, note(), hooks=True)
    (place / "a.txt").write_text("good\n")
    allowed = await work.collect("T1", 1, base, note(), hooks=True)

    assert refused.hook_failure == "a.txt is bad"
    assert refused.commit == base
    assert (allowed.hook_failure, allowed.paths) == ("", ("a.txt",))


async def test_commits_are_the_agents_and_the_users_and_carry_the_notes_time(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "a.txt").write_text("x\n")

    left = await work.collect("T1", 1, base, note("# Not a comment\n\nMuster-Task: T1\n"), hooks=False)

    form = "--format=%an <%ae> %at, %cn <%ce> %ct"
    assert repo.git("show", "-s", form, left.commit) == (
        "Agent <agent@example.org> 1767323045, Uma User <uma@example.org> 1767323045"
    )
    assert repo.git("show", "-s", "--format=%(trailers:key=Muster-Task,valueonly)", left.commit).strip() == "T1"
    assert left.message.startswith("# Not a comment\n")
    assert repo.git("rev-parse", "refs/muster/r1/T1/1") == left.commit


async def test_without_an_identity_of_the_user_commits_are_muster_s(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    (repo.home / ".gitconfig").unlink()
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "a.txt").write_text("x\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert repo.git("show", "-s", "--format=%cn <%ce>", left.commit) == "Muster <muster@localhost>"


async def test_an_agents_own_commits_count_and_the_rest_is_added(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    repo.git("checkout", "-q", "-b", "feature", cwd=place)
    own = repo.commit("By the agent", {"a.txt": "committed\n"}, at=place)
    (place / "b.txt").write_text("uncommitted\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert set(left.paths) == {"a.txt", "b.txt"}
    assert repo.git("rev-parse", f"{left.commit}^") == own
    assert repo.git("rev-parse", "feature") == own


@pytest.mark.parametrize(
    "how", ["git commit -q --amend -m x", "git checkout -q --orphan o; git commit -qm x", "git reset -q --soft HEAD~1"]
)
async def test_work_that_does_not_descend_from_its_base_is_tied_to_it(tmp_path: Path, how: str) -> None:
    repo = GitProject.create(tmp_path)
    base = repo.commit("Second", {"a.txt": "second\n"})
    work = await repo.workspace()
    place = await work.prepare("T1", 1, base)
    (place / "b.txt").write_text("work\n")
    repo.run(f"git add -A; {how}", cwd=place)

    left = await work.collect("T1", 1, base, note(), hooks=False)
    merged = await work.propose(base, left.commit, note("Merge\n"))

    assert left.paths == ("b.txt",)
    assert repo.git("merge-base", base, left.commit) == base
    assert repo.show(merged.commit, "b.txt") == "work"


async def test_salvage_keeps_the_index_apart_and_commits_that_nothing_reaches(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    lost = repo.commit("Lost", {"lost.txt": "lost\n"}, at=place)
    repo.git("reset", "-q", "--hard", "HEAD~1", cwd=place)
    (place / "a.txt").write_text("staged\n")
    repo.git("add", "a.txt", cwd=place)
    (place / "a.txt").write_text("on disk\n")
    before = (repo.git("status", "--porcelain=v2", cwd=place), repo.git("ls-files", "-s", cwd=place))

    saved = await work.salvage("T1", 1)

    assert saved is not None
    assert repo.show(saved.commit, "a.txt") == "on disk"
    parents = repo.git("show", "-s", "--format=%P", saved.commit).split()
    assert (parents[0], parents[2]) == (base, lost)
    assert repo.show(parents[1], "a.txt") == "staged"
    assert before == (repo.git("status", "--porcelain=v2", cwd=place), repo.git("ls-files", "-s", cwd=place))


async def test_salvage_during_a_merge_with_conflicts(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    place = await work.prepare("T1", 1, repo.head())
    repo.run(LEFTOVERS["a merge"], cwd=place)

    saved = await work.salvage("T1", 1)

    assert saved is not None
    assert "<<<<<<<" in repo.show(saved.commit, "a.txt")


async def test_saved_work_can_be_listed_shown_and_made_a_branch(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work, repository = await repo.workspace(), await repo.repository()
    place = await work.prepare("T1", 1, repo.head())
    (place / "new.txt").write_text("precious\n")
    saved = await work.salvage("T1", 1)
    assert saved is not None

    [listed] = await repository.salvages()
    ref = await repository.restore_salvage(listed.name, "rescued")

    assert (listed.name, listed.commit) == ("r1/T1/1", saved.commit)
    assert b"+precious" in await repository.show_salvage(listed.name)
    assert repo.git("rev-parse", ref) == saved.commit
    assert await repository.salvages("r2") == ()
    with pytest.raises(InputError):
        await repository.restore_salvage(listed.name, "rescued")
    with pytest.raises(InputError):
        await repository.restore_salvage(listed.name, "--bad name")
    with pytest.raises(NotFoundError):
        await repository.show_salvage("r1/T1/9")


async def test_a_diff_is_limited_to_the_project_and_to_paths(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {"web/muster.toml": "", "web/a": "1\n", "lib/b": "1\n"})
    base = repo.head()
    commit = repo.commit("Both", {"web/a": "2\n", "web/*": "3\n", "lib/b": "2\n"})
    repository = await repo.repository("web")

    assert b"web/a" in await repository.diff(base, commit)
    assert b"lib/b" not in await repository.diff(base, commit)
    assert b"web/a" not in await repository.diff(base, commit, ["*"])
    assert b"web/a" in await repository.diff(base, commit, stat=True)


async def test_content_that_was_staged_and_then_changed_is_saved_when_the_rest_is_committed(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "a.txt").write_text("staged\n")
    repo.git("add", "a.txt", cwd=place)
    (place / "a.txt").write_text("on disk\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert repo.show(left.commit, "a.txt") == "on disk"
    assert repo.show("refs/muster/salvage/r1/T1/1", "a.txt") == "staged"


async def test_variables_of_git_from_outside_lead_nowhere(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    base = repo.head()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_GLOBAL"):
        repo.env[name] = str(tmp_path / "elsewhere")

    work = await repo.workspace()
    place = await work.prepare("T1", 1, base)
    (place / "a.txt").write_text("changed\n")

    assert (await work.collect("T1", 1, base, note(), hooks=False)).paths == ("a.txt",)
    assert not (tmp_path / "elsewhere").exists()


async def test_a_task_that_changes_nothing_costs_one_git_process_and_one_that_does_costs_five(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    called: list[str] = []
    call = Git.__call__

    async def counted(git: Git, *args: str, **more: Any) -> Completed:
        called.append(args[0])
        return await call(git, *args, **more)

    monkeypatch.setattr(Git, "__call__", counted)
    await work.prepare("T0", 1, base)
    await work.collect("T0", 1, base, note(), hooks=False)
    await work.dispose("T0", untouched=True)

    called.clear()
    await work.prepare("T1", 1, base)
    await work.collect("T1", 1, base, note(), hooks=False)
    await work.dispose("T1", untouched=True)
    nothing = len(called)
    place = await work.prepare("T2", 1, base)
    (place / "a.txt").write_text("changed\n")
    await work.collect("T2", 1, base, note(), hooks=False)
    await work.dispose("T2", untouched=True)

    assert nothing == 1
    assert len(called) - nothing == 5


async def test_what_a_killed_git_left_locked_on_a_run_s_refs_is_free_for_the_next_owner(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = (await (await repo.repository()).snapshot()).commit
    await work.prepare("T1", 1, base)
    own = list((repo.top / ".git/refs/muster").rglob("start"))
    assert len(own) == 1
    stale, foreign = own[0].parent / "T1" / "1.lock", repo.top / ".git/refs/heads/main.lock"
    stale.parent.mkdir(exist_ok=True)
    for lock in (stale, foreign):
        lock.touch()

    next_owner = await repo.workspace()
    await next_owner.recover()
    (await next_owner.place("T1")).joinpath("new.txt").write_text("x")
    left = await next_owner.collect("T1", 1, base, note(), hooks=False)

    assert left.paths == ("new.txt",)
    assert foreign.exists(), "the user's own git may be at work there"
