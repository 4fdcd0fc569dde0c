"""Recovery: whether a run was interrupted, and how much of a damaged journal may go."""

from __future__ import annotations

from collections.abc import Collection

from muster.model.running.state import ENDED


def is_interrupted(state: str, *, held: bool, owner_here: bool, owner_alive: bool, expired: bool) -> bool:
    """Whether a run's owner is gone without having let go; only all signs together say so.

    The run has not ended, its lease was not given back, and whoever holds it is gone: on this machine its process,
    by pid and start time, elsewhere its heartbeat, which is the lease's renewal.

    >>> is_interrupted("start", held=True, owner_here=True, owner_alive=False, expired=False)
    True
    >>> is_interrupted("start", held=True, owner_here=False, owner_alive=False, expired=False)
    False
    """
    gone = not owner_alive if owner_here else expired
    return state not in ENDED and held and gone


def cut_after(good: int, last: int, sound: Collection[int]) -> int | None:
    """After which entry a journal may be cut whose chain holds up to ``good``; None when that would lose sound ones.

    A crash damages the end: nothing behind the damage can be read. ``sound`` are the entries behind ``good`` that
    are as they were written; if there is any, somebody changed the middle, and nobody may repair that unasked.

    >>> cut_after(7, 9, ()), cut_after(7, 9, {9}), cut_after(0, 3, ())
    (7, None, None)
    """
    return good if 0 < good < last and not sound else None
