"""Keeping the traceback of an unexpected failure for whoever can mend it."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path


def crash_file(error: BaseException) -> Path:
    """Write the traceback into ``.muster/state/crash``, or where temporary files go; returns the path."""
    text = "".join(traceback.format_exception(error))
    folder = Path(".muster/state/crash")
    try:
        if not folder.parent.is_dir() or folder.parent.is_symlink():
            raise OSError("no state folder here")
        folder.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=folder)
    except OSError:
        handle, name = tempfile.mkstemp(prefix="muster-crash-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return Path(name)
