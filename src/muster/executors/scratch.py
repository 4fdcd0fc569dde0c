"""A private folder for an attempt's temporary files, with a path short enough for sockets."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio.to_thread

# A unix socket's path may have 107 bytes, and programs like to add long names of their own.
_LONGEST_BASE = 40


def scratch_path(marker: str) -> Path:
    """Where the scratch folder of an attempt is: the same for whoever adopts or sweeps the attempt."""
    base = tempfile.gettempdir()
    if len(base) > _LONGEST_BASE:
        base = "/tmp"
    name = hashlib.sha256(marker.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return Path(base) / f"muster-{name}"


def make_scratch(path: Path) -> Path:
    """Make the folder, for this user alone and empty; another place is used if somebody sits on the name."""
    try:
        path.mkdir(0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return Path(tempfile.mkdtemp(prefix="muster-", dir=path.parent))
        remove_scratch(path)
        path.mkdir(0o700)
    return path


def is_empty(path: Path) -> bool:
    """Whether removing it is quick."""
    with suppress(OSError), os.scandir(path) as entries:
        return next(entries, None) is None
    return True


async def clear_scratch(marker: str) -> None:
    """Remove what an attempt left of its scratch folder; only what may take long is worth a thread."""
    if is_empty(path := scratch_path(marker)):
        remove_scratch(path)
    else:
        await anyio.to_thread.run_sync(remove_scratch, path)


def remove_scratch(path: Path) -> None:
    """Remove the folder and all in it, also what was made read-only."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(path, onerror=_unlock)


def _unlock(retry: Callable[..., object], name: str, _: object) -> None:
    with suppress(OSError):
        Path(name).parent.chmod(0o700)
        if not Path(name).is_symlink():
            Path(name).chmod(0o700)
        retry(name)
