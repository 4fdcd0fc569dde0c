"""The repository as one run sees it: the git adapter of the Workspace seam."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from anyio import CancelScope, Lock, move_on_after, to_thread

from muster.clock import SystemClock
from muster.model.errors import BusyError, ConflictError, InputError
from muster.ports import Clock, Collected, CommitNote, MainState, Proposal, Salvage
from muster.process import list_marked
from muster.process.exits import await_gone
from muster.process.git import GitError
from muster.workspaces.collect import Collector
from muster.workspaces.commits import describe
from muster.workspaces.location import exclude, refuse_links
from muster.workspaces.mainline import Mainline
from muster.workspaces.merging import merge
from muster.workspaces.names import attempt_ref, component, inside, integration_ref, own_refs, raw, shown, start_ref
from muster.workspaces.pool import Pool
from muster.workspaces.repository import Repository
from muster.workspaces.salvage import KEPT, Rescue, kept_folder, set_aside
from muster.workspaces.status import Status
from muster.workspaces.survey import survey
from muster.workspaces.worktree import Tenant, Worktree, linked

T = TypeVar("T")

# A git process that was left alone ends by itself; the longest is a checkout of a big repository.
_GIT_LASTS_S = 60.0


class GitWorkspace:
    """Folders, commits, merges and refs of one run in a git repository.

    ``link`` and ``copy`` are paths of the user's project that every folder
    gets, although git does not keep them: dependencies, secrets.
    """

    def __init__(
        self,
        repository: Repository,
        run: str,
        *,
        link: tuple[str, ...] = (),
        copy: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        # No attempt has this name, so nothing that sweeps attempts ends a git that is at work.
        self._marker = f"{run}:+git"
        git, location, committer = repository.git.marked(self._marker), repository.location, repository.committer()
        self._git = git
        self._at = location
        self._run = run
        self._link = tuple(inside(path, "worktree.link") for path in link)
        self._copy = tuple(inside(path, "worktree.copy") for path in copy)
        self._committer = committer
        self._folder = location.worktrees / component(run)
        self._pool = Pool(git, location.common, self._folder)
        self._collector = Collector(location.prefix, committer, (*self._link, *self._copy))
        self._rescue = Rescue(git, location.common, run, clock or SystemClock(), committer)
        self._main = Mainline(git, integration_ref(run))
        self._trees: dict[str, Worktree] = {}
        self._tree_ids: dict[str, str] = {}
        self._merged: dict[tuple[str, str], str] = {}
        self._scratches = 0
        self._ready = False
        self._looked = False
        self._readying = Lock()

    async def recover(self) -> None:
        """Wait for what git still does for an owner that is gone, and drop the locks it left on the run's refs.

        Raises:
            BusyError: a git process of the dead owner does not end.
        """
        with move_on_after(_GIT_LASTS_S) as scope:
            for one in list_marked(self._marker):
                await await_gone(one.pid, one.started)
        if scope.cancelled_caught:
            raise BusyError("Git is still at work for whoever had this run before.", hint="Try again later.")
        for refs in own_refs(self._run):
            for lock in (self._at.common / refs).rglob("*.lock"):
                lock.unlink(missing_ok=True)

    async def prepare(self, task: str, attempt: int, base: str, *, keep: bool = False) -> Path:
        """Give the task a clean folder at ``base``, or the one that it has; see the seam."""
        await self._make_ready(base)
        if keep and (place := self._kept(task, attempt, base)) is not None:
            return place
        await self.dispose(task)
        self._clear(self._folder / component(task), attempt)
        tree = await self._pool.take(component(task), base)
        place = await self._furnished(tree)
        tree.let(Tenant(task=task, attempt=attempt, base=base))
        tree.safe = frozenset({base})
        self._trees[task] = tree
        return place

    def _kept(self, task: str, attempt: int, base: str) -> Path | None:
        tree = self._find(task)
        tenant = tree.tenant() if tree else None
        if tree is None or tenant is None or tenant.base != base:
            return None
        tree.mend()
        tree.let(Tenant(task=task, attempt=attempt, base=base))
        return tree.folder / self._at.prefix

    async def place(self, task: str) -> Path | None:
        """The project's folder of a task that was prepared; see the seam."""
        tree = self._trees.get(task) or self._pool.find(component(task))
        return tree.folder / self._at.prefix if tree and tree.tenant() and tree.folder.is_dir() else None

    async def collect(self, task: str, attempt: int, base: str, note: CommitNote, *, hooks: bool) -> Collected:
        """Commit what the attempt left; see the seam.

        No ref is made for ``base`` itself. A name that is not UTF-8 is given as
        git quotes it.

        Raises:
            ConflictError: the task's folder is gone or is no worktree any more.
        """
        ref, tree = attempt_ref(self._run, task, attempt), self._find(task)
        if tree is None:
            return await self._collected_before(task, ref, base)
        base_tree = await self.tree_of(base)
        keep_index = partial(self._rescue.save_index, task=task, attempt=attempt)
        collected = await self._collector.collect(tree, ref, base, base_tree, note, hooks=hooks, keep_index=keep_index)
        self._tree_ids[collected.commit] = collected.tree
        self._merged[base, collected.commit] = collected.tree
        tree.safe |= {collected.commit}
        return collected

    async def _collected_before(self, task: str, ref: str, base: str) -> Collected:
        done = await self._git("rev-parse", "--verify", "--quiet", ref, check=False)
        commit = done.stdout.decode().strip()
        if not commit:
            raise ConflictError(f"Task {task} has no folder: something removed {self._folder / component(task)}.")
        found = await describe(self._git, base, commit)
        return self._collector.report(commit, found)

    def environment(self) -> dict[str, str]:
        """Where git stops looking for a repository: a folder that lost its own is not in the user's."""
        return {"GIT_CEILING_DIRECTORIES": str(self._folder)}

    async def files(self, tree: str) -> tuple[str, ...]:
        """All paths of a tree below the project's folder; see the seam."""
        prefix = self._at.prefix
        only = (prefix,) if prefix else ()
        done = await self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree, *only)
        skip = len(os.fsencode(prefix))
        return tuple(shown(path[skip:]) for path in done.stdout.split(b"\0") if path)

    async def contains(self, tree: str, path: str, text: str) -> bool:
        """Whether a file of the tree holds a text; see the seam."""
        name = os.fsdecode(raw(path))
        done = await self._git("cat-file", "blob", f"{tree}:{self._at.prefix}{name}", check=False)
        return done.code == 0 and text.encode() in done.stdout

    async def propose(self, onto: str, work: str, note: CommitNote) -> Proposal:
        """Merge without a checkout; see the seam."""
        if onto == work:
            return Proposal(commit=onto, tree=await self.tree_of(onto))
        # Work that was made on top of `onto` merges to its own tree.
        known = self._merged.get((onto, work), "")
        proposal = await merge(self._git, onto, work, known, note, self._committer)
        if proposal.commit:
            self._tree_ids[proposal.commit] = proposal.tree
        return proposal

    async def in_tree(self, commit: str, use: Callable[[Path], Awaitable[T]]) -> T:
        """Call ``use`` with a scratch folder at ``commit``; see the seam."""
        await self._make_ready(commit)
        self._scratches += 1
        tree = await self._pool.take(f"+scratch-{self._scratches}", commit)
        try:
            return await use(await self._furnished(tree))
        finally:
            with CancelScope(shield=True):
                await self._pool.wash(tree, await look(tree))

    async def tree_of(self, commit: str) -> str:
        """The tree id of a commit."""
        if commit not in self._tree_ids:
            self._tree_ids[commit] = await self._git.text("rev-parse", "--verify", f"{commit}^{{tree}}")
        return self._tree_ids[commit]

    async def advance(self, before: str, after: str) -> None:
        """Move the integration ref; see the seam."""
        ref = integration_ref(self._run)
        done = await self._git("update-ref", "--no-deref", ref, after, before, check=False)
        if done.code == 0:
            return
        now = (await self._git("rev-parse", "--verify", "--quiet", ref, check=False)).stdout.decode().strip()
        if now == after:
            return
        if now:
            raise ConflictError(f"{ref} is at {now}, neither at {before} nor at {after}: something else moved it.")
        done = await self._git("update-ref", "--stdin", stdin=f"create {ref} {after}\n".encode(), check=False)
        if done.code != 0:
            raise GitError(("update-ref", ref), done)

    async def salvage(self, task: str, attempt: int) -> Salvage | None:
        """Save what the task's folder holds and no ref reaches; see the seam.

        A folder with repositories in it is renamed and stays; ``kept`` is its
        path relative to the project.
        """
        tree, folder = self._find(task), self._folder / component(task)
        if tree is None:
            aside = self._clear(folder, attempt) or kept_folder(folder, attempt)
            saved = Salvage(kept=str(aside)) if aside else None
        else:
            saved = await self._rescue.save(tree, await look(tree), task, attempt)
        if saved is None or not saved.kept:
            return saved
        self._trees.pop(task, None)
        kept = Path(saved.kept).relative_to(self._at.project).as_posix()
        return Salvage(ref=saved.ref, commit=saved.commit, kept=kept)

    async def dispose(self, task: str, *, untouched: bool = False) -> None:
        """Give the task's folder back; see the seam. What nobody salvaged is salvaged here."""
        tree = self._find(task)
        if tree is None:
            return
        if untouched and tree.litter is not None and tree.objects_noted() <= tree.safe:
            self._trees.pop(task, None)
            await self._pool.give(tree)
            return
        found, tenant = await look(tree), tree.tenant()
        saved = await self._rescue.save(tree, found, task, tenant.attempt) if tenant else None
        self._trees.pop(task, None)
        if not (saved and saved.kept):
            await self._pool.wash(tree, found)

    async def main_state(self, target: str) -> MainState:
        """Look at the user's branch; see the seam."""
        return await self._main.state(target)

    async def move_main(self, target: str, before: str, after: str) -> MainState:
        """Move the user's branch forward; see the seam."""
        return await self._main.forward(target, before, after)

    async def close(self) -> None:
        """Remove the folders of the run; whatever is not reachable is salvaged first."""
        await self._pool.drain()
        for tree in (*self._trees.values(), *self._leftovers()):
            tenant = tree.tenant()
            found = await look(tree)
            saved = await self._rescue.save(tree, found, tenant.task, tenant.attempt) if tenant else None
            if not (saved and saved.kept):
                await self._pool.remove(tree)
        self._trees.clear()
        for folder in self._folder.glob("*"):
            if not folder.name.startswith(KEPT):
                self._clear(folder, 0)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _clear(self, folder: Path, attempt: int) -> Path | None:
        """Rename a folder that is neither a worktree in use nor one that waits."""
        return None if self._pool.holds(folder) else set_aside(folder, attempt)

    def _find(self, task: str) -> Worktree | None:
        """The worktree of a task, also one that an earlier process made."""
        if not self._looked:
            self._looked = True
            for tree in self._leftovers():
                tenant = tree.tenant()
                if tenant is not None:
                    self._trees.setdefault(tenant.task, tree)
        return self._trees.get(task)

    def _leftovers(self) -> list[Worktree]:
        """Worktrees of this run on disk that this process does not use, without those that were kept."""
        used = {tree.admin for tree in self._trees.values()} | self._pool.admins()
        return [
            Worktree(folder, admin, self._git)
            for admin, folder in linked(self._at.common)
            if folder.parent == self._folder and admin not in used and not folder.name.startswith(KEPT)
        ]

    async def _make_ready(self, base: str) -> None:
        """Once, before the first folder: our places are safe and overlooked, the start is kept, old spares are gone."""
        async with self._readying:
            if not self._ready:
                await self._prepare_run(base)
                self._ready = True

    async def _prepare_run(self, base: str) -> None:
        refuse_links(self._at, component(self._run))
        exclude(self._at, *self._link, *self._copy)
        self._find("")
        for tree in self._leftovers():
            if tree.tenant() is None:
                await self._pool.remove(tree)
        start = f"create {start_ref(self._run)} {base}\n".encode()
        await self._git("update-ref", "--stdin", stdin=start, check=False)  # fails when an earlier process kept it

    async def _furnished(self, tree: Worktree) -> Path:
        if self._link or self._copy:
            return await to_thread.run_sync(self._furnish, tree)
        return self._furnish(tree)

    def _furnish(self, tree: Worktree) -> Path:
        """Bring in what git does not keep, and return the project's folder."""
        place = tree.folder / self._at.prefix
        if self._at.prefix:
            place.mkdir(parents=True, exist_ok=True)
        for path in (*self._link, *self._copy):
            source, goal = self._at.project / path, place / path
            setting = "worktree.link" if path in self._link else "worktree.copy"
            if not os.path.lexists(source):
                raise InputError(f"{setting}: {source} does not exist.")
            if os.path.lexists(goal):
                raise InputError(f"{setting}: {path} is in the repository already, so every folder has it.")
            goal.parent.mkdir(parents=True, exist_ok=True)
            if path in self._link:
                goal.symlink_to(source)
            elif source.is_dir() and not source.is_symlink():
                shutil.copytree(source, goal, symlinks=True)
            else:
                shutil.copy2(source, goal, follow_symlinks=False)
        return place


async def look(tree: Worktree) -> Status | None:
    """What is in a worktree; None when it is none any more."""
    try:
        return await survey(tree)
    except ConflictError:
        return None
