"""Metrics as a file for the node exporter's textfile collector.

The folder may be one that others can write to, so nothing there is followed
or trusted: every part of its path is opened without following links, the
text goes to a new file in the opened folder, and takes its name when it is
complete (CWE-22, CWE-59).
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from muster.model.errors import InputError, RefusedError
from muster.model.views.metric_snapshot import MetricsSnapshot
from muster.ports import Destination
from muster.telemetry.prometheus_text import render

FILE = "muster.prom"

# Passing through a folder needs no right to list it where the system knows such a way to open one.
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_THROUGH = _FOLDER | getattr(os, "O_PATH", os.O_RDONLY)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TextfileExporter:
    """Keeps one file up to date; readers see the last text or the next one, never a part."""

    name = "textfile"

    def __init__(self, destination: Destination) -> None:
        if not destination.textfile_dir:
            raise InputError("The export mode textfile needs a folder.", hint="Set MUSTER_TEXTFILE_DIR.")
        self._path = checked(Path(destination.textfile_dir).expanduser() / FILE)

    def export(self, snapshot: MetricsSnapshot) -> None:
        """Write what the metrics are now."""
        write_prom(self._path, render(snapshot))

    def close(self) -> None:
        """Nothing is kept open."""


def checked(path: Path) -> Path:
    """The path, if a textfile can be there.

    Raises:
        InputError: it is relative, holds ``..`` or has another suffix.
    """
    if path.suffix != ".prom":
        raise InputError(f"{path}: the name of a textfile must end in .prom.")
    if not path.is_absolute() or ".." in path.parts:
        raise InputError(f"{path}: the path of a textfile must be absolute and without '..'.")
    return path


def write_prom(path: Path, text: str) -> None:
    """Replace a ``.prom`` file that everybody may read.

    Raises:
        InputError: see `checked`.
        RefusedError: the folder, a part of its path or the file is a link, or the file is no plain one.
        OSError: the folder is not there or cannot be written to.
    """
    checked(path)
    folder = _open(path.parent)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise RefusedError(f"{path} is a link or no plain file, and is left alone.")
        _replace(folder, path.name, text.encode("utf-8", "replace"))
    finally:
        os.close(folder)


def _open(folder: Path) -> int:
    opened = os.open(folder.anchor, _FOLDER)
    parts = folder.parts[1:]
    for at, part in enumerate(parts):
        try:
            inner = os.open(part, _FOLDER if at + 1 == len(parts) else _THROUGH, dir_fd=opened)
        except OSError:
            with suppress(FileNotFoundError):
                if stat.S_ISLNK(os.stat(part, dir_fd=opened, follow_symlinks=False).st_mode):
                    link = folder.parents[len(parts) - at - 2] if at + 1 < len(parts) else folder
                    raise RefusedError(f"{link} is a link, and nothing is written behind it.") from None
            raise
        finally:
            os.close(opened)
        opened = inner
    return opened


def _replace(folder: int, name: str, data: bytes) -> None:
    # The collector reads *.prom only, so it does not see this one.
    new = f".{name}.{secrets.token_hex(8)}"
    with os.fdopen(os.open(new, _NEW, 0o600, dir_fd=folder), "wb") as file:
        try:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(new, dir_fd=folder)
            raise
    os.fsync(folder)
