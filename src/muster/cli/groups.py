"""Groups of commands that may be called without one: they list, or do their first."""

from __future__ import annotations

import click

_SAME = {"ls": "list", "list": "ls"}


class Listing(click.Group):
    """A group that lists when no command is named, or else runs its first; `ls` and `list` are the same."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command before arguments that name none."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [next((name for name in self.commands if name in _SAME), next(iter(self.commands))), *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find the command, also by its other name."""
        return self.commands.get(cmd_name) or self.commands.get(_SAME.get(cmd_name, ""))
