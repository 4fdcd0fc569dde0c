"""``muster salvage``: work that was saved before its worktree was removed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option
from muster.cli.project import ANY_RUN, read_project

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


@click.group(cls=Listing)
def salvage() -> None:
    """List, show and restore saved work: nothing that a task wrote is thrown away."""


@salvage.command("ls")
@ANY_RUN
@json_option
def ls(run: str | None, as_json: bool) -> None:
    """List what was saved, of RUN or of all runs."""
    rows = read_project(_ls, run)
    if as_json:
        emit({"salvage": rows})
    elif rows:
        from muster.cli.output import table

        table(["NAME", "COMMIT", "SAVED AT"], [(row["name"], row["commit"][:9], row["at"]) for row in rows])
    else:
        click.echo("Nothing had to be saved.")


async def _ls(kit: Kit, run: str | None) -> list[dict[str, str]]:
    from muster.operations.runs import find_run
    from muster.wiring.parts import repository_of

    wanted = await find_run(kit.store, run) if run else ""
    saved = await (await repository_of(kit)).salvages(wanted)
    return [{"name": s.name, "ref": s.ref, "commit": s.commit, "subject": s.subject, "at": s.at} for s in saved]


@salvage.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show saved work as a patch; NAME is what ls prints."""
    import anyio

    sys.stdout.buffer.write(anyio.run(_show, name))


async def _show(name: str) -> bytes:
    from muster.workspaces.repository import Repository

    return await (await Repository.discover(Path.cwd())).show_salvage(name)


@salvage.command("restore")
@click.argument("name")
@click.option("--branch", required=True, help="The branch to make; it must not exist.")
@json_option
def restore(name: str, branch: str, as_json: bool) -> None:
    """Make a branch of saved work, touching nothing else."""
    import anyio

    ref = anyio.run(_restore, name, branch)
    if as_json:
        emit({"ref": ref})
    else:
        click.echo(f"{ref} holds it now; git switch {branch} goes there.")


async def _restore(name: str, branch: str) -> str:
    from muster.workspaces.repository import Repository

    return await (await Repository.discover(Path.cwd())).restore_salvage(name, branch)
