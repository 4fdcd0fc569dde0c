"""Proposes ranges that are small enough to review, when one is too large."""

from __future__ import annotations

from collections.abc import Iterator

from muster.model.errors import EnvironmentProblem
from muster.model.record import Record
from muster.review.diff import read_listing, read_patch
from muster.review.objects import Objects

_COMMITS = 100
_RANGES = 8


class _Step(Record, frozen=True):
    """One commit against its first parent: what it adds to a range."""

    commit: str
    parent: str
    subject: str
    size: int
    headers: frozenset[bytes]


async def suggest(objects: Objects, before: str, head: str, max_files: int, max_bytes: int) -> tuple[str, ...]:
    """Ranges of the newest commits that fit, newest first; each one was measured."""
    if not head:
        return ("Nothing is committed yet: commit in smaller parts, and review each.",)
    try:
        steps = list(_steps(await objects.history(before, head, _COMMITS)))
        return tuple(
            [await _line(objects, part, head, max_files, max_bytes) for part in _parts(steps, max_files, max_bytes)]
        )
    except EnvironmentProblem:
        return ("The history could not be read: name a commit closer to HEAD with --since.",)


async def _line(objects: Objects, steps: list[_Step], head: str, max_files: int, max_bytes: int) -> str:
    newest, oldest = steps[0], steps[-1]
    since, until = oldest.parent or objects.empty_tree, newest.commit
    files = len(list(read_listing(await objects.listing(since, until))))
    size = len(await objects.patch(since, until))
    what = f"{files} files, {size:,} bytes, {len(steps)} commit{'s' * (len(steps) > 1)}"
    if files > max_files or size > max_bytes:
        return f"{until[:12]} {oldest.subject[:60]!r} is too large by itself ({what}): split this commit."
    place = "" if until == head else f"at {until[:12]}: "
    return f"{place}muster review --since {since[:12]} ({what})"


def _parts(steps: list[_Step], max_files: int, max_bytes: int) -> Iterator[list[_Step]]:
    """Join neighbouring commits while their sizes and files together fit, which the joined range never exceeds."""
    part: list[_Step] = []
    found, size, headers = 0, 0, frozenset[bytes]()
    for step in steps:
        if part and (size + step.size > max_bytes or len(headers | step.headers) > max_files):
            yield part
            found, part, size, headers = found + 1, [], 0, frozenset()
            if found == _RANGES:
                return
        part, size, headers = [*part, step], size + step.size, headers | step.headers
    if part:
        yield part


def _steps(history: bytes) -> Iterator[_Step]:
    # Lines of a patch begin with a sign or a word of git's; none begins with "commit ".
    for block in (b"\n" + history).split(b"\ncommit ")[1:]:
        first, _, patch = block.partition(b"\n")
        commit, _, rest = first.decode(errors="replace").partition(" ")
        parents, _, subject = rest.partition("\t")
        yield _Step(
            commit=commit,
            parent=parents.split(" ")[0],
            subject=subject,
            size=len(patch),
            headers=frozenset(section.header for section in read_patch(patch)),
        )
