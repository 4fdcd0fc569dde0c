"""``muster config``: every setting with its value and where it comes from."""

from __future__ import annotations

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option, table


@click.group(cls=Listing)
def config() -> None:
    """Show every setting and where it comes from."""


@config.command()
@click.argument("keys", nargs=-1)
@json_option
def show(keys: tuple[str, ...], as_json: bool) -> None:
    """Print all settings, or those whose key begins with one of KEYS.

    A value in brackets was asked for by muster.toml and is not taken, because
    the repository is not trusted.
    """
    from muster.cli.project import read_settings
    from muster.config.resolve import show as text

    _, resolved = read_settings()
    chosen = [key for key in resolved.sources if not keys or key.startswith(keys)]
    ignored = [found for found in resolved.ignored if not keys or found.key.startswith(keys)]
    if keys and not chosen and not ignored:
        from muster.model.errors import NotFoundError

        raise NotFoundError(f"No setting begins with {' or '.join(map(repr, keys))}.", hint="muster config show")
    if as_json:
        values = {key: {"value": resolved.values[key], "source": resolved.sources[key].label} for key in chosen}
        emit({"settings": values, "ignored": {found.key: found.label for found in ignored}})
        return
    rows = [(key, text(resolved.values[key]), resolved.sources[key].label) for key in chosen]
    rows += [(found.key, "(not taken)", f"{found.label}, needs: muster trust") for found in ignored]
    table(("SETTING", "VALUE", "SOURCE"), rows)
