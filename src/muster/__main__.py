"""``python -m muster``: the same as the command."""

from muster.cli import main

main()
