"""Roles, teams, workflows and skills of Muster, of this user and of this project, read from their files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from muster.config.places import PROJECT_FOLDER, user_folder
from muster.model.errors import InputError, MusterError, NotFoundError, RefusedError
from muster.model.planning.issues import DocumentError
from muster.model.planning.plan_rules import name_problem
from muster.model.planning.roles import ROLES, Role
from muster.model.planning.workflow import Definitions, Team, Workflow
from muster.model.planning.workflow_document import parse_role, parse_skill, parse_team, parse_workflow, with_skills

MAX_FILES = 500
MAX_BYTES = 256 * 1024
# Folder, end of the file's path, reader.
KINDS: dict[str, tuple[str, Callable[[bytes, str, str], Any]]] = {
    "agents": (".md", parse_role),
    "teams": (".team.md", parse_team),
    "workflows": (".workflow.md", parse_workflow),
    "skills": ("/SKILL.md", parse_skill),
}


def load_definitions(project: Path | None, *, trusted: bool) -> Definitions:
    """All that is defined; a file that cannot be used is named, and the others still count.

    A file of the user takes the place of a built-in one of its name. A file of
    the project does so only in a trusted repository.
    """
    found: dict[str, dict[str, Any]] = {"agents": dict(ROLES), "teams": {}, "workflows": {}, "skills": {}}
    problems: dict[str, str] = {}
    roles: dict[str, Role] = {}
    places: list[tuple[Traversable, str, Path | None]] = [
        (resources.files("muster.config").joinpath("builtin"), "", None),
        (user_folder(), str(user_folder()), None),
    ]
    if project is not None:
        places.append((project / PROJECT_FOLDER, PROJECT_FOLDER, project.resolve()))
    for place, shown, root in places:
        for kind, (end, read) in KINDS.items():
            for name, file in _files(place / kind, end):
                source = f"{shown}/{kind}/{name}{end}" if shown else ""
                try:
                    if root is not None and name in found[kind] and not trusted:
                        raise RefusedError(f"{source}: name: a project replaces {name!r} only after muster trust.")
                    found[kind][name] = read(_data(file, source, root), _name(name, source), source)
                except DocumentError as error:
                    problems[source] = error.issues[0].text(source)
                except MusterError as error:
                    problems[source] = error.message
    for name, role in found["agents"].items():
        try:
            roles[name] = with_skills(role, found["skills"])
        except InputError as error:
            problems[role.origin] = error.message
    return Definitions(
        roles=roles, teams=found["teams"], workflows=found["workflows"], skills=found["skills"], problems=problems
    )


def find_workflow(known: Definitions, name: str, *, trusted: bool) -> Workflow:
    """The workflow of this name.

    Raises:
        NotFoundError: there is none.
        InputError: the file that would define it is wrong.
        RefusedError: it is a project's, has commands, and nobody trusts the project.
    """
    workflow: Workflow = _find(known.workflows, known, "workflow", name)
    if workflow.commands and workflow.origin.startswith(PROJECT_FOLDER) and not trusted:
        commands = ", ".join(f"`{command[:60]}`" for command in workflow.commands[:5])
        raise RefusedError(
            f"{workflow.origin} would run commands of this repository: {commands}.",
            hint="Look at it with muster workflows show; muster trust allows it.",
        )
    return workflow


def find_team(known: Definitions, name: str) -> Team:
    """The team of this name.

    Raises:
        NotFoundError: there is none.
        InputError: the file that would define it is wrong, or one of its roles is unknown.
    """
    team: Team = _find(known.teams, known, "team", name)
    for role in team.roles:
        if role not in known.roles:
            raise InputError(f"{team.origin}: roles.{role}: there is no such role; known: {', '.join(known.roles)}.")
    return team


def _find(found: dict[str, Any], known: Definitions, what: str, name: str) -> Any:
    for file, problem in known.problems.items():
        if Path(file).name.startswith(f"{name}.{what}.md"):
            raise InputError(problem)
    if name not in found:
        names = ", ".join(sorted(found))
        raise NotFoundError(f"There is no {what} {name!r}; known are {names}.", hint=f"muster {what}s list")
    return found[name]


def _name(name: str, source: str) -> str:
    problem = name_problem(name)
    if problem:
        raise InputError(f"{source}: {problem[0]}; allowed: {problem[1]}.")
    return name


def _files(folder: Traversable, end: str) -> list[tuple[str, Traversable]]:
    """The definitions in a folder by name: a file each, or with ``/FILE`` as end a folder each that has this file."""
    inside = end.removeprefix("/") if end.startswith("/") else ""
    try:
        if inside:
            found = [(each.name, each / inside) for each in folder.iterdir() if (each / inside).is_file()]
        else:
            found = [(each.name.removesuffix(end), each) for each in folder.iterdir() if each.name.endswith(end)]
    except OSError:
        return []
    return sorted(found, key=lambda each: each[0])[:MAX_FILES]


def _data(file: Traversable, source: str, root: Path | None) -> bytes:
    if root is not None and not Path(str(file)).resolve().is_relative_to(root):
        raise InputError(f"{source}: leads out of the project.")
    try:
        with file.open("rb") as opened:
            data: bytes = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}.") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{source}: larger than {MAX_BYTES // 1024} KiB.")
    return data
