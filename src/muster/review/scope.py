"""Finds out what a review looks at: two states of a repository, the changes between them, and their texts."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from muster.model.errors import InputError, TooMuchOutput
from muster.model.findings import Change
from muster.model.record import Record
from muster.process.git import Git
from muster.process.git import problem as git_problem
from muster.review.both import both
from muster.review.diff import read_changes
from muster.review.objects import Objects, borrowing
from muster.review.splits import suggest
from muster.review.uncommitted import working_tree

MAX_FILES = 100
MAX_DIFF_BYTES = 400_000  # 100,000 tokens at four bytes each
_GITLINK = "160000"
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Scope(Record, frozen=True):
    """What is reviewed; commits are empty where there is none, ``blobs`` are the texts by their ids.

    ``root`` is the top of the working tree (a bare repository's own folder),
    ``prefix`` the folder in it from which the review was asked for. The trees
    are what is really compared: with uncommitted changes ``after_tree`` is the
    working tree's. ``disagreeing`` are paths of which git's patch and numbers
    tell different stories. Texts are not read when the range is too large.
    ``store`` is the repository's object store, ``loose`` where objects of
    uncommitted text are instead, when there is such a place.
    """

    root: Path
    store: Path
    object_format: str
    prefix: str
    before: str
    after: str
    before_tree: str
    after_tree: str
    loose: Path | None = None
    changes: tuple[Change, ...] = ()
    diff_bytes: int = 0
    warnings: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    disagreeing: tuple[str, ...] = ()
    blobs: dict[str, bytes] = {}

    @property
    def too_large(self) -> bool:
        """Whether the range is more than one review can answer for."""
        return len(self.changes) > MAX_FILES or self.diff_bytes > MAX_DIFF_BYTES

    def old(self, change: Change) -> bytes | None:
        """The file as it was; None when it was not there or cannot be read."""
        return self.blobs.get(change.old_blob)

    def new(self, change: Change) -> bytes | None:
        """The file as it is; None when it is gone or cannot be read."""
        return self.blobs.get(change.blob)

    def objects(self) -> Objects:
        """The repository's objects, to be opened with ``with``."""
        return Objects(self.store, self.object_format, self.loose)


class _Place(Record, frozen=True):
    root: Path
    store: Path
    index: Path
    object_format: str
    prefix: str
    bare: bool
    shallow: bool


async def find_scope(
    repo: Path,
    *,
    since: str = "",
    brief_mtime: float | None = None,
    session_start: str = "",
    until: str = "HEAD",
    include_uncommitted: bool = True,
    loose: Path | None = None,
) -> Scope:
    """Find what changed since ``since``, else since ``session_start``, else since the brief was written.

    ``until`` is the last commit that counts; uncommitted changes belong to none but HEAD.
    ``loose`` is an empty folder for the objects of uncommitted text, which lasts
    as long as the scope is used; without it they go where ``git add`` puts them.

    Raises:
        InputError: there is no repository, or no such commit.
    """
    git = Git(repo)
    start = since or session_start
    place, (head, named) = await both(lambda: _place(git), lambda: _commits(git, until, start))
    if start and not named:
        # What cat-file cannot peel: `:/words` takes all that follows for words.
        done = await git("rev-parse", "--verify", "--quiet", "--end-of-options", start, check=False)
        (named,) = await _commits(git, done.stdout.decode().strip()) if done.ok else ("",)
    if until != "HEAD" and not head:
        raise InputError(f"{until!r} names no commit of this repository.", hint="git log --oneline")
    if since and not named and not await _is_empty_tree(git, since):
        hint = "The clone is shallow: git fetch --unshallow" if place.shallow else "git log --oneline"
        raise InputError(f"--since {since!r} names no commit of this repository.", hint=hint)
    before, warnings = await _before(git, place, head, named, since, brief_mtime)
    if session_start and not since and not named:
        warnings.insert(0, f"The session's first commit {session_start[:12]} is not in this repository.")
    tree, env = "", borrowing(place.store, loose)
    if include_uncommitted and until == "HEAD" and not place.bare:
        tree, warning = await working_tree(git.elsewhere(place.root), place.index, before, env)
        warnings += [warning] * bool(warning)
    with Objects(place.store, place.object_format, loose) as objects:
        aside, scope = await both(
            lambda: _aside(git, named, head), lambda: _read(objects, place, loose, before, head, tree, warnings)
        )
    return msgspec.structs.replace(scope, warnings=(*scope.warnings, *aside))


async def _read(
    objects: Objects, place: _Place, loose: Path | None, before: str, head: str, tree: str, warnings: list[str]
) -> Scope:
    old, new = before or objects.empty_tree, tree or head or objects.empty_tree
    (patch, uncommitted), listing = await both(
        lambda: both(lambda: _patch(objects, old, new), lambda: _uncommitted(objects, head, tree)),
        lambda: objects.listing(old, new),
    )
    too_long = patch is None
    patch = patch or b""
    changes, disagreeing = read_changes(listing, patch)
    changes = tuple(
        msgspec.structs.replace(change, uncommitted=True) if change.path in uncommitted else change
        for change in changes
    )
    scope = Scope(
        root=place.root,
        store=place.store,
        loose=loose,
        object_format=place.object_format,
        prefix=place.prefix,
        before=before,
        after=head,
        before_tree=old,
        after_tree=new,
        changes=changes,
        diff_bytes=max(len(patch), MAX_DIFF_BYTES + 1) if too_long else len(patch),
        warnings=tuple(warnings),
        disagreeing=() if too_long else disagreeing,
    )
    if scope.too_large:
        fitting = await suggest(objects, before, head, tree, MAX_FILES, MAX_DIFF_BYTES)
        return msgspec.structs.replace(scope, suggestions=fitting)
    ids = [b for c in changes for b, mode in ((c.old_blob, c.old_mode), (c.blob, c.mode)) if mode != _GITLINK]
    return msgspec.structs.replace(scope, blobs=await objects.blobs(ids))


async def _patch(objects: Objects, old: str, new: str) -> bytes | None:
    """The patch, or None when it is too long to be kept."""
    try:
        return await objects.patch(old, new)
    except TooMuchOutput:
        return None


async def _uncommitted(objects: Objects, head: str, tree: str) -> frozenset[str]:
    return await objects.differing(head or objects.empty_tree, tree) if tree else frozenset()


async def _place(git: Git) -> _Place:
    wanted = ("--is-bare-repository", "--is-shallow-repository", "--show-object-format")
    paths = ("--git-path", "objects", "--git-path", "index", "--absolute-git-dir", "--show-prefix", "--show-toplevel")
    done = await git("rev-parse", "--path-format=absolute", *wanted, *paths, check=False)
    said = done.stdout.decode(errors="surrogateescape").split("\n")
    if done.code and said[0] != "true":
        error = git_problem(("rev-parse",), done)
        if "not a git repository" in str(error):
            raise InputError(f"{git.root} is not in a git repository.", hint="git init") from error
        if "must be run in a work tree" in str(error):
            raise InputError(f"{git.root} is the inside of a .git folder.", hint="Go to its working tree.") from error
        raise error
    bare = said[0] == "true"
    return _Place(
        root=Path(said[5] if bare else said[7]),
        store=Path(said[3]),
        index=Path(said[4]),
        object_format=said[2],
        prefix="" if bare else said[6],
        bare=bare,
        shallow=said[1] == "true",
    )


async def _commits(git: Git, *names: str) -> list[str]:
    """The ids of commits; empty for a name that stands for none."""
    asked = "".join(f"{name}^{{commit}}\n" for name in names)
    if asked.count("\n") > len(names):
        raise InputError(f"The name of a commit has no line breaks: {names!r}")
    done = await git(
        "cat-file", "--batch-check=%(objectname)", stdin=asked.encode(errors="surrogateescape"), check=False
    )
    # What is missing or ambiguous is echoed with a word behind it.
    found = [line if _ID.fullmatch(line) else "" for line in done.stdout.decode(errors="replace").splitlines()]
    return found if len(found) == len(names) else [""] * len(names)


async def _aside(git: Git, named: str, head: str) -> tuple[str, ...]:
    """A warning when the range begins at a commit that is not in the history of its end."""
    if not named or not head or (await git("merge-base", "--is-ancestor", named, head, check=False)).ok:
        return ()
    return (f"{named[:12]} is not in the history of {head[:12]}: what only it has counts as taken away.",)


async def _is_empty_tree(git: Git, name: str) -> bool:
    """Whether a name stands for nothing at all, from which everything is new."""
    done = await git("ls-tree", "--end-of-options", f"{name}^{{tree}}", check=False)
    return done.ok and not done.stdout


async def _before(
    git: Git, place: _Place, head: str, named: str, since: str, brief_mtime: float | None
) -> tuple[str, list[str]]:
    if not head:
        return "", ["There is no commit yet."]
    if since and not named:
        return "", []
    if named:
        return named, []
    if brief_mtime is not None:
        found = await git.text("rev-list", "-1", f"--min-age={int(brief_mtime)}", head)
        if found:
            return found, [f"The session's first commit is not known: {found[:12]}, the last one before the brief, is."]
        return "", ["No commit is older than the brief: everything counts as new."]
    (parent,) = await _commits(git, f"{head}^1")
    if not parent and place.shallow:
        return "", ["The clone is shallow and ends at HEAD: everything counts as new. git fetch --unshallow"]
    return parent, ["No --since: the last commit is looked at."] if parent else ["HEAD is the first commit."]
