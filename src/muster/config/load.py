"""The settings of this machine, project and call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muster.config.layers import environment_layer, file_layer, flag_layer
from muster.config.places import PROJECT_FILE, PROJECT_FOLDER, toplevel, user_folder
from muster.config.resolve import LayerKind, Resolved, resolve
from muster.config.trust import TrustState, trust_state


def find_project(cwd: Path) -> Path:
    """The project's folder: the nearest one at or above ``cwd`` that holds muster.toml or .muster, else the repository.

    Raises:
        NotFoundError: ``cwd`` is in no git repository.
    """
    cwd = cwd.resolve()
    top = toplevel(cwd)
    for folder in (cwd, *cwd.parents):
        if folder == top or (folder / PROJECT_FILE).is_file() or (folder / PROJECT_FOLDER).is_dir():
            return folder
    return top


def load_settings(
    project: Path | None,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, tuple[str, Any]] | None = None,
    trusted: bool | None = None,
) -> Resolved:
    """Read all layers and resolve them; ``required()`` of the result refuses what lacks trust.

    ``flags`` maps a flag to the setting it stands for and its value, which
    counts as not given when None: ``{"--gates": ("run.gates", "open")}``.
    Whether the project is ``trusted`` is looked up where nobody says and something needs it.

    Raises:
        InputError: a file, variable or flag is wrong; the message names it.
    """
    user = user_folder() / "config.toml"
    above = (environment_layer(environ), flag_layer(flags or {}))
    layers = [file_layer(LayerKind.USER, user, f"user file {user}")]
    if project is not None:
        layers.append(file_layer(LayerKind.PROJECT, project / PROJECT_FILE, PROJECT_FILE))
    resolved = resolve([*layers, *above], trusted=bool(trusted))
    if resolved.ignored and trusted is None and project is not None and trust_state(project) is TrustState.TRUSTED:
        return resolve([*layers, *above], trusted=True)
    return resolved
