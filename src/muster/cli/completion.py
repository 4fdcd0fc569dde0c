"""``muster completion``: what a shell needs to complete commands."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the completion script for a shell.

    \b
    bash:  eval "$(muster completion bash)"
    zsh:   eval "$(muster completion zsh)"
    fish:  muster completion fish | source
    """
    from click.shell_completion import get_completion_class

    from muster.cli.root import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(kind(cli, {}, "muster", "_MUSTER_COMPLETE").source())
