"""Which project and settings a command works with."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from muster.config.resolve import Resolved
    from muster.wiring.kit import Kit

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate["Kit", P], Awaitable[T]]


def read_project(work: Work[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Do ``work`` with the project around the current folder, which is only looked at.

    Raises:
        NotFoundError: there is no project here, or nothing was run in it yet.
    """
    return _opened(True, work, *args, **options)


def use_project(work: Work[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Do ``work`` with the project around the current folder, which may be changed."""
    return _opened(False, work, *args, **options)


def read_project_or(nothing: T, work: Work[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Do ``work`` with the project around the current folder; ``nothing`` comes of one in which nothing was run yet."""
    from muster.model.errors import NotFoundError

    try:
        return read_project(work, *args, **options)
    except NotFoundError as error:
        if "git" in error.hint:
            raise
        return nothing


def _opened(read_only: bool, work: Work[P, T], *args: P.args, **options: P.kwargs) -> T:
    import anyio

    from muster.wiring.kit import open_project

    async def opened() -> T:
        async with open_project(Path.cwd(), read_only=read_only) as kit:
            return await work(kit, *args, **options)

    return anyio.run(opened)


def _matching_runs(_ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """The newest runs that a shell may complete to, and how to say the newest of all."""
    from muster.model.errors import MusterError

    async def newest(kit: Kit) -> list[str]:
        return [head.run for head in reversed(await kit.store.runs())]

    try:
        names = ["@last", *read_project_or([], newest)]
    except MusterError:
        return []
    return [name for name in names if name.startswith(begun)][:20]


RUN = click.argument("run", default="@last", shell_complete=_matching_runs)
ANY_RUN = click.argument("run", required=False, shell_complete=_matching_runs)


def find_any_project() -> Path | None:
    """The project around the current folder, if there is one."""
    from muster.config.load import find_project
    from muster.model.errors import NotFoundError

    try:
        return find_project(Path.cwd())
    except NotFoundError:
        return None


def read_settings(flags: Mapping[str, tuple[str, Any]] | None = None) -> tuple[Path | None, Resolved]:
    """The project, if there is one here, and the settings with the given flags on top."""
    from muster.config.load import load_settings

    project = find_any_project()
    return project, load_settings(project, environ=os.environ, flags=flags)
