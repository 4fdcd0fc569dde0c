"""The profiles and the model table of this user and project, read from their files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from muster.config.layers import read_text
from muster.config.places import PROJECT_FOLDER, user_folder
from muster.config.resolve import LayerKind, Resolved
from muster.config.settings import AgentSettings
from muster.model.errors import InputError
from muster.model.planning.profiles import BUILT_IN_PROFILES, Profile, ProfileChoice, read_profile
from muster.model.planning.profiles import choose_profile as choose
from muster.model.planning.tiers import ModelTable, merge_tables, read_table, tiers
from muster.model.record import Record

MAX_FILES = 1000


class Profiles(Record, frozen=True):
    """All profiles by name, and why a file could not be taken, by file."""

    profiles: dict[str, Profile]
    problems: dict[str, str] = {}


def load_profiles(project: Path | None, table: ModelTable) -> Profiles:
    """The built-in profiles, then the user's, then the project's; one of the same name wins over those before."""
    profiles, problems = dict(BUILT_IN_PROFILES), dict[str, str]()
    known = tiers(table)
    for folder, name, root in _folders(project):
        for path in _files(folder, name, problems):
            shown = f"{name}/{path.name}"
            try:
                if root is not None and not path.resolve().is_relative_to(root):
                    raise InputError(f"{shown}: leads out of the project.")
                profile = read_profile(path.stem, read_yaml(path, shown), shown, known)
            except InputError as error:
                problems[shown] = error.message
            else:
                profiles[profile.name] = profile
    return Profiles(profiles=profiles, problems=problems)


def choose_profile(
    project: Path | None, *, resolved: Resolved, flag: str | None = None, frontmatter: str = ""
) -> ProfileChoice:
    """The profile of a run: of the flag, else of the plan's front matter when it is gone on with, else of the settings.

    Raises:
        InputError: it is unknown, or a file that would define it is wrong.
    """
    loaded = load_profiles(project, load_models(resolved.settings.agents.named))
    name, kind = resolved.settings.default_profile, resolved.sources["default_profile"].kind
    if kind is LayerKind.FLAG:
        flag = flag or name
    wanted = flag or frontmatter or name
    # Said also where a built-in profile has this name: the file was meant to replace it.
    for file, problem in loaded.problems.items():
        if Path(file).stem == wanted:
            raise InputError(problem)
    return choose(
        loaded.profiles,
        flag=flag or "",
        frontmatter=frontmatter,
        env=name if kind is LayerKind.ENVIRONMENT else "",
        config=name if kind in (LayerKind.USER, LayerKind.PROJECT) else "",
    )


def load_models(agents: Mapping[str, AgentSettings] | None = None) -> ModelTable:
    """The built-in model table, then the user's file, then what the settings of the agents say.

    Raises:
        InputError: the user's file is not a model table.
    """
    own = user_folder() / "models.yaml"
    return merge_tables(
        (
            read_table(
                yaml.safe_load(resources.files("muster.config").joinpath("models.yaml").read_text()), "built in"
            ),
            read_table(read_yaml(own, str(own)), str(own)),
            {name: agent.models for name, agent in (agents or {}).items() if agent.models},
        )
    )


def read_yaml(path: Path, name: str) -> Any:
    """What a YAML file holds; None when it is empty or not there.

    Raises:
        InputError: it cannot be read; the message names file and line.
    """
    text = read_text(path, name)
    try:
        return yaml.safe_load(text) if text is not None else None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{name}{line}: this is not YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: this is not YAML: {' '.join(str(error).split())}.") from None


def new_profile(folder: Path, name: str, base: Profile) -> Path:
    """Write a profile file that starts as a copy of ``base``; never over one that is there.

    Raises:
        InputError: the name is not allowed or taken.
    """
    entries = [{"phase": phase, "model": model} for phase, model in base.phase_models.items()]
    path = folder / f"{name}.yaml"
    read_profile(name, {"phase_models": entries}, path.name, base.phase_models.values())
    text = yaml.safe_dump({"description": f"Like {base.name}.", "phase_models": entries}, sort_keys=False)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path} exists already.") from None
    return path


def _folders(project: Path | None) -> list[tuple[Path, str, Path | None]]:
    """Each folder with its name for messages and the folder that its files may not lead out of."""
    user = user_folder() / "profiles"
    folders: list[tuple[Path, str, Path | None]] = [(user, str(user), None)]
    if project is not None:
        folders.append((project / PROJECT_FOLDER / "profiles", f"{PROJECT_FOLDER}/profiles", project.resolve()))
    return folders


def _files(folder: Path, name: str, problems: dict[str, str]) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems[name] = f"{name}: cannot be read: {error.strerror}."
        return []
    if len(found) > MAX_FILES:
        problems[name] = f"{name}: more than {MAX_FILES} files; only the first are read."
    return found[:MAX_FILES]
