"""``muster version``: what is needed to understand a report of somebody else's machine."""

from __future__ import annotations

import click

from muster.cli.output import emit, json_option


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show versions."""
    from muster.diagnostics.checks import versions

    facts = versions()
    if as_json:
        emit(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<9} {value}")
