"""Which project and settings a command works with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muster.config.load import find_project, load_settings
from muster.config.resolve import Resolved
from muster.model.errors import NotFoundError


def read_settings(flags: Mapping[str, tuple[str, Any]] | None = None) -> tuple[Path | None, Resolved]:
    """The project, if there is one here, and the settings with the given flags on top."""
    try:
        project = find_project(Path.cwd())
    except NotFoundError:
        project = None
    return project, load_settings(project, environ=os.environ, flags=flags)
