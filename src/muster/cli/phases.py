"""``muster research`` and ``muster execute``: one phase of the pipeline at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.options import GATES, INPUT, MESSAGE, PROFILE
from muster.cli.output import json_option, jsonl_option
from muster.cli.run import run

SLUG = click.option("--project", "slug", metavar="SLUG", help="The project in .muster/projects.")
_WORDS = (
    click.argument("brief", required=False, type=click.Path(path_type=Path)),
    MESSAGE,
    click.option("-w", "--workflow", metavar="NAME", help="The workflow whose steps are taken (default: pipeline)."),
    SLUG,
    GATES,
    PROFILE,
    INPUT,
    json_option,
    jsonl_option,
)


def words_options(command: Any) -> Any:
    """The options of a phase that begins with a person's words or with the brief of a project."""
    for option in reversed(_WORDS):
        command = option(command)
    return command


@click.command()
@words_options
@click.pass_context
def research(ctx: click.Context, /, workflow: str | None, **options: Any) -> None:
    """Research what BRIEF, TEXT or the project's brief asks for; the answers are kept in its folder research/."""
    ctx.invoke(run, workflow=workflow or "pipeline", until="research", **options)


@click.command()
@SLUG
@GATES
@PROFILE
@INPUT
@json_option
@jsonl_option
@click.pass_context
def execute(ctx: click.Context, /, **options: Any) -> None:
    """Run the plan of a project: the same as muster run --project SLUG."""
    ctx.invoke(run, **options)
