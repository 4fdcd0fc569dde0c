"""A Workspace without git: commits are values, folders are real, merges go file by file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from muster.model.errors import ConflictError
from muster.model.record import Record
from muster.ports import Collected, CommitNote, MainState, Proposal, Salvage

T = TypeVar("T")
Files = Mapping[str, bytes]


class Commit(Record, frozen=True):
    """A commit: its files, parents and note."""

    files: dict[str, bytes]
    parents: tuple[str, ...] = ()
    note: str = ""


class Objects:
    """What outlives a process: commits, refs, and which attempt has which folder."""

    def __init__(self, folder: Path, files: Files, target: str = "refs/heads/main") -> None:
        self.folder = folder
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}
        self.tenants: dict[tuple[str, str], tuple[int, str]] = {}
        self.dirty = ""
        self.refs[target] = self.commit(files)

    def commit(self, files: Files, parents: tuple[str, ...] = (), note: str = "") -> str:
        """Keep a commit; equal ones have equal ids."""
        value = Commit(files=dict(sorted(files.items())), parents=parents, note=note)
        oid = _hash(repr(value))
        self.commits[oid] = value
        return oid

    def tree(self, commit: str) -> str:
        """The id of a commit's files."""
        return _hash(repr(self.commits[commit].files))

    def ancestors(self, commit: str) -> list[str]:
        """A commit and all before it, the nearest first."""
        found = [commit]
        for each in found:
            found.extend(parent for parent in self.commits[each].parents if parent not in found)
        return found

    def kept(self) -> set[str]:
        """Every commit that a ref reaches."""
        return {commit for tip in self.refs.values() for commit in self.ancestors(tip)}


class MemoryWorkspace:
    """One run's view of `Objects`; keeps the contract of Workspace, with plain files only."""

    def __init__(self, objects: Objects, run: str) -> None:
        self._objects = objects
        self._run = run
        self._scratches = 0

    async def recover(self) -> None:
        """Nothing here is ever half done."""

    async def prepare(self, task: str, attempt: int, base: str, *, keep: bool = False) -> Path:
        """Give the task a clean folder at commit ``base``, or the one that it has."""
        place = self._place(task)
        if keep and place.is_dir() and self._objects.tenants.get((self._run, task), (0, ""))[1] == base:
            self._objects.tenants[self._run, task] = (attempt, base)
            return place
        await self.dispose(task)
        _write(place, self._objects.commits[base].files)
        self._objects.tenants[self._run, task] = (attempt, base)
        return place

    async def place(self, task: str) -> Path | None:
        """The folder of a task that was prepared."""
        place = self._place(task)
        return place if (self._run, task) in self._objects.tenants and place.is_dir() else None

    async def collect(self, task: str, attempt: int, base: str, note: CommitNote, *, hooks: bool) -> Collected:
        """Commit what differs from ``base``."""
        place = await self.place(task)
        if place is None:
            raise ConflictError(f"Task {task} has no folder: something removed {self._place(task)}.")
        before, files = self._objects.commits[base].files, _read(place)
        if files == before:
            return Collected(commit=base, tree=self._objects.tree(base), message="")
        commit = self._objects.commit(files, (base,), f"{note.message}\0{note.author}\0{note.at}")
        self._objects.refs[f"refs/muster/{self._run}/{task}/{attempt}"] = commit
        names = sorted(before.keys() | files.keys())
        paths = tuple(name for name in names if before.get(name) != files.get(name))
        return Collected(commit=commit, tree=self._objects.tree(commit), message=note.message, paths=paths)

    def environment(self) -> dict[str, str]:
        """Nothing: there is no repository around the folders."""
        return {}

    async def files(self, tree: str) -> tuple[str, ...]:
        """All paths of a tree."""
        return tuple(self._files(tree))

    async def contains(self, tree: str, path: str, text: str) -> bool:
        """Whether a file of the tree holds a text."""
        found = self._files(tree).get(path)
        return found is not None and text.encode() in found

    async def propose(self, onto: str, work: str, note: CommitNote) -> Proposal:
        """Merge file by file: a file that both sides changed differently is a conflict."""
        objects = self._objects
        if onto == work:
            return Proposal(commit=onto, tree=objects.tree(onto))
        earlier = objects.ancestors(work)
        shared = next(commit for commit in objects.ancestors(onto) if commit in earlier)
        base, ours, theirs = (objects.commits[commit].files for commit in (shared, onto, work))
        merged, conflicts = dict(ours), []
        for name in sorted(base.keys() | ours.keys() | theirs.keys()):
            old, mine, other = base.get(name), ours.get(name), theirs.get(name)
            if other in (old, mine):
                continue
            if mine != old:
                conflicts.append(name)
            elif other is None:
                del merged[name]
            else:
                merged[name] = other
        if conflicts:
            return Proposal(conflicts=tuple(conflicts))
        commit = objects.commit(merged, (onto, work), f"{note.message}\0{note.author}\0{note.at}")
        return Proposal(commit=commit, tree=objects.tree(commit))

    async def in_tree(self, commit: str, use: Callable[[Path], Awaitable[T]]) -> T:
        """Call ``use`` with a scratch folder at ``commit``."""
        self._scratches += 1
        place = self._place(f"+scratch-{self._scratches}")
        _write(place, self._objects.commits[commit].files)
        try:
            return await use(place)
        finally:
            shutil.rmtree(place)

    async def tree_of(self, commit: str) -> str:
        """The tree id of a commit."""
        return self._objects.tree(commit)

    async def advance(self, before: str, after: str) -> None:
        """Move the run's integration ref."""
        ref = f"refs/muster/{self._run}/integration"
        if self._objects.refs.get(ref, before) not in (before, after):
            raise ConflictError(f"{ref} is at {self._objects.refs[ref]}, neither at {before} nor at {after}.")
        self._objects.refs[ref] = after

    async def salvage(self, task: str, attempt: int) -> Salvage | None:
        """Save the files of a task's folder, unless a ref has them."""
        objects, place = self._objects, await self.place(task)
        if place is None:
            return None
        base, files = objects.tenants[self._run, task][1], _read(place)
        name = f"refs/muster/salvage/{self._run}/{task}/{attempt}"
        theirs = {f"refs/muster/{self._run}/{task}/{number}" for number in range(1, attempt + 1)}
        kept = [
            objects.commits[base].files,
            *(objects.commits[objects.refs[r]].files for r in theirs & objects.refs.keys()),
        ]
        if files in kept:
            return None
        commit, ref, number = objects.commit(files, (base,), f"Salvage {task}"), name, 1
        while objects.refs.setdefault(ref, commit) != commit:
            number += 1
            ref = f"{name}-{number}"
        return Salvage(ref=ref, commit=commit)

    async def dispose(self, task: str, *, untouched: bool = False) -> None:
        """Give the task's folder back; what nobody saved is saved first."""
        tenant = self._objects.tenants.get((self._run, task))
        if tenant is not None:
            if not untouched:
                await self.salvage(task, tenant[0])
            del self._objects.tenants[self._run, task]
        shutil.rmtree(self._place(task), ignore_errors=True)

    async def main_state(self, target: str) -> MainState:
        """Look at the user's branch; `Objects.dirty` says what is wrong with its working tree."""
        if not target:
            return MainState(commit="", reason="detached", hint="git switch main")
        return MainState(commit=self._objects.refs[target], reason=self._objects.dirty)

    async def move_main(self, target: str, before: str, after: str) -> MainState:
        """Move the user's branch from ``before``."""
        state = await self.main_state(target)
        if state.reason or state.commit == after:
            return state
        if state.commit != before:
            return MainState(commit=state.commit, reason="moved", hint=f"git log {before}..{state.commit}")
        self._objects.refs[target] = after
        return MainState(commit=after)

    async def close(self) -> None:
        """Remove the folders of the run; whatever is not kept is salvaged first."""
        for run, task in tuple(self._objects.tenants):
            if run == self._run:
                await self.dispose(task)
        shutil.rmtree(self._objects.folder / self._run, ignore_errors=True)

    def _place(self, task: str) -> Path:
        return self._objects.folder / self._run / task

    def _files(self, tree: str) -> dict[str, bytes]:
        return next(value.files for oid, value in self._objects.commits.items() if self._objects.tree(oid) == tree)


def _hash(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _write(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _read(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
