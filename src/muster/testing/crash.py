"""Runs the command line and kills it with SIGKILL at one append to the journal: ``python -m muster.testing.crash``.

The arguments are the number of the append (from 1), ``before`` or ``after``,
and the command. With 0 nothing is killed, and the last line on the standard
error is how many appends there were. Nothing in the product knows about this: the append of the
store is wrapped from here.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from runpy import run_module
from typing import Any

from muster.stores.sqlite.store import SqliteStore


def arm(number: int, when: str) -> None:
    """Kill this process right before or right after the ``number``-th append is durable; with 0, only count them."""
    append = SqliteStore.append
    seen = 0

    async def counted(self: SqliteStore, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        mine = seen
        if mine == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await append(self, *args, **kwargs)
        if mine == number and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    SqliteStore.append = counted  # type: ignore[method-assign]
    if number == 0:
        atexit.register(lambda: print(seen, file=sys.stderr))


def main() -> None:
    """Arm the trap and run the command that follows."""
    number, when, *command = sys.argv[1:]
    arm(int(number), when)
    sys.argv = ["muster", *command]
    run_module("muster", run_name="__main__")


if __name__ == "__main__":
    main()
