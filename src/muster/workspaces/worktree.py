"""One linked worktree of ours, as files: its folder, git's notes on it, and who works in it."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from muster.model.errors import ConflictError
from muster.model.record import Record
from muster.process.git import Git

# The note on who works in a worktree is the name of an empty file, so that changing it is a rename.
_TENANT = "muster@"
# What git keeps for a worktree in which nothing is going on (gitrepository-layout(5)).
_PLAIN = frozenset({"HEAD", "ORIG_HEAD", "COMMIT_EDITMSG", "commondir", "gitdir", "index", "logs", "refs"})
_OBJECT = re.compile(rb"\b[0-9a-f]{40}(?:[0-9a-f]{24})?\b")
_NOTE_LIMIT = 1 << 20
_AGE_NS = 10 * 10**9

FileMark = tuple[int, int, int, int]


class Tenant(Record, frozen=True):
    """Which attempt works in a worktree; kept beside git's own notes, so that it survives us."""

    task: str
    attempt: int
    base: str


class Worktree:
    """A folder, its administrative folder in the repository, and what is known of both.

    ``head`` is the commit it was last put at, ``placeholders`` are the empty
    folders that belong to it, for submodules. ``litter`` are the files without
    worth that are known to be in it; None when it has to be looked at again.
    ``safe`` are commits that a ref is known to keep.
    """

    def __init__(self, folder: Path, admin: Path, git: Git) -> None:
        self.folder = folder
        self.admin = admin
        self.git = git.at(folder, admin)
        self.head = ""
        self.litter: tuple[bytes, ...] | None = None
        self.known_index: FileMark | None = None
        self.placeholders: frozenset[str] = frozenset()
        self.safe: frozenset[str] = frozenset()
        self._main = git
        self._config = _read(admin / "config.worktree")

    # Who works here

    def tenant(self) -> Tenant | None:
        """The attempt this folder was given to, if any."""
        for note in self._tenant_notes():
            try:
                task, attempt, base = note.name.removeprefix(_TENANT).split("@")
                return Tenant(task=unquote(task), attempt=int(attempt), base=base)
            except ValueError:
                continue
        return None

    def let(self, tenant: Tenant | None) -> None:
        """Write down who works here, or that nobody does."""
        name = f"{quote(tenant.task, safe='')}@{tenant.attempt}@{tenant.base}" if tenant is not None else ""
        note = self.admin / f"{_TENANT}{name}"
        first, *others = self._tenant_notes() or [note]
        for other in others:
            other.unlink()
        if first == note:
            note.touch()
        else:
            first.rename(note)

    def _tenant_notes(self) -> list[Path]:
        try:
            return [self.admin / entry.name for entry in os.scandir(self.admin) if entry.name.startswith(_TENANT)]
        except OSError:
            return []

    # What git notes

    def index_mark(self) -> FileMark | None:
        """Changes when anybody writes the index."""
        return mark(self.admin / "index")

    def objects_noted(self) -> frozenset[str]:
        """Every object id in git's notes on this worktree: where HEAD has been, what a rebase put aside."""
        found: set[bytes] = set()
        for note in self._notes_with_commits():
            if note.is_file() and not note.is_symlink():
                with note.open("rb") as file:
                    found.update(_OBJECT.findall(file.read(_NOTE_LIMIT)))
        return frozenset(oid.decode() for oid in found if oid.strip(b"0"))

    def _notes_with_commits(self) -> Iterator[Path]:
        # One listing instead of a glob for each: this is asked after every task.
        for name in (entry.name for entry in os.scandir(self.admin)):
            if name.endswith("HEAD") or name == "AUTO_MERGE":
                yield self.admin / name
            elif name == "logs":
                yield self.admin / "logs" / "HEAD"
            elif name == "refs" or name == "sequencer" or name.startswith("rebase-"):
                yield from (self.admin / name).rglob("*")

    def submodule_configs(self) -> tuple[Path, ...]:
        """The configuration of every submodule that was filled here."""
        found = (self.admin / "modules").rglob("config")
        return tuple(config for config in found if (config.parent / "objects").is_dir())

    def head_is(self, commit: str) -> bool:
        """Whether HEAD is detached at this commit."""
        return _read(self.admin / "HEAD").strip() == commit.encode()

    def mend(self) -> None:
        """Put the way back to the repository into place when a task removed it, and drop stale locks.

        Raises:
            ConflictError: the folder is gone, or is a repository of its own now.
        """
        link, there = self.folder / ".git", f"gitdir: {self.admin}\n".encode()
        if not self.folder.is_dir() or self.folder.is_symlink():
            raise ConflictError(f"The worktree {self.folder} is gone: something removed it.")
        if link.is_dir() and not link.is_symlink():
            raise ConflictError(f"The worktree {self.folder} was made a repository of its own; it is left as it is.")
        if link.is_symlink() or _read(link) != there:
            link.unlink(missing_ok=True)
            link.write_bytes(there)
        for lock in self.admin.glob("*.lock"):
            # Whoever held it is gone: no process of an attempt outlives it.
            lock.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether there is anything at its place."""
        return os.path.lexists(self.folder)

    # Use for the next one

    def reusable(self) -> bool:
        """Whether nothing but files may distinguish this worktree from a new one."""
        names = {entry.name for entry in os.scandir(self.admin) if not entry.name.startswith(_TENANT)}
        refs = self.admin / "refs"
        return (
            names - {"config.worktree"} <= _PLAIN
            and _read(self.admin / "config.worktree") == self._config
            and not any(path.is_file() for path in refs.rglob("*"))
            and _read(self.folder / ".git") == f"gitdir: {self.admin}\n".encode()
        )

    def forget(self) -> None:
        """Clear what git noted about the last use."""
        for name in ("ORIG_HEAD", "COMMIT_EDITMSG"):
            (self.admin / name).unlink(missing_ok=True)
        log = self.admin / "logs" / "HEAD"
        if log.exists() and log.stat().st_size:
            log.write_bytes(b"")

    def move(self, folder: Path) -> None:
        """Give the folder another name; git learns it from its own note, as it does in `git worktree move`."""
        self.folder.rename(folder)
        _write_over(self.admin / "gitdir", os.fsencode(folder / ".git") + b"\n")
        self.folder = folder
        self.git = self._main.at(folder, self.admin)

    def remove(self) -> None:
        """Delete the folder and git's notes on it, whatever state they are in."""
        remove_tree(self.folder)
        remove_tree(self.admin)

    def delete(self, paths: Iterable[bytes]) -> None:
        """Delete files and folders in the worktree; links are not followed."""
        for path in paths:
            remove_tree(self.folder / os.fsdecode(path.rstrip(b"/")))

    def empty_folders(self) -> tuple[str, ...]:
        """Folders that git does not see because nothing is in them, the innermost first, relative to this one."""
        found: list[str] = []
        gone: set[str] = set()
        for folder, folders, files in os.walk(self.folder, topdown=False):
            if not files and all(f"{folder}/{name}" in gone for name in folders):
                gone.add(folder)
                found.append(os.path.relpath(folder, self.folder))
        return tuple(found)

    def age(self) -> None:
        """Make fresh files look older than the index.

        git reads files again at every look while they are as young as its
        index, and writes the index again each time (racy-git.txt).
        """
        past_ns = (self.index_mark() or (0, 0, 0, 0))[2] - _AGE_NS
        for folder, _, files in os.walk(self.folder):
            for name in files:
                os.utime(f"{folder}/{name}", ns=(past_ns, past_ns), follow_symlinks=False)

    def settle(self, commit: str) -> None:
        """Remember the state right after git put the worktree at a commit."""
        self.head = commit
        self.known_index = self.index_mark()
        self.placeholders = frozenset(self.empty_folders())

    def tidy(self) -> bool:
        """Delete what is known to be left; False when the worktree may still differ from a new one."""
        if self.litter is None or not self.reusable() or not self.head_is(self.head):
            return False
        self.delete(self.litter)
        for empty in self.empty_folders():
            if empty not in self.placeholders:
                (self.folder / empty).rmdir()
        self.forget()
        self.let(None)
        self.litter = None
        return True

    def attributes(self) -> frozenset[tuple[str, FileMark | None]]:
        """Every .gitattributes in the folder: where they differ, files that are equal in git may not be on disk."""
        return frozenset(
            (folder, mark(Path(folder) / ".gitattributes"))
            for folder, _, files in os.walk(self.folder)
            if ".gitattributes" in files
        )


def admin_of(folder: Path, common: Path) -> Path | None:
    """Where git keeps its notes on a linked worktree, by its own pointer or, if that is gone, by git's."""
    link = _read(folder / ".git")
    if link.startswith(b"gitdir: "):
        admin = Path(os.fsdecode(link.removeprefix(b"gitdir: ").rstrip(b"\n")))
        if admin.parent == common / "worktrees" and admin.is_dir():
            return admin
    for admin, path in linked(common):
        if path == folder:
            return admin
    return None


def lay_out(folder: Path, common: Path, commit: str) -> Path:
    """Make an empty linked worktree with HEAD detached, and git's notes on it; see gitrepository-layout(5).

    Returns:
        The administrative folder.
    """
    folder.mkdir(parents=True)
    home, number = common / "worktrees", 0
    home.mkdir(exist_ok=True)
    while True:
        # Any name that is free will do: the notes say which folder it is about.
        admin = home / (folder.name.replace("%", "_") + (str(number) if number else ""))
        try:
            admin.mkdir()
            break
        except FileExistsError:
            number += 1
    (admin / "commondir").write_bytes(b"../..\n")
    (admin / "gitdir").write_bytes(os.fsencode(folder / ".git") + b"\n")
    (admin / "HEAD").write_text(f"{commit}\n", encoding="ascii")
    (folder / ".git").write_bytes(b"gitdir: " + os.fsencode(admin) + b"\n")
    return admin


def linked(common: Path) -> Iterator[tuple[Path, Path]]:
    """The administrative folder and the folder of every linked worktree."""
    for note in sorted((common / "worktrees").glob("*/gitdir")):
        yield note.parent, Path(os.fsdecode(_read(note).rstrip(b"\n"))).parent


def mark(path: Path) -> FileMark | None:
    """Inode, size and times: equal when nobody wrote the file."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _write_over(path: Path, content: bytes) -> None:
    """Write a short file in its place; a new file would cost more than all the rest of a move."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
    finally:
        os.close(fd)


def remove_tree(path: Path) -> None:
    """Delete a file or a folder with all in it, also what was made read-only; nothing happens when it is gone."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return

    def open_up(_function: Callable[..., object], name: str, _error: object) -> None:
        stuck = Path(name)
        stuck.parent.chmod(0o700)
        if stuck.is_dir() and not stuck.is_symlink():
            stuck.chmod(0o700)
            shutil.rmtree(stuck)
        else:
            stuck.unlink(missing_ok=True)

    shutil.rmtree(path, onerror=open_up)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
