"""The lines of JSON that an ACP agent and its peer write."""

from __future__ import annotations

import json
import os
from typing import Any


def tell(what: str, **more: object) -> None:
    """Write a line of our own."""
    write_out(json.dumps({"bridge": what, **more}).encode() + b"\n")


def write_out(data: bytes) -> None:
    """Write to stdout, whole and unbuffered; when nobody reads it any more, go on."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except OSError:
            return


def frames_in(line: bytes) -> tuple[dict[str, Any], ...]:
    """The frame in a line, if it is one; agents print other things too."""
    try:
        frame = json.loads(line.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return ()
    return (frame,) if isinstance(frame, dict) and ("method" in frame or "id" in frame) else ()
