"""``muster gc``: remove leftovers of runs that have ended."""

from __future__ import annotations

import click

from muster.cli.output import emit, json_option
from muster.cli.project import use_project


@click.command()
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def gc(dry_run: bool, as_json: bool) -> None:
    """Remove worktrees of ended runs; what they hold is salvaged first. Journals, refs and reports stay."""
    from muster.operations.mending import collect_garbage

    removed = use_project(collect_garbage, dry_run=dry_run)
    if as_json:
        emit({"removed": removed, "dry_run": dry_run})
        return
    for name in removed:
        click.echo(f"{'would remove' if dry_run else 'removed'} {name}")
    if not removed:
        click.echo("Nothing to remove.")
