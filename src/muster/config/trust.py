"""Which repositories the operator trusts to bring commands and definitions of their own.

Trust is for a repository and for what it held at that moment: when a part of
it that could run code changes, it is asked for again.
"""

from __future__ import annotations

import enum
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from muster.config.layers import file_layer
from muster.config.places import PROJECT_FILE, PROJECT_FOLDER, common_folder, state_folder, toplevel
from muster.config.resolve import LayerKind, trust_relevant
from muster.model.errors import ConflictError, InputError, RefusedError
from muster.model.record import Record

# What may run code by itself or change what an agent is told; profiles only choose models.
DEFINITIONS = ("agents", "teams", "workflows", "skills", "reactions.yaml")
MAX_FILES = 2000


class TrustState(enum.Enum):
    """Whether a project may bring its own commands."""

    TRUSTED = "trusted"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class Trusted(Record, frozen=True):
    """One trusted project: its repository's shared git folder, its place in it, what it held and since when."""

    repository: str
    inode: int
    prefix: str
    digest: str
    at: datetime


class _Book(Record, frozen=True):
    version: int = 1
    projects: tuple[Trusted, ...] = ()


def trust_state(project: Path) -> TrustState:
    """Whether the project is trusted as it is now."""
    repository, inode, prefix = _identity(project)
    for known in _read().projects:
        if (known.repository, known.prefix) == (repository, prefix):
            same = known.inode == inode and known.digest == _digest(contents(project))
            return TrustState.TRUSTED if same else TrustState.CHANGED
    return TrustState.UNKNOWN


def trust(project: Path, now: datetime, found: dict[str, str] | None = None) -> Trusted:
    """Record that the project may bring what was found in it, or what it holds now."""
    repository, inode, prefix = _identity(project)
    digest = _digest(contents(project) if found is None else found)
    new = Trusted(repository=repository, inode=inode, prefix=prefix, digest=digest, at=now)
    _change(lambda projects: (*_without(projects, new.repository, new.prefix), new))
    return new


def revoke(project: Path) -> bool:
    """Forget that the project was trusted; says whether it was."""
    repository, _, prefix = _identity(project)
    before = _read().projects
    if _without(before, repository, prefix) == before:
        return False
    _change(lambda projects: _without(projects, repository, prefix))
    return True


def trusted_projects() -> tuple[Trusted, ...]:
    """All that is trusted, in the order of their paths."""
    return tuple(sorted(_read().projects, key=lambda known: (known.repository, known.prefix)))


def contents(project: Path) -> dict[str, str]:
    """What trust is about: settings by key with their value, files by path with their sha256.

    Raises:
        RefusedError: a definition is a link or no plain file, so what it says could change unseen.
        InputError: muster.toml is wrong.
    """
    found = trust_relevant(file_layer(LayerKind.PROJECT, project / PROJECT_FILE, PROJECT_FILE))
    folder = project / PROJECT_FOLDER
    roots = [folder, *(folder / name for name in DEFINITIONS)]
    for path in (*roots, *(below for root in roots[1:] if root.is_dir() for below in sorted(root.rglob("*")))):
        name = _utf8(path.relative_to(project))
        if path.is_symlink() or not (path.is_dir() or path.is_file() or not path.exists()):
            raise RefusedError(f"{name}: a definition must be a plain file.")
        if path.is_file():
            found[name] = hashlib.sha256(_bytes(path, name)).hexdigest()
        if len(found) > MAX_FILES:
            raise RefusedError(f"{PROJECT_FOLDER}: more than {MAX_FILES} definitions.")
    return found


def _bytes(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}.") from None


def _digest(found: dict[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(found, order="sorted")).hexdigest()


def _identity(project: Path) -> tuple[str, int, str]:
    project = project.resolve()
    top = toplevel(project)
    common = common_folder(top)
    return _utf8(common), common.stat().st_ino, _utf8(project.relative_to(top))


def _utf8(path: Path) -> str:
    """A path as text that can be stored; bytes that are not UTF-8 are spelt out."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _without(projects: tuple[Trusted, ...], repository: str, prefix: str) -> tuple[Trusted, ...]:
    return tuple(known for known in projects if (known.repository, known.prefix) != (repository, prefix))


def _read() -> _Book:
    path = state_folder() / "trust.json"
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                raise RefusedError(f"{path} could be written by somebody else.", hint=f"chmod 600 {path}")
            return msgspec.json.decode(file.read(), type=_Book)
    except FileNotFoundError:
        return _Book()
    except (OSError, msgspec.MsgspecError) as error:
        raise ConflictError(f"{path} cannot be read: {error}.", hint=f"Remove {path} and trust again.") from None


def _change(change: Callable[[tuple[Trusted, ...]], tuple[Trusted, ...]]) -> None:
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder / "trust.lock"):
        book = _Book(projects=change(_read().projects))
        # A temporary file is 0600 from its birth; the rename makes the change all or nothing.
        handle, name = tempfile.mkstemp(dir=folder, prefix="trust.", suffix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(book))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(folder / "trust.json")
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
