"""A process that uses a journal: ``store_process.py PATH COMMAND …``, for tests that need real ones."""

import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio

from muster.model.errors import MusterError, StaleWriterError
from muster.model.journal.entries import Draft
from muster.model.journal.events import AgentSaid, TaskSkipped, TaskSucceeded
from muster.ports import Message
from muster.stores.sqlite import SqliteStore

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def say(*words: object) -> None:
    """Print a line in one write, so that a kill cannot tear it."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def append(store: SqliteStore, run: str, writer: str, number: str) -> None:
    """Append ``number`` entries where the run stands, as quickly as the others let us."""
    for done in range(int(number)):
        draft = Draft(event=TaskSkipped(task=writer, reason=str(done)), at=NOW)
        while True:
            seq = next((head.seq for head in await store.runs() if head.run == run), 0)
            with contextlib.suppress(StaleWriterError):
                await store.append(run, seq, [draft])
                break


async def acknowledge(store: SqliteStore, run: str) -> None:
    """Append groups of entries for ever, taking a message now and then, and tell what was acknowledged."""
    seq = next((head.seq for head in await store.runs() if head.run == run), 0)
    while True:
        drafts = [Draft(event=TaskSucceeded(task=f"T{seq}-{n}"), at=NOW) for n in range(1 + seq % 4)]
        message = Message(id=str(seq), run=run, kind="note", sender="test", at=NOW)
        await store.post(message)
        seq = (await store.append(run, seq, drafts, consumed=[message.id]))[-1].seq
        say(seq)


async def post(store: SqliteStore, run: str, id_: str) -> None:
    await store.post(Message(id=id_, run=run, kind="note", sender="test", at=NOW))


async def fill(store: SqliteStore, run: str) -> None:
    """Append until the disk refuses; then say why, wait for a line of input, and append once more."""
    seq = next((head.seq for head in await store.runs() if head.run == run), 0)
    big = [Draft(event=AgentSaid(task="T1", attempt=1, text="x" * 20_000), at=NOW)] * 3
    small = [Draft(event=TaskSucceeded(task="T1"), at=NOW)]
    say("begun")
    try:
        while True:
            seq = (await store.append(run, seq, big + small))[-1].seq
    except MusterError as error:
        say(type(error).__name__, seq, error)
    sys.stdin.readline()
    say("again", (await store.append(run, seq, small))[-1].seq)


async def count(store: SqliteStore, run: str) -> None:
    say(len(await store.read(run)))


COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {
    "append": append,
    "acknowledge": acknowledge,
    "post": post,
    "fill": fill,
    "count": count,
}


async def main(path: str, command: str, *arguments: str) -> None:
    store = await SqliteStore.open(Path(path), read_only=command == "count")
    try:
        await COMMANDS[command](store, *arguments)
    finally:
        await store.close()


if __name__ == "__main__":
    try:
        anyio.run(main, *sys.argv[1:])
    except MusterError as problem:
        say(type(problem).__name__, problem)
        sys.exit(problem.exit_code)
