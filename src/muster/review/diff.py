"""Git's raw records, numbers and patches, read as bytes: no file is lost whatever the patch says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from muster.model.findings import Change, Hunk
from muster.model.record import Record

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_UNQUOTABLE = re.compile(r'[\x00-\x1f\x7f"\\]')
_NAMED = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}
_NAMED |= {'"': '\\"', "\\": "\\\\"}


class Section(Record, frozen=True):
    """What a patch says of one file: its first line and its hunks."""

    header: bytes
    hunks: tuple[Hunk, ...]


def read_changes(listing: bytes, patch: bytes) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The changes of a range, and the paths whose hunks and numbers disagree.

    ``listing`` is what ``--raw --numstat -z`` prints, ``patch`` what ``-p``
    prints. Every file of the listing is in the result, once.
    """
    sections = list(read_patch(patch))
    found, disagreeing, at = [], [], 0
    for change in read_listing(listing):
        headers = _headers(change)
        at = next((n for n in range(at, len(sections)) if sections[n].header in headers), at)
        hunks: tuple[Hunk, ...] = ()
        # A file that changes its type is taken away and made again: two sections with the same first line.
        while at < len(sections) and sections[at].header in headers:
            hunks += sections[at].hunks
            at += 1
        added = sum(line.startswith(b"+") for hunk in hunks for line in hunk.lines)
        deleted = sum(line.startswith(b"-") for hunk in hunks for line in hunk.lines)
        if (added, deleted) != (change.added or 0, change.deleted or 0):
            disagreeing.append(change.path)
        found.append(_with_hunks(change, hunks))
    return tuple(found), tuple(disagreeing)


def read_listing(data: bytes) -> Iterator[Change]:
    """The files of ``git diff-tree --raw --numstat -z``, without hunks."""
    fields = data.decode("utf-8", "surrogateescape").split("\0")
    raw: list[list[str]] = []
    at = 0
    while at + 1 < len(fields) and fields[at].startswith(":"):
        words = fields[at][1:].split(" ")
        names = 2 if words[-1][:1] in ("R", "C") else 1
        raw.append([*words[:4], words[-1][:1], *fields[at + 1 : at + 1 + names]])
        at += 1 + names
    numbers: dict[str, tuple[int | None, int | None]] = {}
    while at < len(fields):
        added, _, rest = fields[at].partition("\t")
        deleted, _, path = rest.partition("\t")
        if not path and at + 2 < len(fields):
            path = fields[at + 2]
            at += 2
        numbers[path] = _number(added), _number(deleted)
        at += 1
    for old_mode, mode, old_blob, blob, status, *paths in raw:
        added_lines, deleted_lines = numbers.get(paths[-1], (0, 0))
        yield Change(
            status=status,
            path=paths[-1],
            old_path=paths[0] if len(paths) > 1 else "",
            old_mode="" if not old_mode.strip("0") else old_mode,
            mode="" if not mode.strip("0") else mode,
            old_blob="" if not old_blob.strip("0") else old_blob,
            blob="" if not blob.strip("0") else blob,
            added=added_lines,
            deleted=deleted_lines,
        )


def read_patch(patch: bytes) -> Iterator[Section]:
    """The sections of a patch; lines that belong to no hunk are passed over."""
    header: bytes | None = None
    hunks: list[Hunk] = []
    lines = patch.split(b"\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith(b"diff --git "):
            if header is not None:
                yield Section(header=header, hunks=tuple(hunks))
            header, hunks = line, []
        elif line.startswith(b"@@ ") and (found := _HUNK.match(line)):
            hunk, at = _read_hunk(found, lines, at)
            hunks.append(hunk)
    if header is not None:
        yield Section(header=header, hunks=tuple(hunks))


def _read_hunk(found: re.Match[bytes], lines: list[bytes], at: int) -> tuple[Hunk, int]:
    old_start, old_count, new_start, new_count = (1 if part is None else int(part) for part in found.groups())
    old_left, new_left, start, notes = old_count, new_count, at, False
    while (old_left > 0 or new_left > 0) and at < len(lines):
        sign = lines[at][:1]
        if sign == b"+":
            new_left -= 1
        elif sign == b"-":
            old_left -= 1
        elif sign == b" ":
            old_left, new_left = old_left - 1, new_left - 1
        elif sign == b"\\":  # "\ No newline at end of file"
            notes = True
        else:
            break
        at += 1
    body = lines[start:at]
    hunk = Hunk(
        old_start=old_start,
        old_count=old_count,
        new_start=new_start,
        new_count=new_count,
        lines=tuple(line for line in body if line[:1] != b"\\") if notes else tuple(body),
    )
    return hunk, at


def added_lines(change: Change) -> Iterator[tuple[int, bytes]]:
    """The added lines of a change with their numbers in the new file."""
    for hunk in change.hunks:
        number = hunk.new_start
        for line in hunk.lines:
            if line.startswith(b"+"):
                yield number, line[1:]
            number += not line.startswith(b"-")


def _headers(change: Change) -> tuple[bytes, ...]:
    old, new = change.old_path or change.path, change.path
    return (f"diff --git {_quoted('a/' + old)} {_quoted('b/' + new)}".encode("utf-8", "surrogateescape"),)


def _quoted(name: str) -> str:
    r"""A name as git writes it into a patch while core.quotePath is off.

    >>> print(_quoted("a/naïve name"), _quoted(f"a/bell{chr(7)}"))
    a/naïve name "a/bell\a"
    """
    if not _UNQUOTABLE.search(name):
        return name
    return '"' + _UNQUOTABLE.sub(lambda found: _NAMED.get(found[0], f"\\{ord(found[0]):03o}"), name) + '"'


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _with_hunks(change: Change, hunks: tuple[Hunk, ...]) -> Change:
    import msgspec

    return msgspec.structs.replace(change, hunks=hunks)
