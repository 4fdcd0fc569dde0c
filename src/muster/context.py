"""Which run, or which attempt of it, the code that runs now works for; tasks and threads that it starts inherit it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from muster.model.journal.correlation import Correlation

_WITHIN: ContextVar[Correlation | None] = ContextVar("within", default=None)


def current() -> Correlation | None:
    """What is being worked for; None outside of any run."""
    return _WITHIN.get()


@contextmanager
def within(belongs: Correlation) -> Iterator[None]:
    """Work for ``belongs`` until the end of the block, and then for what was before it."""
    token = _WITHIN.set(belongs)
    try:
        yield
    finally:
        _WITHIN.reset(token)
