"""Makes a tree of what is in the folder and not committed, so that neither the repository nor its index changes."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from muster.model.errors import EnvironmentProblem
from muster.process.git import Git, GitError
from muster.review.both import both

_SHOWN = 5
# What Muster writes while it works is not the work.
_OURS = tuple(f":(top,exclude,glob)**/.muster/{name}/**" for name in ("projects", "state", "worktrees"))
_PLACES = ("--", ":(top)", *_OURS)
_GLOBS = {"GIT_LITERAL_PATHSPECS": "0"}


async def working_tree(git: Git, index: Path, before: str, env: Mapping[str, str]) -> tuple[str, str]:
    """The tree of what is in the folder, empty when all is committed, and a warning about what is not in that tree.

    ``git`` stands at the top of the work tree. ``before`` is where the range begins: a filter that the user configured
    runs only where the attributes were as they are already then, so that no branch chooses what it runs on. ``env``
    says where objects are written to.
    """
    folder = Path(tempfile.mkdtemp(prefix="muster-review-"))
    try:
        off, hidden = await both(lambda: _filters_off(git), lambda: _hidden(git))
        status = ("status", "-z", "--porcelain=v1", "--no-renames", "--ignore-submodules=dirty", *_PLACES)
        said = await git(*status, env={**off, **_GLOBS})
        changed = [entry[3:] for entry in _split(said.stdout)]
        # A folder that may not be read; git only says so.
        closed = " ".join(
            line for line in said.stderr.decode(errors="replace").splitlines() if "could not open" in line
        )
        if not changed and not hidden:
            return "", closed
        if off and not any(_has_attributes(path) for path in (*changed, *await _committed(git, before))):
            off = {}
        await anyio.to_thread.run_sync(_copy, index, folder / "index")
        settings = _configured((("core.splitIndex", "false"), ("core.untrackedCache", "false")), off)
        tree, stuck = await _write(git, folder / "index", changed, hidden, {**env, **settings})
        return tree, " ".join(filter(None, (stuck, closed)))
    except (GitError, EnvironmentProblem) as error:
        return "", f"Uncommitted changes are left out: {str(error)[-300:]}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _write(
    git: Git, index: Path, changed: Sequence[str], hidden: Mapping[str, Sequence[str]], env: Mapping[str, str]
) -> tuple[str, str]:
    for flag, paths in hidden.items():
        names = "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")
        await git("update-index", "-z", flag, "--stdin", index=index, env=env, stdin=names)
    warning, globs = "", {**env, **_GLOBS}
    added = await git("add", "--all", *_PLACES, index=index, env=globs, check=False)
    if not added.ok:
        # A repository in the repository without a commit, or what is no file or may not be read, stops the rest too.
        stuck = [path for path in changed if not _can_be_added(git.root / path)]
        but = (f":(top,exclude,literal){path.rstrip('/')}" for path in stuck)
        added = await git("add", "--all", "--ignore-errors", *_PLACES, *but, index=index, env=globs, check=False)
        named = ", ".join(map(repr, stuck[:_SHOWN])) + f" and {len(stuck) - _SHOWN} more" * (len(stuck) > _SHOWN)
        warning = (
            f"Left out, because git cannot add it: {named or added.stderr.decode(errors='replace')[-300:].strip()}"
        )
    return (await git("write-tree", index=index, env=env)).stdout.decode().strip(), warning


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _can_be_added(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return True  # it is gone, which can be recorded
    if stat.S_ISDIR(mode):
        return not (path / ".git").exists()
    return stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(path, os.R_OK))


async def _hidden(git: Git) -> dict[str, list[str]]:
    """Tracked files that the index says are not to be looked at, by the flag that takes it back."""
    found: dict[str, list[str]] = {}
    for entry in _split((await git("ls-files", "-v", "-z")).stdout):
        tag, path = entry[0], entry[2:]
        if tag.islower():
            found.setdefault("--no-assume-unchanged", []).append(path)
        # Without a file it is a sparse checkout, which hides nothing.
        if tag in "Ss" and _is_there(git.root / path):
            found.setdefault("--no-skip-worktree", []).append(path)
    return found


async def _filters_off(git: Git) -> dict[str, str]:
    """The environment in which no configured filter runs."""
    done = await git("config", "-z", "--name-only", "--get-regexp", r"^filter\.", check=False)
    names = {key.rpartition(".")[0] for key in _split(done.stdout)}
    parts = (("clean", ""), ("process", ""), ("required", "false"))
    return _configured([(f"{name}.{part}", value) for name in sorted(names) for part, value in parts])


def _configured(pairs: Sequence[tuple[str, str]], more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Settings as an environment, because names of filters may hold what a command line cannot."""
    found = dict(more or {})
    for number, (key, value) in enumerate(pairs, int(found.get("GIT_CONFIG_COUNT", "0"))):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        found["GIT_CONFIG_COUNT"] = str(number + 1)
    return found


async def _committed(git: Git, before: str) -> list[str]:
    """The paths of a range that ends at HEAD; a beginning that is none has no attributes to agree with."""
    if not before:
        return [".gitattributes"]
    return _split((await git("diff-tree", "-r", "-z", "--name-only", before, "HEAD")).stdout)


def _has_attributes(path: str) -> bool:
    # An untracked folder is one entry, whatever is in it.
    return path.endswith((".gitattributes", "/"))


def _split(data: bytes) -> list[str]:
    return [part for part in data.decode("utf-8", "surrogateescape").split("\0") if part]


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copy2(source, target)
