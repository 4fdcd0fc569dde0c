"""Where a repository is, whether it can be used, and which places in it are ours."""

from __future__ import annotations

import os
import re
from pathlib import Path

from muster.model.errors import EnvironmentProblem, InputError, RefusedError
from muster.model.record import Record
from muster.process.git import Git, GitError

STATE = ".muster/state"
WORKTREES = ".muster/worktrees"
_FOLDERS = (".muster", STATE, f"{STATE}/runs", WORKTREES, ".muster/projects")
_FILES = tuple(f"{STATE}/muster.db{end}" for end in ("", "-wal", "-shm"))
_GIT_NEEDED = (2, 38)  # merge-tree --write-tree


class Location(Record, frozen=True):
    """The repository's folders; ``prefix`` is the project's in it, empty or with a slash at the end."""

    toplevel: Path
    common: Path
    project: Path
    prefix: str

    @property
    def worktrees(self) -> Path:
        """Where the folders of runs are."""
        return self.project / WORKTREES


async def locate(cwd: Path, git: Git) -> Location:
    """Find the repository around a folder, and the project in it: the nearest folder with settings of ours.

    Raises:
        EnvironmentProblem: git is missing or too old, or does not trust the repository.
        InputError: there is no repository, or one without a working tree.
    """
    await _check_version(git)
    try:
        kind = (await git.text("rev-parse", "--is-inside-work-tree", "--is-bare-repository")).split("\n")
    except GitError as error:
        if "not a git repository" not in error.said:
            raise
        if "not a git repository:" in error.said:
            leads = error.said.rpartition("not a git repository:")[2].strip()
            raise InputError(
                f"The .git at or above {cwd} does not lead to a git folder: there is none at {leads}.",
                hint="git worktree repair mends moved worktrees.",
            ) from error
        raise InputError(
            f"{cwd} is not in a git repository.", hint="git init && git add -A && git commit -m 'First commit'"
        ) from error
    if kind[0] != "true":
        what = "a bare repository" if kind[1] == "true" else "the inside of a .git folder"
        raise InputError(f"{cwd} is {what}; Muster works in a working tree.", hint="Go to a clone or a git worktree.")
    toplevel = Path(await git.text("rev-parse", "--path-format=absolute", "--show-toplevel"))
    common = Path(await git.text("rev-parse", "--path-format=absolute", "--git-common-dir"))
    project = _project(cwd, toplevel)
    prefix = project.relative_to(toplevel).as_posix()
    return Location(toplevel=toplevel, common=common, project=project, prefix="" if prefix == "." else f"{prefix}/")


def _project(cwd: Path, toplevel: Path) -> Path:
    here = cwd.resolve()
    above = (folder for folder in (here, *here.parents) if folder.is_relative_to(toplevel))
    ours = (folder for folder in above if (folder / ".muster").is_dir() or (folder / "muster.toml").is_file())
    return next(ours, toplevel)


async def _check_version(git: Git) -> None:
    said = await git.text("version")
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < _GIT_NEEDED:
        wanted = ".".join(map(str, _GIT_NEEDED))
        raise EnvironmentProblem(f"{said or 'git'} is too old.", hint=f"Install git {wanted} or newer.")


def refuse_links(location: Location, *below: str) -> None:
    """Make sure that what we write into `.muster` lands there.

    Raises:
        RefusedError: a repository put a link or a file where our folders are, or a link where our files are.
    """
    for name in (*_FOLDERS, *(f"{WORKTREES}/{each}" for each in below), *_FILES):
        path = location.project / name
        if path.is_symlink() or (name not in _FILES and path.exists() and not path.is_dir()):
            what = "a symbolic link" if path.is_symlink() else "not a folder"
            raise RefusedError(f"{path} is {what}; Muster would write outside of its own folder.", hint=f"rm {path}")


def exclude(location: Location, *paths: str) -> None:
    """Tell git in this repository, and nobody else, to overlook our folders; what is there is kept."""
    file = location.common / "info" / "exclude"
    if file.is_symlink() or file.parent.is_symlink():
        raise RefusedError(f"{file} is a symbolic link; Muster would write outside of the repository.")
    there = file.read_bytes() if file.exists() else b""
    lines = set(there.splitlines())
    wanted = [_pattern(location.prefix + path) for path in (f"{STATE}/", f"{WORKTREES}/", *paths)]
    missing = [line for line in wanted if line not in lines]
    if missing:
        file.parent.mkdir(exist_ok=True)
        with file.open("ab") as opened:
            opened.write((b"" if there.endswith(b"\n") or not there else b"\n") + b"".join(m + b"\n" for m in missing))


def _pattern(path: str) -> bytes:
    """A gitignore pattern for exactly this path."""
    escaped = re.sub(r"([\\*?\[\]])", r"\\\1", path)
    return os.fsencode("/" + re.sub(r" (?=$|/$)", r"\\ ", escaped))
