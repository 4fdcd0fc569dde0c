"""Proposes ranges that are small enough to review, when one is too large."""

from __future__ import annotations

from collections.abc import Iterator

from muster.model.errors import EnvironmentProblem, TooMuchOutput
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
    committed: bool = True


async def suggest(
    objects: Objects, before: str, head: str, tree: str, max_files: int, max_bytes: int
) -> tuple[str, ...]:
    """Ranges of the newest commits that fit, newest first; each one was measured.

    ``tree`` is that of uncommitted changes, which go with the newest range, or empty.
    """
    if not head:
        return ("Nothing is committed yet: commit in smaller parts, and review each.",)
    try:
        steps = [await _uncommitted(objects, head, tree)] if tree else []
        steps += _steps(await objects.history(before, head, _COMMITS))
        parts = _parts(steps, max_files, max_bytes)
        return tuple([await _line(objects, part, tree or head, max_files, max_bytes) for part in parts])
    except EnvironmentProblem:
        return ("The history could not be read: name a commit closer to HEAD with --since.",)
    except TooMuchOutput:
        return ("What changed is too long to be measured: commit in smaller parts, and review each.",)


async def _uncommitted(objects: Objects, head: str, tree: str) -> _Step:
    patch = await objects.patch(head, tree)
    headers = frozenset(section.header for section in read_patch(patch))
    return _Step(commit=tree, parent=head, subject="", size=len(patch), headers=headers, committed=False)


async def _line(objects: Objects, steps: list[_Step], end: str, max_files: int, max_bytes: int) -> str:
    newest, oldest = steps[0], steps[-1]
    since, until = oldest.parent or objects.empty_tree, newest.commit
    files = len(list(read_listing(await objects.listing(since, until))))
    size = len(await objects.patch(since, until))
    commits = sum(step.committed for step in steps)
    parts = [f"{files} file{'s' * (files != 1)}", f"{size:,} bytes"]
    parts += [f"{commits} commit{'s' * (commits > 1)}"] * bool(commits)
    what = ", ".join(parts + ["uncommitted changes"] * (not newest.committed))
    if files > max_files or size > max_bytes:
        if not commits:
            return f"What is not committed is too large by itself ({what}): commit it in parts, and review each."
        return f"{until[:12]} {oldest.subject[:60]!r} is too large by itself ({what}): split this commit."
    place = "" if until == end else f"at {until[:12]}: "
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
