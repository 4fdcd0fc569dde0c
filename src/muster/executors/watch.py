"""An attempt while it runs: its output read, its time and its size limited."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import msgspec

from muster.executors.folder import Folder
from muster.executors.tail import Tail
from muster.model.redaction import Redactor
from muster.ports import News, Parser, Tell
from muster.process import Supervised

# Half of this is the median delay of a line; a watched agent costs about 5 ms of CPU a second.
_READ_EVERY_S = 0.05
_LOOK_EVERY_S = 0.25
_LONGEST_TEXT = 64 * 1024


class Watch:
    """Sees one attempt through; afterwards it knows whether a limit ended it."""

    def __init__(self, folder: Folder, timeout_s: float, reader: Tail | None, teller: Teller | None = None) -> None:
        self._teller = teller
        self._folder = folder
        self._timeout_s = timeout_s
        self._reader = reader
        self.timed_out = False
        self.flooded = False

    async def __call__(self, supervised: Supervised) -> None:
        """Return when the leader has ended or a limit is reached."""
        every_s = _READ_EVERY_S if self._reader else _LOOK_EVERY_S
        with anyio.move_on_after(self._timeout_s) as deadline:
            # Most commands are short, and a task group would cost more than they do.
            with anyio.move_on_after(every_s) as first:
                await supervised.wait()
            if first.cancelled_caught:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._look, every_s, group.cancel_scope, name="look")
                    await supervised.wait()
                    group.cancel_scope.cancel()
        self.timed_out = deadline.cancelled_caught

    async def _look(self, every_s: float, scope: anyio.CancelScope) -> None:
        while True:
            await self.catch_up()
            if self._folder.too_big():
                self.flooded = True
                scope.cancel()
            if self._teller and self._teller.stop:
                scope.cancel()
            await anyio.sleep(every_s)

    async def catch_up(self) -> None:
        """Read what there is to read."""
        while self._reader and self._reader.read():
            await anyio.lowlevel.checkpoint()

    async def read_to_end(self) -> None:
        """Read the rest, when nothing can be added any more."""
        await self.catch_up()
        if self._reader:
            self._reader.close()


class Teller:
    """Feeds lines to the parser and tells what it makes of them, without secrets and not too long.

    ``stop`` is set when the dialect sees that its program will not come to an
    end by itself: news with ``stop`` in its data.
    """

    def __init__(self, parser: Parser, redactor: Redactor, tell: Tell) -> None:
        self._parser = parser
        self._redactor = redactor
        self._tell = tell
        self.stop = False

    def __call__(self, line: bytes) -> None:
        """Take one line."""
        try:
            told = tuple(self._parser.feed(line))
        except Exception as problem:  # a dialect from another package must not end the run
            told = (News(kind="notice", ok=False, text=f"A line could not be read: {problem!r}"),)
        for news in told:
            self.stop = self.stop or "stop" in news.data
            self._tell(_clean(news, self._redactor))


def _clean(news: News, redactor: Redactor) -> News:
    text = redactor(news.text)[:_LONGEST_TEXT]
    data = {key: redactor(value)[:_LONGEST_TEXT] for key, value in news.data.items()}
    if text == news.text and data == news.data:
        return news
    return msgspec.structs.replace(news, text=text, data=data)
