"""The command line: parse, assemble, run, print; no decisions."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the ``muster`` command and leave with its exit code."""
    from muster.cli.root import run_cli

    sys.exit(run_cli(sys.argv[1:]))
