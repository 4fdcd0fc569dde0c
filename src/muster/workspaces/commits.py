"""Commits that Muster makes: whose they are, when, and what they change."""

from __future__ import annotations

from muster.model.record import Record
from muster.ports import CommitNote
from muster.process.git import Git
from muster.workspaces.status import Difference, parse_raw

NEUTRAL = ("Muster", "muster@localhost")


class Person(Record, frozen=True):
    """A name and an address as git wants them."""

    name: str
    email: str


class Described(Record, frozen=True):
    """A commit's tree and message, and the paths in which it differs from another commit."""

    tree: str
    message: str
    differences: tuple[Difference, ...]


def person(author: str) -> Person:
    """Read ``Name <address>``; whatever is missing gets a neutral word.

    >>> person("Ada <ada@example.org>"), person("claude-code")
    (Person(name='Ada', email='ada@example.org'), Person(name='claude-code', email='muster@localhost'))
    """
    name, _, rest = author.partition("<")
    name, email = (" ".join(part.translate({10: " ", 60: "", 62: ""}).split()) for part in (name, rest))
    return Person(name=name or NEUTRAL[0], email=email or NEUTRAL[1])


def identity(note: CommitNote, committer: Person) -> dict[str, str]:
    """The environment that makes a commit with equal notes an equal commit."""
    author, at = person(note.author), f"{int(note.at.timestamp())} +0000"
    return {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_AUTHOR_DATE": at,
        "GIT_COMMITTER_NAME": committer.name,
        "GIT_COMMITTER_EMAIL": committer.email,
        "GIT_COMMITTER_DATE": at,
    }


async def make_commit(git: Git, tree: str, parents: tuple[str, ...], note: CommitNote, committer: Person) -> str:
    """Write a commit that no ref points to."""
    done = await git(
        *("commit-tree", tree, *(part for parent in parents for part in ("-p", parent)), "-F", "-"),
        stdin=note.message.encode(errors="replace"),
        env=identity(note, committer),
    )
    return done.stdout.decode().strip()


async def describe(git: Git, base: str, commit: str) -> Described:
    """Look at a commit and at all that changed since ``base``; one process when base is its parent."""
    done = await git(
        *("diff-tree", "-r", "-z", "--raw", "--no-renames", "--always", "--format=%P%x00%T%x00%B%x00", commit)
    )
    parents, tree, message, raw = done.stdout.split(b"\0", 3)
    if parents.decode() != base:
        done = await git("diff-tree", "-r", "-z", "--raw", "--no-renames", base, commit)
        raw = done.stdout
    return Described(
        tree=tree.decode(),
        message=message.decode(errors="replace"),
        differences=parse_raw(raw.lstrip(b"\0\n")),
    )
