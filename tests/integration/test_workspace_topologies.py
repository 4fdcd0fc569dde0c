"""Every shape of repository that Muster must work in, as real repositories."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from muster.model.errors import ConflictError, EnvironmentProblem, InputError, MusterError
from muster.workspaces.names import raw
from tests.integration.git_project import GitProject, note

pytestmark = pytest.mark.anyio


async def test_a_project_in_a_sub_folder_sees_its_paths_and_names_the_others_apart(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {"web/app.py": "1\n", "web/muster.toml": "", "lib/l.py": "2\n"})
    work = await repo.workspace(below="web")
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    assert place == repo.top / "web/.muster/worktrees/r1/T1/web"
    (place / "app.py").write_text("changed\n")
    (place.parent / "lib/l.py").write_text("changed\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert left.paths == ("app.py",)
    assert left.outside == ("lib/l.py",)
    assert await work.files(left.tree) == ("app.py", "muster.toml")
    assert await work.contains(left.tree, "app.py", "changed")
    await work.dispose("T1", untouched=True)
    assert await work.in_tree(base, _names) == ["app.py", "muster.toml"]


async def _names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


async def test_a_sub_folder_that_no_commit_knows_exists_in_every_folder(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    repo.write({"new/muster.toml": ""})
    work = await repo.workspace(below="new")
    base = repo.head()

    for task in ("T1", "T2"):
        place = await work.prepare(task, 1, base)
        assert place.is_dir()
        assert (await work.collect(task, 1, base, note(), hooks=False)).commit == base
        await work.dispose(task, untouched=True)


async def test_our_folders_are_excluded_once_and_what_was_excluded_stays(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {"we[i]rd dir/muster.toml": ""})
    exclude = repo.top / ".git/info/exclude"
    exclude.write_text("mine")

    for _ in range(2):
        await repo.repository("we[i]rd dir")

    ours = "/we\\[i\\]rd dir/.muster"
    assert exclude.read_text() == f"mine\n{ours}/state/\n{ours}/worktrees/\n"
    (repo.top / "we[i]rd dir/.muster/state/x").write_text("")
    assert repo.git("status", "--porcelain") == ""
    assert not (repo.top / ".gitignore").exists()


@pytest.mark.parametrize(
    "name", [b"with space", b'quo"te', b"new\nline", b"tab\t\\", b"caf\xe9.txt", b'"', "ü".encode(), b"-n"]
)
async def test_every_file_name_survives(tmp_path: Path, name: bytes) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / os.fsdecode(name)).write_bytes(b"content\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    [path] = left.paths
    path.encode()
    assert raw(path) == name
    assert path in await work.files(left.tree)
    assert await work.contains(left.tree, path, "content")


async def test_conflicts_name_files_that_are_not_utf8(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    commits = []
    for task in ("T1", "T2"):
        place = await work.prepare(task, 1, base)
        (place / os.fsdecode(b"caf\xe9 \n")).write_text(task)
        commits.append((await work.collect(task, 1, base, note(), hooks=False)).commit)

    assert (await work.propose(commits[0], commits[1], note("Merge\n"))).conflicts == ('"caf\\351 \\n"',)


async def test_line_endings_are_those_of_the_repository(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {".gitattributes": "* text=auto eol=crlf\n", "a.txt": "one\ntwo\n"})
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    assert (place / "a.txt").read_bytes() == b"one\r\ntwo\r\n"
    (place / "a.txt").write_bytes(b"one\ntwo\n")
    os.utime(place / "a.txt", ns=(1, 1))
    (place / "b.txt").write_bytes(b"new\r\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert left.paths == ("b.txt",)
    assert repo.git("cat-file", "-s", f"{left.commit}:b.txt") == "4"


async def test_changed_attributes_reach_files_that_did_not_change(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {"a.txt": "one\n"})
    work = await repo.workspace()
    first = repo.head()
    second = repo.commit("Attributes", {".gitattributes": "*.txt eol=crlf\n"})
    await work.prepare("T1", 1, first)
    await work.collect("T1", 1, first, note(), hooks=False)
    await work.dispose("T1", untouched=True)

    place = await work.prepare("T2", 1, second)

    assert (place / "a.txt").read_bytes() == b"one\r\n"


async def test_modes_links_and_folders_that_become_files(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "a.txt").chmod(0o755)
    (place / "link").symlink_to("/etc/passwd")
    shutil.rmtree(place / "dir")
    (place / "dir").write_text("a file now\n")
    (place / "b.txt").unlink()
    (place / "b.txt").mkdir()
    (place / "b.txt/x").write_text("a folder now\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert set(left.paths) == {"a.txt", "b.txt", "b.txt/x", "dir", "dir/c.txt", "link"}
    assert repo.git("ls-tree", left.commit, "a.txt", "link").split()[::4] == ["100755", "120000"]
    assert repo.git("ls-files", cwd=place) == "a.txt\nb.txt/x\ndir\nlink"
    assert repo.git("status", "--porcelain", cwd=place) == ""


async def test_names_that_differ_only_in_case(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "A.TXT").write_text("upper\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert left.paths == ("A.TXT",)
    assert repo.show(left.commit, "a.txt") == "one"


async def test_attributes_of_git_lfs_without_git_lfs_and_another_encoding(tmp_path: Path) -> None:
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n*.u16 text working-tree-encoding=UTF-16\n"
    repo = GitProject.create(
        tmp_path, {".gitattributes": attributes, "x.bin": b"\0\1", "t.u16": "hello\n".encode("utf-16")}
    )
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "x.bin").write_bytes(b"\2")
    (place / "t.u16").write_text("goodbye\n", encoding="utf-16")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert set(left.paths) == {"x.bin", "t.u16"}
    assert await work.contains(left.tree, "t.u16", "goodbye")


async def test_git_lfs_that_is_required_but_absent_is_named(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {".gitattributes": "*.bin filter=lfs\n", "x.bin": "pointer"})
    repo.git("config", "--global", "filter.lfs.smudge", "git-lfs smudge -- %f")
    repo.git("config", "--global", "filter.lfs.required", "true")
    work = await repo.workspace()

    with pytest.raises(EnvironmentProblem, match="git-lfs"):
        await work.prepare("T1", 1, repo.head())


async def test_submodules_are_left_alone(tmp_path: Path) -> None:
    lib = GitProject.create(tmp_path, folder="lib")
    repo = GitProject.create(tmp_path)
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib.top), "vendor/lib")
    repo.git("commit", "-qm", "Submodule")
    work = await repo.workspace()
    base = repo.head()

    for task in ("T1", "T2"):
        place = await work.prepare(task, 1, base)
        assert list((place / "vendor/lib").iterdir()) == []
        (place / "a.txt").write_text(f"by {task}\n")
        left = await work.collect(task, 1, base, note(), hooks=False)
        assert left.paths == ("a.txt",)
        assert repo.git("rev-parse", f"{left.commit}:vendor/lib") == lib.head()
        assert left.embedded == ()
        await work.dispose(task, untouched=True)


async def test_a_submodule_that_a_task_filled_and_worked_in_is_kept(tmp_path: Path) -> None:
    lib = GitProject.create(tmp_path, folder="lib")
    repo = GitProject.create(tmp_path)
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib.top), "lib")
    repo.git("commit", "-qm", "Submodule")
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", cwd=place)
    inner = repo.commit("Inside", {"a.txt": "inner work\n"}, at=place / "lib")

    left = await work.collect("T1", 1, base, note(), hooks=False)
    saved = await work.salvage("T1", 1)

    assert left.paths == ("lib",)
    assert left.embedded == ()
    assert saved is not None
    kept = repo.top / saved.kept
    assert repo.git("rev-parse", "HEAD", cwd=kept / "lib") == inner


async def test_a_new_submodule_that_is_registered_is_work(tmp_path: Path) -> None:
    lib = GitProject.create(tmp_path, folder="lib")
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib.top), "my lib", cwd=place)

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert set(left.paths) == {".gitmodules", "my lib"}
    assert left.embedded == ()


@pytest.mark.parametrize("how", ["untracked", "staged", "without a commit"])
async def test_a_repository_made_inside_is_named_and_kept_but_not_committed(tmp_path: Path, how: str) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / "sub/inner").mkdir(parents=True)
    repo.git("init", "-q", cwd=place / "sub/inner")
    if how != "without a commit":
        repo.commit("Inner", {"f": "inner\n"}, at=place / "sub/inner")
    if how == "staged":
        repo.git("add", "-A", cwd=place)
    (place / "new.txt").write_text("new\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)
    saved = await work.salvage("T1", 1)

    assert left.embedded == ("sub/inner",)
    assert left.paths == ("new.txt",)
    assert saved is not None
    assert (repo.top / saved.kept / "sub/inner/.git").is_dir()
    assert await work.place("T1") is None
    assert await work.salvage("T1", 1) == saved
    assert (await work.prepare("T1", 2, base)).is_dir()
    await work.close()
    assert (repo.top / saved.kept / "sub/inner/.git").is_dir()


async def test_a_shallow_clone(tmp_path: Path) -> None:
    origin = GitProject.create(tmp_path, folder="origin")
    origin.commit("Second", {"a.txt": "second\n"})
    repo = GitProject(tmp_path)
    repo.git("clone", "-q", "--depth=1", f"file://{origin.top}", str(repo.top), cwd=tmp_path)
    work = await repo.workspace()
    base = repo.head()
    commits = []
    for task, name in (("T1", "a.txt"), ("T2", "b.txt")):
        place = await work.prepare(task, 1, base)
        (place / name).write_text(f"by {task}\n")
        commits.append((await work.collect(task, 1, base, note(), hooks=False)).commit)

    merged = await work.propose(commits[0], commits[1], note("Merge\n"))

    assert repo.show(merged.commit, "a.txt") == "by T1"
    assert repo.show(merged.commit, "b.txt") == "by T2"


async def test_a_sparse_checkout_of_the_user_is_no_limit_for_tasks_and_is_left_as_it_is(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {"in/a": "1\n", "out/b": "2\n"})
    repo.git("sparse-checkout", "set", "in")
    repository = await repo.repository()
    before = repo.users()
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    assert (place / "out/b").read_text() == "2\n"
    (place / "out/b").write_text("changed\n")
    (place / "in/a").write_text("changed\n")
    left = await work.collect("T1", 1, base, note(), hooks=False)
    merged = await work.propose(base, left.commit, note("Merge\n"))
    assert repo.users() == before

    state = await work.move_main("refs/heads/main", base, merged.commit)

    assert state.reason == ""
    assert (repo.top / "in/a").read_text() == "changed\n"
    assert not (repo.top / "out").exists()
    assert repo.git("status", "--porcelain") == ""
    assert (await repository.snapshot()).commit == merged.commit


async def test_a_detached_head_is_a_base_but_no_target(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    repo.git("checkout", "-q", "--detach")
    work = await repo.workspace()
    snapshot = await (await repo.repository()).snapshot()

    state = await work.main_state(snapshot.target)

    assert (snapshot.commit, snapshot.target) == (repo.head(), "")
    assert state.reason == "detached"
    assert state.hint == f"git -C {repo.top} merge --ff-only refs/muster/r1/integration"


async def test_a_linked_worktree_of_the_user_is_a_place_to_work_in(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    side = GitProject(tmp_path, folder="linked")
    work = await side.workspace()
    snapshot = await (await side.repository()).snapshot()
    place = await work.prepare("T1", 1, snapshot.commit)
    (place / "a.txt").write_text("by a task\n")
    left = await work.collect("T1", 1, snapshot.commit, note(), hooks=False)

    state = await work.move_main(snapshot.target, snapshot.commit, left.commit)

    assert snapshot.target == "refs/heads/side"
    assert state.reason == ""
    assert (side.top / "a.txt").read_text() == "by a task\n"
    assert (repo.top / "a.txt").read_text() == "one\n"


async def test_a_folder_without_a_repository_is_an_input_error(tmp_path: Path) -> None:
    repo = GitProject(tmp_path)
    repo.top.mkdir()

    with pytest.raises(InputError, match="not in a git repository"):
        await repo.repository()


async def test_a_repository_without_a_commit_is_an_input_error(tmp_path: Path) -> None:
    repo = GitProject(tmp_path)
    repo.top.mkdir()
    repo.git("init", "-q")

    with pytest.raises(InputError, match="no commit yet") as caught:
        await (await repo.repository()).snapshot()
    assert "git commit" in caught.value.hint


@pytest.mark.parametrize("inside", ["", ".git"])
async def test_a_repository_without_a_working_tree_is_an_input_error(tmp_path: Path, inside: str) -> None:
    repo = GitProject.create(tmp_path)
    if not inside:
        repo.git("clone", "-q", "--bare", str(repo.top), str(tmp_path / "bare"))
        repo.top = tmp_path / "bare"

    with pytest.raises(InputError, match="working tree"):
        await repo.repository(inside)


async def test_git_that_is_missing_or_too_old_is_a_problem_of_the_machine(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    repo.env["PATH"] = str(tools)
    with pytest.raises(EnvironmentProblem, match="not installed"):
        await repo.repository()

    (tools / "git").write_text("#!/bin/sh\necho git version 2.30.1\n")
    (tools / "git").chmod(0o755)
    with pytest.raises(EnvironmentProblem, match=r"2\.30\.1 is too old"):
        await repo.repository()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_a_repository_of_another_user_is_named_with_what_to_do(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    os.chown(repo.top, 12345, 12345)
    os.chown(repo.top / ".git", 12345, 12345)

    with pytest.raises(EnvironmentProblem, match="another user") as caught:
        await repo.repository()
    assert "safe.directory" in caught.value.hint


async def test_a_pointer_to_the_repository_that_a_task_deleted_is_put_back(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / ".git").unlink()
    (place / "new.txt").write_text("new\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert left.paths == ("new.txt",)


async def test_a_folder_made_a_repository_of_its_own_is_a_conflict_and_is_kept(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    (place / ".git").unlink()
    repo.git("init", "-q", cwd=place)
    (place / "new.txt").write_text("precious\n")

    with pytest.raises(ConflictError, match="repository of its own"):
        await work.collect("T1", 1, base, note(), hooks=False)
    saved = await work.salvage("T1", 1)

    assert saved is not None
    assert (repo.top / saved.kept / "new.txt").read_text() == "precious\n"
    assert (await work.prepare("T1", 2, base) / "a.txt").exists()


async def test_a_folder_that_git_forgot_is_kept(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    base = repo.head()
    place = await (await repo.workspace()).prepare("T1", 1, base)
    (place / "new.txt").write_text("precious\n")
    shutil.rmtree(repo.top / ".git/worktrees")

    work = await repo.workspace()
    saved = await work.salvage("T1", 1)

    assert saved is not None
    assert (repo.top / saved.kept / "new.txt").read_text() == "precious\n"
    assert (await work.prepare("T1", 2, base) / "a.txt").exists()


@pytest.mark.parametrize("damage", [b"garbage", b""])
async def test_a_broken_index_and_a_lock_that_was_left_do_not_stop_the_work(tmp_path: Path, damage: bytes) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    place = await work.prepare("T1", 1, base)
    admin = repo.top / ".git/worktrees/T1"
    (admin / "index").write_bytes(damage)
    (admin / "index.lock").write_text("")
    (admin / "HEAD.lock").write_text("")
    (place / "a.txt").write_text("changed\n")

    left = await work.collect("T1", 1, base, note(), hooks=False)

    assert left.paths == ("a.txt",)


async def test_folders_of_a_dead_process_are_cleared_away(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path)
    base = repo.head()
    dead = await repo.workspace()
    for task in ("T1", "T2"):
        await dead.prepare(task, 1, base)
    await dead.dispose("T2")
    half = repo.top / ".muster/worktrees/r1/T3"
    repo.git("worktree", "add", "-q", "--detach", str(half))

    work = await repo.workspace()
    await work.prepare("T3", 1, base)
    await work.close()

    assert not (repo.top / ".muster/worktrees/r1").exists()
    assert repo.git("worktree", "list").count("\n") == 0


@pytest.mark.parametrize("task", ["..", ".", "a..b", "x.lock", "integration", "start", "-n", ".git", "end."])
async def test_no_task_id_is_special(tmp_path: Path, task: str) -> None:
    repo = GitProject.create(tmp_path)
    work = await repo.workspace()
    base = repo.head()
    await work.advance(base, base)
    place = await work.prepare(task, 1, base)
    assert place.parent == repo.top / ".muster/worktrees/r1"
    (place / "a.txt").write_text("changed\n")

    left = await work.collect(task, 1, base, note(), hooks=False)
    (place / "b.txt").write_text("changed\n")
    saved = await work.salvage(task, 1)

    assert left.paths == ("a.txt",)
    assert saved is not None
    assert repo.git("rev-parse", saved.ref) == saved.commit
    assert left.commit in repo.git("for-each-ref", "refs/muster/r1/")


async def test_what_the_user_shares_is_in_every_folder_and_in_no_commit(tmp_path: Path) -> None:
    repo = GitProject.create(tmp_path, {"a.txt": "one\n", ".gitignore": "node_modules/\n"})
    repo.write({"node_modules/m/index.js": "m\n", "conf/.env": "SECRET=1\n"})
    work = await repo.workspace(link=("node_modules",), copy=("conf/.env",))
    base = repo.head()

    for task in ("T1", "T2"):
        place = await work.prepare(task, 1, base)
        assert (place / "node_modules").is_symlink()
        assert (place / "conf/.env").read_text() == "SECRET=1\n"
        (place / "conf/.env").write_text("SECRET=2\n")
        (place / "new.txt").write_text("new\n")
        repo.git("add", "-A", cwd=place)
        left = await work.collect(task, 1, base, note(), hooks=False)
        assert left.paths == ("new.txt",)
        await work.dispose(task)

    assert (repo.top / "node_modules/m/index.js").read_text() == "m\n"
    assert (repo.top / "conf/.env").read_text() == "SECRET=1\n"


@pytest.mark.parametrize("path", ["missing", "a.txt", "../x", "/etc/passwd", ".git/config", ""])
async def test_what_cannot_be_shared_is_refused(tmp_path: Path, path: str) -> None:
    repo = GitProject.create(tmp_path)

    with pytest.raises(MusterError, match=r"worktree\.link"):
        await (await repo.workspace(link=(path,))).prepare("T1", 1, repo.head())
