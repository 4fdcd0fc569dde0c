"""The files of a project that people read: brief, plan, progress; written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from muster.model.errors import EnvironmentProblem, InputError, MusterError, NotFoundError, RefusedError
from muster.model.plan import Plan
from muster.model.planning.slugs import is_slug, slug_problem
from muster.model.running.progress import progress_of
from muster.model.running.state import RunState

PROJECTS = (".muster", "projects")
PLAN = "plan.md"
BRIEF = "brief.md"
PROGRESS = "progress.json"

# Somewhat more than a plan may have, so that its reader can say what is allowed.
MAX_READ_BYTES = 64 * 1024 * 1024

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def artefact_path(project: Path, slug: str, name: str) -> Path:
    """Where an artefact of a project is, whether or not it exists.

    Raises:
        InputError: the slug could lead elsewhere.
    """
    problem = slug_problem(slug)
    if problem:
        raise InputError(f"{problem[0]}; allowed: {problem[1]}.")
    return project.joinpath(*PROJECTS, slug, name)


def write_artefact(project: Path, slug: str, name: str, text: str) -> Path:
    """Replace an artefact in one step; a reader sees the old file or the new one.

    Raises:
        RefusedError: a folder on the way, or the file itself, is a symbolic link.
        EnvironmentProblem: the disk is full or read-only.
    """
    place = artefact_path(project, slug, name)
    with _open_folder(project, (*PROJECTS, slug, *name.split("/")[:-1]), create=True) as folder:
        _replace(folder, place, text.encode())
    return place


def read_artefact(project: Path, slug: str, name: str) -> bytes | None:
    """An artefact's bytes; None when there is none.

    Raises:
        RefusedError: a folder on the way, or the file itself, is a symbolic link.
    """
    place = artefact_path(project, slug, name)
    try:
        *folders, file_name = name.split("/")
        with _open_folder(project, (*PROJECTS, slug, *folders), create=False) as folder, _told(place):
            handle = os.open(file_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise InputError(f"{place} is not a file.")
                return file.read(MAX_READ_BYTES)
    except NotFoundError:
        return None


def write_text(place: Path, text: str) -> None:
    """Replace a file in one step, making its folder when there is none."""
    with _told(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    with _open_folder(place.parent, (), create=False) as folder:
        _replace(folder, place, text.encode())


def create_text(place: Path, text: str) -> bool:
    """Make a new file; False when something is there already, which then stays as it is."""
    with _told(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(place, _NEW_FILE, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
    return True


def write_progress(project: Path, state: RunState) -> Path:
    """Say in the project's progress file how far a run is."""
    data = msgspec.json.format(msgspec.json.encode(progress_of(state)), indent=2)
    return write_artefact(project, state.accepted.slug, PROGRESS, data.decode() + "\n")


def slugs(project: Path) -> tuple[str, ...]:
    """All projects that have a folder, by name."""
    try:
        with _open_folder(project, PROJECTS, create=False) as folder, os.scandir(folder) as entries:
            return tuple(sorted(entry.name for entry in entries if is_slug(entry.name)))
    except NotFoundError:
        return ()


def find_plan(project: Path, slug: str | None = None) -> Path:
    """The plan of a project; without a slug ``plan.md`` in the project's folder, or else the only plan there is.

    Raises:
        NotFoundError: there is none.
        InputError: there are several.
    """
    if slug is not None:
        place = artefact_path(project, slug, PLAN)
        if not place.is_file():
            known = ", ".join(slugs(project)) or "none yet"
            raise NotFoundError(f"Project {slug!r} has no plan at {place}.", hint=f"projects: {known}")
        return place
    if (project / PLAN).is_file():
        return project / PLAN
    found = [name for name in slugs(project) if artefact_path(project, name, PLAN).is_file()]
    if len(found) == 1:
        return artefact_path(project, found[0], PLAN)
    if found:
        raise InputError(f"There are several plans: {', '.join(found)}.", hint="name one with --project")
    raise NotFoundError("There is no plan.", hint="muster plan new makes a first one")


def read_source(path: Path) -> tuple[bytes, str]:
    """What a person named on the command line, ``-`` being the standard input, and how to call it in messages.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read.
    """
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_READ_BYTES), "stdin"
    with _told(path), path.open("rb") as file:
        return file.read(MAX_READ_BYTES), str(path)


def read_plan(project: Path, *, path: Path | None, slug: str | None) -> Plan:
    """The plan at ``path``, or that of the project ``slug``, or the only one.

    Raises:
        PlanError: it cannot be used.
        NotFoundError: there is none.
    """
    from muster.model.planning.plan_document import parse_plan  # brings YAML along

    data, source = load_plan(project, path=path, slug=slug)
    return parse_plan(data, source=source)


def load_plan(project: Path | None, *, path: Path | None, slug: str | None) -> tuple[bytes, str]:
    """The bytes of a plan and how to call it in messages: relative to the current folder where that is shorter."""
    if path is not None:
        return read_source(path)
    if project is None:
        if slug is None and Path(PLAN).is_file():
            return read_source(Path(PLAN))
        raise NotFoundError("There is no project here.", hint="name the plan's file")
    place = find_plan(project, slug)
    if place == project / PLAN:
        data, _ = read_source(place)
    else:
        data = read_artefact(project, place.parent.name, PLAN) or b""
    with suppress(ValueError):
        place = place.relative_to(Path.cwd())
    return data, str(place)


@contextmanager
def _open_folder(base: Path, parts: Sequence[str], *, create: bool) -> Iterator[int]:
    """Open a folder below ``base`` without following any symbolic link on the way."""
    with _told(base):
        folder = os.open(base, _FOLDER)
    try:
        place = base
        for name in parts:
            place = place / name
            with _told(place):
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=folder)
                deeper = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = deeper
        yield folder
    finally:
        os.close(folder)


def _replace(folder: int, place: Path, data: bytes) -> None:
    """Write beside the file, then rename over it, both on the disk before this returns."""
    temporary = f".{place.name}.{secrets.token_hex(6)}"
    with _told(place):
        with suppress(FileNotFoundError):
            if stat.S_ISLNK(os.stat(place.name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise RefusedError(f"{place} is a symbolic link; nothing was written.")
        try:
            with os.fdopen(os.open(temporary, _NEW_FILE, 0o644, dir_fd=folder), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, place.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """Turn what the system says about a path into an error for whoever can act."""
    try:
        yield
    except OSError as error:
        raise _problem(place, error) from error


def _problem(place: Path, error: OSError) -> MusterError:
    if error.errno in (errno.ELOOP, errno.ENOTDIR) and place.is_symlink():
        return RefusedError(f"{place} is a symbolic link; it is not followed.")
    if error.errno == errno.ENOENT:
        return NotFoundError(f"There is no {place}.")
    if error.errno in (errno.ENOTDIR, errno.EISDIR):
        what = "a folder" if error.errno == errno.EISDIR else "not a folder"
        return InputError(f"{place} is {what}.")
    return EnvironmentProblem(f"{place}: {error.strerror or error}.")
