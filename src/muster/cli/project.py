"""Which project and settings a command works with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muster.config.load import find_project, load_settings
from muster.config.resolve import Resolved
from muster.model.errors import NotFoundError


def find_any_project() -> Path | None:
    """The project around the current folder, if there is one."""
    try:
        return find_project(Path.cwd())
    except NotFoundError:
        return None


def read_settings(flags: Mapping[str, tuple[str, Any]] | None = None) -> tuple[Path | None, Resolved]:
    """The project, if there is one here, and the settings with the given flags on top."""
    project = find_any_project()
    return project, load_settings(project, environ=os.environ, flags=flags)
