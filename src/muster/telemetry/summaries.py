"""Where summaries come from: the journal of a project, or files of lines of JSON."""

from __future__ import annotations

import gc
import gzip
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from muster.model.errors import InputError
from muster.model.views.summary import Query, Summing
from muster.model.views.summary_view import Summary, newest_cancel, summary_of
from muster.model.views.told import Told, told, told_of
from muster.ports import Store

# Logs are long and read from their beginning to their end.
_BUFFER = 256 * 1024


def of_files(files: Sequence[Path], query: Query, *, cancel_window: bool = False) -> Summary:
    """The summary of files, read in this order; one that ends in ``.gz`` is read as what it holds.

    Raises:
        InputError: a file cannot be read.
    """
    # What is read makes no circles, and looking for them would take a tenth of the time.
    gc.disable()
    try:
        if cancel_window:
            query = newest_cancel(query, _summed(_lines(files), query))
        return summary_of(_summed(_lines(files), query))
    finally:
        gc.enable()


async def of_store(store: Store, query: Query, *, cancel_window: bool = False) -> Summary:
    """The summary of all runs of a project."""
    if cancel_window:
        query = newest_cancel(query, await _summed_store(store, query))
    return summary_of(await _summed_store(store, query))


def _summed(lines: Iterable[Told | None], query: Query) -> Summing:
    summing = Summing(query)
    summing.take(lines)
    return summing


async def _summed_store(store: Store, query: Query) -> Summing:
    summing, pos = Summing(query), 0
    while page := await store.read_all(pos):
        pos = page[-1].pos
        summing.take(map(told_of, page))
    return summing


def _lines(files: Sequence[Path]) -> Iterator[Told | None]:
    for file in files:
        try:
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb", buffering=_BUFFER) as opened:
                yield from told(opened)
        except (OSError, EOFError) as error:
            raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None
