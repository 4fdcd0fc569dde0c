"""What a process wrote, kept without its secrets."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from muster.model.plan import FileRef
from muster.model.redaction import Redactor

SIZE_LIMIT = 256 * 1024 * 1024
SMALL = 256 * 1024
_BLOCK = 128 * 1024
# Read before the part that is wanted, so that no secret is cut at its beginning.
_MARGIN = 64 * 1024


def keep(raw: Path, log: Path, redactor: Redactor, *, keep_raw: bool, base: Path) -> FileRef | None:
    """Turn the raw file into a redacted one and refer to it relative to ``base``; None when nothing was written.

    It may be done again, by us or by whoever comes after us, and at any point in between.
    """
    with suppress(FileNotFoundError):
        size = raw.stat().st_size
        if size == 0:
            return None
        if size <= SMALL:
            data = raw.read_bytes()
            clean = redactor(data)
            if clean is data and not keep_raw:
                raw.replace(log)
            else:
                _write(log, iter((clean,)))
            _remove(raw, keep_raw)
            return _ref(log, base, len(clean), hashlib.sha256(clean).hexdigest())
        _write(log, redactor.stream(_blocks(raw)))
        _remove(raw, keep_raw)
    if not log.exists():
        return None
    digest = hashlib.sha256()
    for block in _blocks(log):
        digest.update(block)
    return _ref(log, base, log.stat().st_size, digest.hexdigest())


def last_bytes(path: Path, redactor: Redactor, count: int) -> bytes:
    """The redacted end of a file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            if not file.tell():
                return b""
            file.seek(max(0, file.tell() - count - _MARGIN))
            return redactor(file.read(count + _MARGIN))[-count:]
    except OSError:
        return b""


def _blocks(path: Path) -> Iterator[bytes]:
    left = SIZE_LIMIT
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            left -= len(block)
            yield block
        if file.read(1):
            yield b"\n[the rest is left out: a transcript ends at %d MiB]\n" % (SIZE_LIMIT >> 20)


def _write(path: Path, blocks: Iterator[bytes]) -> None:
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.writelines(blocks)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _remove(raw: Path, keep_raw: bool) -> None:
    if not keep_raw:
        raw.unlink(missing_ok=True)


def _ref(log: Path, base: Path, size: int, sha256: str) -> FileRef:
    return FileRef(path=log.relative_to(base).as_posix(), size=size, sha256=sha256)
