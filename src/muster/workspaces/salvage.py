"""Saving what would be lost when a worktree goes: files, index, and commits that nothing points to."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from muster.ports import Clock, CommitNote, Salvage
from muster.process.git import Git, GitError
from muster.workspaces.commits import NEUTRAL, Person, make_commit
from muster.workspaces.names import salvage_ref
from muster.workspaces.status import Status
from muster.workspaces.worktree import Worktree

KEPT = "+kept-"
_ALL_REFS = ("--not", "--glob=refs/*")


class Rescue:
    """Makes salvage commits: the files as tree; HEAD, the index and whatever else is unreachable as parents."""

    def __init__(self, git: Git, common: Path, run: str, clock: Clock, committer: Person) -> None:
        self._git = git.bare(common)
        self._run = run
        self._clock = clock
        self._committer = committer

    async def save(self, tree: Worktree, found: Status | None, task: str, attempt: int) -> Salvage | None:
        """Save what no ref reaches; a worktree with other repositories in it is renamed and kept.

        ``found`` is None for a folder that is gone or no worktree any more.
        """
        if found is None:
            return await self._save_ruin(tree, task, attempt)
        saved = await self._save_work(tree, found, task, attempt)
        strangers = found.nested or any(change.new_gitlink for change in found.changes)
        if strangers or await self._submodule_work(tree, found):
            return Salvage(ref=saved.ref, commit=saved.commit, kept=await self._keep(tree, attempt))
        return saved if saved.ref else None

    async def save_index(self, tree: Worktree, found: Status, task: str, attempt: int) -> None:
        """Save what was staged and is different on disk by now."""
        staged, files = await self._trees(tree, found)
        if staged != files:
            parents = (found.head,) if found.head else ()
            await self._keep_ref(await self._commit(staged, parents, task, attempt, "the index"), task, attempt)

    async def _save_work(self, tree: Worktree, found: Status, task: str, attempt: int) -> Salvage:
        parents = [found.head] if found.head else []
        files = staged = head_tree = ""
        if found.changes or found.untracked:
            head_tree = await self._git.text("rev-parse", f"{found.head}^{{tree}}") if found.head else ""
            staged, files = await self._trees(tree, found)
        lost = await self._unreachable({*tree.objects_noted(), *parents} - tree.safe)
        if files == staged == head_tree and not lost:
            return Salvage()
        if files == staged == head_tree and len(lost) == 1:
            return await self._keep_ref(lost[0], task, attempt)
        if not files:
            files = staged = head_tree = await self._git.text("rev-parse", f"{lost[0]}^{{tree}}")
            parents = []
        if staged not in (files, head_tree):
            parents.append(await self._commit(staged, tuple(parents), task, attempt, "the index"))
        parents += [commit for commit in lost if commit not in parents]
        commit = await self._commit(files, tuple(parents), task, attempt, "the files")
        return await self._keep_ref(commit, task, attempt)

    async def _trees(self, tree: Worktree, found: Status) -> tuple[str, str]:
        """The trees of the index and of the files, made with a copy so that the worktree stays as it is."""
        with tempfile.TemporaryDirectory(prefix="muster-", dir=tree.admin) as scratch:
            index = Path(scratch) / "index"
            with contextlib.suppress(FileNotFoundError):
                # With its times: git compares them with those of the files.
                shutil.copy2(tree.admin / "index", index)
            strangers = [change.path for change in found.changes if change.new_gitlink]
            if strangers:
                await tree.git("update-index", "--force-remove", "-z", "--stdin", stdin=_listed(strangers), index=index)
            written = await tree.git("write-tree", index=index, check=False)  # fails while a merge is unresolved
            paths = [c.path for c in found.changes if c.unstaged and c.path not in strangers]
            await tree.git(
                *("update-index", "--add", "--remove", "--replace", "-z", "--stdin"),
                stdin=_listed([*paths, *found.untracked]),
                index=index,
            )
            files = (await tree.git("write-tree", index=index)).stdout.decode().strip()
        return (written.stdout.decode().strip() if written.code == 0 else files), files

    async def _unreachable(self, noted: set[str]) -> tuple[str, ...]:
        """Those commits that no ref reaches and that are no parent of another such commit."""
        if not noted:
            return ()
        done = await self._git(
            *("rev-list", "--parents", "--ignore-missing", "--stdin", *_ALL_REFS),
            stdin="".join(f"{oid}\n" for oid in sorted(noted)).encode(),
            check=False,
        )
        # An object that is there in half makes git refuse all of them.
        listed = done.stdout if done.code == 0 else await self._one_by_one(sorted(noted))
        lines = [line.split() for line in listed.decode().splitlines()]
        inner = {parent for _, *parents in lines for parent in parents}
        return tuple(commit for commit, *_ in lines if commit not in inner)

    async def _one_by_one(self, noted: list[str]) -> bytes:
        found = b""
        for oid in noted:
            done = await self._git("rev-list", "--parents", "--ignore-missing", oid, *_ALL_REFS, check=False)
            found += done.stdout if done.code == 0 else b""
        return found

    async def _commit(self, tree: str, parents: tuple[str, ...], task: str, attempt: int, what: str) -> str:
        message = (
            f"Salvage {what} of {task}, attempt {attempt}\n\n"
            f"Muster-Run: {self._run}\nMuster-Task: {task}\nMuster-Attempt: {attempt}\n"
        )
        author = f"{NEUTRAL[0]} <{NEUTRAL[1]}>"
        note = CommitNote(message=message, author=author, at=self._clock.now())
        return await make_commit(self._git, tree, parents, note, self._committer)

    async def _keep_ref(self, commit: str, task: str, attempt: int) -> Salvage:
        """Point a ref at the commit; the same content gets the same ref, other content a new one."""
        wanted = await self._shape(commit)
        name = salvage_ref(self._run, task, attempt)
        ref, number = name, 1
        while True:
            done = await self._git("update-ref", "--stdin", stdin=f"create {ref} {commit}\n".encode(), check=False)
            if done.code == 0:
                return Salvage(ref=ref, commit=commit)
            there = (await self._git("rev-parse", "--verify", "--quiet", ref, check=False)).stdout.decode().strip()
            if not there:
                raise GitError(("update-ref", ref), done)
            if await self._shape(there) == wanted:
                return Salvage(ref=ref, commit=there)
            number += 1
            ref = f"{name}-{number}"

    async def _shape(self, commit: str) -> str:
        """Trees of a commit and its parents: what is saved, apart from when."""
        return await self._git.text("log", "--format=%T", "--no-walk=unsorted", commit, f"{commit}^@")

    async def _submodule_work(self, tree: Worktree, found: Status) -> bool:
        """Whether a submodule that the task filled holds work that is nowhere else."""
        configs = tree.submodule_configs()
        if configs and any(
            change.submodule[2:4].strip(b".") for change in found.changes if change.submodule.startswith(b"S")
        ):
            return True
        for config in configs:
            git = self._git.bare(config.parent)
            done = await git("rev-list", "--max-count=1", "--all", "HEAD", "--not", "--remotes", check=False)
            if done.code != 0 or done.stdout:
                return True
        return False

    async def _save_ruin(self, tree: Worktree, task: str, attempt: int) -> Salvage | None:
        """A folder that is gone or no worktree any more: save what git still notes, keep what is on disk."""
        index_tree = await _asked(tree, "write-tree") if (tree.admin / "index").is_file() else ""
        head = await _asked(tree, "rev-parse", "--verify", "--quiet", "HEAD")
        lost = await self._unreachable(set(tree.objects_noted()) | ({head} if head else set()))
        saved = Salvage()
        if head and index_tree and index_tree != await self._git.text("rev-parse", f"{head}^{{tree}}"):
            parents = (head, *(commit for commit in lost if commit != head))
            saved = await self._keep_ref(
                await self._commit(index_tree, parents, task, attempt, "the index"), task, attempt
            )
        elif lost:
            commit = lost[0]
            if len(lost) > 1:
                tip_tree = await self._git.text("rev-parse", f"{commit}^{{tree}}")
                commit = await self._commit(tip_tree, lost, task, attempt, "commits")
            saved = await self._keep_ref(commit, task, attempt)
        if tree.exists():
            return Salvage(ref=saved.ref, commit=saved.commit, kept=await self._keep(tree, attempt))
        return saved if saved.ref else None

    async def _keep(self, tree: Worktree, attempt: int) -> str:
        """Give a folder that has to stay a name of its own, beside the others."""
        before, aside = tree.folder, _free_name(tree.folder, attempt)
        tree.let(None)
        tree.move(aside)
        for config in tree.submodule_configs():
            # Submodules note where their files are, which `git worktree move` cannot change either.
            done = await self._git("config", "--file", str(config), "core.worktree", check=False)
            place = (config.parent / os.fsdecode(done.stdout.removesuffix(b"\n"))).resolve()
            if done.code == 0 and place.is_relative_to(before):
                there = str(aside / place.relative_to(before))
                await self._git("config", "--file", str(config), "core.worktree", there)
        return str(aside)


def set_aside(folder: Path, attempt: int) -> Path | None:
    """Rename a folder that git knows nothing of, unless nothing is in it."""
    if not os.path.lexists(folder):
        return None
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
        return None
    aside = _free_name(folder, attempt)
    folder.rename(aside)
    return aside


def _free_name(folder: Path, attempt: int) -> Path:
    number = 1
    while os.path.lexists(aside := folder.with_name(f"{KEPT}{folder.name}-{attempt}-{number}")):
        number += 1
    return aside


def kept_folder(folder: Path, attempt: int) -> Path | None:
    """Where an earlier salvage put the folder of an attempt, if it had to stay."""
    found = sorted(folder.parent.glob(f"{KEPT}{folder.name}-{attempt}-*"))
    return found[-1] if found else None


async def _asked(tree: Worktree, *command: str) -> str:
    """What git says about a worktree whose folder may be gone; empty when it says no."""
    return (await tree.git(*command, cwd=tree.admin, check=False)).stdout.decode().strip()


def _listed(paths: list[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)
