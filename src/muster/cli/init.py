"""``muster init``: make a repository, or a folder of it, a project."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, json_option

SETTINGS = """\
# Settings of this project for Muster; every key is in docs/reference/settings.md.
# muster config show prints all values and where each comes from.

[run]
# gates = "adaptive"        # open: ask nothing, closed: ask at every boundary
# max_parallel = 4

[reliability]
# auto_retry = false        # true: every task may be tried again, not only those with attempts:
"""


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Write muster.toml here and keep Muster's own folders out of git."""
    import anyio

    made, begun = anyio.run(_prepare)
    if as_json:
        emit({"project": str(Path.cwd()), "created": made})
        return
    for name in made:
        click.echo(f"created {name}")
    if not made:
        click.echo("This is a project already; nothing was changed.")
    if not begun:
        click.echo("first: git add -A && git commit -m 'First commit'; tasks start from a commit")
    click.echo("next: muster plan new, look at the plan.md it makes, then muster run --plan plan.md")


async def _prepare() -> tuple[list[str], bool]:
    from muster.model.errors import InputError
    from muster.workspaces.repository import Repository

    await Repository.discover(Path.cwd())
    # First the file: it is what makes a folder of a bigger repository the project.
    made = _write_settings()
    repository = await Repository.discover(Path.cwd())
    await repository.make_state_folders()
    try:
        await repository.snapshot()
    except InputError:
        return made, False
    return made, True


def _write_settings() -> list[str]:
    place = Path("muster.toml")
    if place.exists() or place.is_symlink():
        return []
    place.write_text(SETTINGS, encoding="utf-8")
    return [place.name]
