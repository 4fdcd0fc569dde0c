"""Options that several commands have, each said in one way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

GATES = click.option(
    "--gates",
    type=click.Choice(["open", "closed", "adaptive"]),
    help="open: ask nothing; closed: ask at every boundary; adaptive, the default: where it matters.",
)
PROFILE = click.option(
    "--profile", metavar="NAME", help="Which models work: economy, balanced, premium or your own; see muster profile."
)
INPUT = click.option("--no-input", is_flag=True, help="Never ask here; a gate parks the run and exits with 3.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print nothing while it runs.")
MESSAGE = click.option(
    "-m", "--message", "messages", multiple=True, metavar="TEXT", help="What is wanted; again for more."
)
WHY = click.option("-m", "--message", "why", default="", help="Why; it is kept in the journal.")
GO = click.option("--continue", "go", is_flag=True, help="If nobody drives the run, go on with it right here.")


def reuse_option(*, default: bool) -> Callable[[Any], Any]:
    """Whether what is in research/ for the same brief is taken, or found out anew."""
    words = "Take the answers in research/ that are for the same brief, or research anew."
    return click.option("--reuse/--again", default=default, show_default=True, help=words)
