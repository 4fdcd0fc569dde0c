"""Two things at once, with their errors as they are and not in a group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

A = TypeVar("A")
B = TypeVar("B")


async def both(first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Wait for both results; the first error cancels the other and is raised."""
    left: list[A] = []
    right: list[B] = []

    async def run_first() -> None:
        left.append(await first())

    async def run_second() -> None:
        right.append(await second())

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(run_first)
            group.start_soon(run_second)
    except BaseExceptionGroup as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return left[0], right[0]
