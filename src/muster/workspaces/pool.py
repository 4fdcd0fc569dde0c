"""The worktrees of a run: made when needed, and used again when nothing is left in them."""

from __future__ import annotations

from pathlib import Path

from anyio import to_thread

from muster.process.git import Git
from muster.workspaces.status import Status
from muster.workspaces.worktree import Worktree, admin_of, lay_out

_KEEP_IDLE = 16


class Pool:
    """Gives out folders at a commit, and takes them back.

    A worktree comes back into use only when it was proved equal to a new one:
    same HEAD, index and configuration, no file, no folder, nothing begun. Then
    it is renamed and switched, which touches only files that differ.
    """

    def __init__(self, git: Git, common: Path, folder: Path) -> None:
        self._git = git
        self._common = common
        self._folder = folder
        self._idle: list[Worktree] = []

    async def take(self, name: str, commit: str) -> Worktree:
        """A worktree called ``name``, clean and detached at ``commit``; nothing may be in its place."""
        folder = self._folder / name
        while self._idle:
            tree = self._choose(folder, commit)
            self._idle.remove(tree)
            if tree.head != commit and not await self._switch(tree, commit):
                await self.remove(tree)
                continue
            if tree.folder != folder:
                tree.move(folder)
            return tree
        return await self._add(folder, commit)

    def _choose(self, folder: Path, commit: str) -> Worktree:
        """The one that lies where the new one has to lie, else one that is at the commit already."""
        return min(self._idle, key=lambda tree: (tree.folder != folder, tree.head != commit))

    async def give(self, tree: Worktree) -> None:
        """Take a worktree back whose ``litter`` is known and whose work is safe; it waits for its next use."""
        if len(self._idle) < _KEEP_IDLE and await to_thread.run_sync(tree.tidy):
            # It keeps its name until the next one needs it: a rename less.
            self._idle.append(tree)
        else:
            await self.remove(tree)

    async def wash(self, tree: Worktree, found: Status | None) -> None:
        """Take a worktree back after throwing away all that was found in it."""
        if found is None or found.changes or found.head != tree.head or found.branch:
            await self.remove(tree)
            return
        tree.litter = (*found.untracked, *found.nested, *found.ignored)
        await self.give(tree)

    def holds(self, folder: Path) -> bool:
        """Whether a worktree waits in this folder."""
        return any(tree.folder == folder for tree in self._idle)

    def admins(self) -> set[Path]:
        """The administrative folders of the worktrees that wait."""
        return {tree.admin for tree in self._idle}

    def find(self, name: str) -> Worktree | None:
        """The worktree called ``name`` on disk, made by this or an earlier process."""
        folder = self._folder / name
        admin = admin_of(folder, self._common)
        return Worktree(folder, admin, self._git) if admin else None

    async def remove(self, tree: Worktree) -> None:
        """Delete a worktree and git's notes on it."""
        await to_thread.run_sync(tree.remove)

    async def drain(self) -> None:
        """Delete all worktrees that nobody uses."""
        while self._idle:
            await self.remove(self._idle.pop())

    async def _add(self, folder: Path, commit: str) -> Worktree:
        """Make a worktree as `git worktree add` does, but for its lock: that one lets only one be made at a time."""
        admin = await to_thread.run_sync(lay_out, folder, self._common, commit)
        tree = Worktree(folder, admin, self._git)
        try:
            await tree.git("read-tree", "--reset", "-u", commit)
        except BaseException:
            tree.remove()
            raise
        await to_thread.run_sync(tree.age)
        await to_thread.run_sync(tree.settle, commit)
        return tree

    async def _switch(self, tree: Worktree, commit: str) -> bool:
        before = await to_thread.run_sync(tree.attributes)
        done = await tree.git("checkout", "--force", "--detach", "--quiet", commit, check=False)
        if done.code != 0 or await to_thread.run_sync(tree.attributes) != before:
            return False
        tree.forget()
        await to_thread.run_sync(tree.settle, commit)
        return True
