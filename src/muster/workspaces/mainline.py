"""The user's branch: looking at it, moving it when nothing can be hurt, and putting it back."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from muster.model.record import Record
from muster.ports import MainState
from muster.process.git import Git
from muster.workspaces.names import shown

_IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisect",
}
_SHOWN = 5


class Checkout(Record, frozen=True):
    """A worktree of the repository, the user's or a linked one."""

    folder: str
    branch: str = ""
    head: str = ""
    bare: bool = False
    gone: bool = False


async def checkouts(git: Git) -> tuple[Checkout, ...]:
    """All worktrees as git knows them."""
    done = await git("worktree", "list", "--porcelain", "-z")
    found = []
    for block in done.stdout.split(b"\0\0"):
        fields = dict(line.partition(b" ")[::2] for line in block.split(b"\0") if line)
        if b"worktree" in fields:
            text = {key.decode(): value.decode(errors="surrogateescape") for key, value in fields.items()}
            found.append(
                Checkout(
                    folder=text["worktree"],
                    branch=text.get("branch", ""),
                    head=text.get("HEAD", ""),
                    bare="bare" in text,
                    gone="prunable" in text or not _is_folder(text["worktree"]),
                )
            )
    return tuple(found)


class Mainline:
    """Moves branches of the user, forward after a merge and back on undo; never anything but a clean move."""

    def __init__(self, git: Git, merged: str) -> None:
        self._git = git
        self._merged = merged

    async def state(self, target: str) -> MainState:
        """Where the branch is, and whether it may be moved."""
        _, state = await self._look(target, f"merge --ff-only {self._merged}")
        return state

    async def forward(self, target: str, before: str, after: str) -> MainState:
        """Move the branch from ``before`` to its descendant ``after``."""
        # Ignored files are the user's too, and a merge would overwrite them by default.
        command = (
            "merge",
            "--ff-only",
            "--no-overwrite-ignore",
            "--no-autostash",
            "--commit",
            "--no-squash",
            "--quiet",
            "--no-stat",
            after,
        )
        return await self._move(target, before, after, command, f"merge --ff-only {after}")

    async def back(self, target: str, before: str, after: str) -> MainState:
        """Put the branch from ``before`` back to ``after``, where it was."""
        command = ("reset", "--keep", "--quiet", after)
        return await self._move(target, before, after, command, f"reset --keep {after}")

    async def _look(self, target: str, command: str) -> tuple[Checkout | None, MainState]:
        if not target:
            head = await self._git.text("rev-parse", "HEAD")
            where = f"git -C {shlex.quote(str(self._git.root))} {command}"
            return None, MainState(commit=head, reason="detached", hint=where)
        done = await self._git("rev-parse", "--verify", "--quiet", f"{target}^{{commit}}", check=False)
        commit = done.stdout.decode().strip()
        if not commit:
            return None, MainState(commit="", reason="missing", hint=f"git update-ref {target} {self._merged}")
        for checkout in await checkouts(self._git):
            if checkout.bare:
                continue
            here = f"git -C {shlex.quote(checkout.folder)}"
            if checkout.gone:
                if checkout.branch == target:
                    hint = f"git worktree remove {shlex.quote(checkout.folder)}"
                    return None, MainState(commit=commit, reason="elsewhere", hint=hint)
                continue
            begun, branch = _begun(Path(checkout.folder))
            if target not in (checkout.branch, branch):
                continue
            if begun:
                hint = f"Finish or abort {begun} in {checkout.folder}, then: {here} {command}"
                return checkout, MainState(commit=commit, reason="in-progress", hint=hint)
            dirty = await self._dirty(Path(checkout.folder))
            if dirty:
                hint = f"Commit or put away {_some(dirty)} in {checkout.folder}, then: {here} {command}"
                return checkout, MainState(commit=commit, reason="dirty", hint=hint)
            return checkout, MainState(commit=commit)
        return None, MainState(commit=commit)

    async def _dirty(self, folder: Path) -> list[str]:
        done = await self._git.elsewhere(folder)(
            *("status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=none")
        )
        return [shown(line[3:]) for line in done.stdout.split(b"\0") if line]

    async def _in_the_way(self, folder: Path, before: str, after: str) -> list[str]:
        """Files on disk, ignored ones too, where the move would put others."""
        done = await self._git(
            *("diff-tree", "-r", "-z", "--no-renames", "--name-only", "--diff-filter=A", before, after)
        )
        names = [name for name in done.stdout.split(b"\0") if name]
        return [shown(name) for name in names if _there(folder, name)]

    async def _move(self, target: str, before: str, after: str, command: tuple[str, ...], hint: str) -> MainState:
        checkout, state = await self._look(target, hint)
        if state.commit == after and target:
            return MainState(commit=after)
        if target and state.commit and state.commit != before:
            return MainState(commit=state.commit, reason="moved", hint=f"git log --oneline {before}..{state.commit}")
        if state.reason:
            return state
        if checkout is None:
            words = f"update {target} {after} {before}\n".encode()
            done = await self._git("update-ref", "-m", f"muster: {hint}", "--stdin", stdin=words, check=False)
            hint = f"git update-ref {target} {after} {before}"
        else:
            folder = Path(checkout.folder)
            ways = await self._in_the_way(folder, before, after)
            here = f"git -C {shlex.quote(checkout.folder)} {hint}"
            if ways:
                return MainState(
                    commit=before, reason="in-the-way", hint=f"Move {_some(ways)} out of the way, then: {here}"
                )
            done = await self._git.elsewhere(folder)(*command, check=False)
            hint = here
        now = await self._git.text("rev-parse", "--verify", target)
        if now == after:
            return MainState(commit=after)
        if now != before:
            return MainState(commit=now, reason="moved", hint=f"git log --oneline {before}..{now}")
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return MainState(commit=now, reason="refused", hint=f"{hint}  # git said: {said[0] if said else done.code}")


def _begun(folder: Path) -> tuple[str, str]:
    """What is unfinished in a worktree, and the branch it will end on."""
    admin = folder / ".git"
    if admin.is_file():
        admin = folder / os.fsdecode(admin.read_bytes().removeprefix(b"gitdir: ").rstrip(b"\n"))
    words = next((words for name, words in _IN_PROGRESS.items() if (admin / name).exists()), "")
    for note in ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"):
        if (admin / note).is_file():
            text = (admin / note).read_text(errors="surrogateescape").strip()
            return words or "a rebase", text if text.startswith("refs/") else f"refs/heads/{text}"
    return words, ""


def _there(folder: Path, name: bytes) -> bool:
    return os.path.lexists(folder / os.fsdecode(name))


def _is_folder(path: str) -> bool:
    return Path(path).is_dir()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
