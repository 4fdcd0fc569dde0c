"""``muster version``: what is needed to understand a report of somebody else's machine."""

from __future__ import annotations

import click

from muster import __version__
from muster.cli.output import emit, json_option


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show versions."""
    import platform
    import sqlite3

    from muster.cli.checks import git_version
    from muster.model.errors import EnvironmentProblem

    try:
        git = ".".join(map(str, git_version()))
    except EnvironmentProblem:
        git = "not found"
    facts = {
        "muster": __version__,
        "python": platform.python_version(),
        "git": git,
        "sqlite": sqlite3.sqlite_version,
        "platform": platform.platform(),
    }
    if as_json:
        emit(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<9} {value}")
