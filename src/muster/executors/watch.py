"""An attempt while it runs: its output read, its signs of life noticed, its time and its size limited."""

from __future__ import annotations

from datetime import datetime, timedelta

import anyio
import anyio.lowlevel
import msgspec

from muster.executors.folder import Folder
from muster.executors.prices import priced
from muster.executors.tail import LONGEST_LINE, Tail
from muster.executors.transcript import SIZE_LIMIT
from muster.model.redaction import Redactor
from muster.ports import Clock, Exit, Heartbeat, News, Parser, Tell
from muster.process import Activity, Ended, Supervised

# Half of this is the median delay of a line; a watched agent costs about 5 ms of CPU a second.
_READ_EVERY_S = 0.05
_LOOK_EVERY_S = 0.25
# Only a silent attempt is asked what its processes do, and that costs about 0.1 ms a process.
_ACTIVITY_EVERY_S = 1.0
_LONGEST_TEXT = 64 * 1024
# What an agent does after an answer of its model that was not the last one.
_GOES_ON = ("text", "thought", "tool_started")


class Watch:
    """Sees one attempt through; afterwards it knows whether a limit ended it."""

    def __init__(
        self,
        folder: Folder,
        timeout_s: float,
        clock: Clock,
        teller: Teller | None = None,
        *,
        stall_timeout_s: float = 0.0,
    ) -> None:
        self._teller = teller
        self._clock = clock
        self._stall_timeout_s = stall_timeout_s
        self._supervised: Supervised | None = None
        self._sizes = (0, 0)
        self._activity: Activity | None = None
        self._news_at = self._active_at = self._looked_at = self._noted_at = clock.monotonic()
        self._folder = folder
        self._timeout_s = timeout_s
        self._reader = Tail(folder.readable, teller) if teller else None
        self.timed_out = False
        self.flooded = False
        self.stalled = False

    async def __call__(self, supervised: Supervised) -> None:
        """Return when the leader has ended or a limit is reached."""
        self._supervised = supervised
        try:
            await self._see_through(supervised)
        finally:
            self._supervised = None

    def exit(self, ended: Ended) -> Exit:
        """How the process ended, for its dialect."""
        return Exit(code=ended.code, signal=ended.signal, at=self._clock.now().astimezone())

    def beat(self, now: datetime) -> Heartbeat:
        """The newest signs of life; while there is no process to look at, we are at work ourselves."""
        if self._supervised is None:
            return Heartbeat(last_seen=now.isoformat(), evidence={"process": "none yet, or none any more"})
        alive, since = self._supervised.alive, self._clock.monotonic()
        # Ages are measured on the clock that never jumps.
        news_s, active_s = since - self._news_at, since - self._active_at
        evidence = {"process": "alive" if alive else "gone", "news_s": f"{news_s:.1f}", "activity_s": f"{active_s:.1f}"}
        if self._activity is not None:
            evidence["processes"] = str(len(self._activity.pids))
            evidence["cpu_s"] = f"{self._activity.cpu_s:.2f}"
            evidence["io_bytes"] = str(self._activity.io_bytes)
        return Heartbeat(
            last_seen=(now - timedelta(seconds=min(news_s, active_s))).isoformat(),
            last_news=(now - timedelta(seconds=news_s)).isoformat(),
            alive=alive,
            evidence=evidence,
        )

    async def _see_through(self, supervised: Supervised) -> None:
        every_s = _READ_EVERY_S if self._reader else _LOOK_EVERY_S
        with anyio.move_on_after(self._timeout_s) as deadline:
            # Most commands are short, and a task group would cost more than they do.
            with anyio.move_on_after(every_s) as first:
                await supervised.wait()
            if first.cancelled_caught:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._look, supervised, every_s, group.cancel_scope, name="look")
                    await supervised.wait()
                    group.cancel_scope.cancel()
        self.timed_out = deadline.cancelled_caught

    async def _look(self, supervised: Supervised, every_s: float, scope: anyio.CancelScope) -> None:
        while True:
            await self.catch_up()
            if self._clock.monotonic() - self._noted_at >= _LOOK_EVERY_S:
                self._noted_at = self._clock.monotonic()
                supervised.note_orphans()
            silent_s = self._silence(supervised)
            self.flooded = max(self._sizes) > SIZE_LIMIT
            self.stalled = 0 < self._stall_timeout_s <= silent_s
            if self.flooded or self.stalled or (self._teller and self._teller.stop):
                scope.cancel()
            await anyio.sleep(every_s)

    def _silence(self, supervised: Supervised) -> float:
        """For how many seconds there has been no output and no activity of the processes."""
        now, sizes = self._clock.monotonic(), self._folder.sizes()
        if sizes != self._sizes:
            self._sizes, self._news_at = sizes, now
        elif now - max(self._news_at, self._looked_at) >= _ACTIVITY_EVERY_S:
            self._looked_at, activity = now, supervised.activity()
            if activity != self._activity:
                self._activity, self._active_at = activity, now
        return now - max(self._news_at, self._active_at)

    async def catch_up(self) -> None:
        """Read what there is to read."""
        while self._reader and self._reader.read():
            await anyio.lowlevel.checkpoint()

    @property
    def answer(self) -> str:
        """The agent's last word; empty for what is no agent."""
        return self._teller.answer if self._teller else ""

    @property
    def over_turns(self) -> bool:
        """Whether the agent went on after the last answer of its model that it may have."""
        return self._teller is not None and self._teller.over_turns

    @property
    def told_usage(self) -> bool:
        """Whether the agent's own stream said what it used."""
        return self._teller is not None and self._teller.told_usage

    async def read_to_end(self) -> None:
        """Read the rest, when nothing can be added any more."""
        await self.catch_up()
        if self._reader and self._teller:
            self._reader.close()
            self._teller.skipped(self._reader.skipped)


class Teller:
    """Feeds lines to the parser and tells what it makes of them: priced, without secrets, not too long.

    ``stop`` is set when the dialect sees that its program will not come to an
    end by itself: news with ``stop`` in its data, or when it goes on after
    ``max_turns`` answers of its model, each of which it ends with its usage.
    ``answer`` is the agent's last word: what its result says, else the last
    thing that it said. ``told_usage`` is whether it said what it used.
    """

    def __init__(
        self, parser: Parser, redactor: Redactor, tell: Tell, model: str, max_turns: int | None = None
    ) -> None:
        self._parser = parser
        self._turns_left = max_turns
        self._model = model
        self._redactor = redactor
        self._tell = tell
        self.stop = self.over_turns = self.told_usage = False
        self._said = self._result = ""

    @property
    def answer(self) -> str:
        """The last word so far, without secrets."""
        return self._result or self._said

    def skipped(self, lines: int) -> None:
        """Tell of lines that were too long to be read, if there are any: the result may be one of them."""
        if lines:
            text = f"Lines of its output that were not read, as they have more than {LONGEST_LINE >> 20} MiB: {lines}"
            self._tell(News(kind="notice", ok=False, text=text))

    def __call__(self, line: bytes) -> None:
        """Take one line."""
        try:
            told = tuple(self._parser.feed(line))
        except Exception as problem:  # a dialect from another package must not end the run
            told = (News(kind="notice", ok=False, text=f"A line could not be read: {problem!r}"),)
        for news in told:
            if self._turns_left is not None:
                self._turns_left -= news.kind == "usage"
                self.over_turns = self.over_turns or (self._turns_left <= 0 and news.kind in _GOES_ON)
            self.stop = self.stop or self.over_turns or "stop" in news.data
            if news.usage is not None:
                used = msgspec.structs.replace(news.usage, model=self._redactor(news.usage.model))
                news = msgspec.structs.replace(news, usage=priced(used, self._model))
                self.told_usage = self.told_usage or bool(used.tokens) or used.cost_usd is not None
            clean = _clean(news, self._redactor)
            if news.kind == "text":
                self._said = clean.text
            elif news.kind == "result" and news.ok:
                self._result = clean.text
            self._tell(clean)


def _clean(news: News, redactor: Redactor) -> News:
    text, tool = redactor(news.text)[:_LONGEST_TEXT], redactor(news.tool)
    data = {key: redactor(value)[:_LONGEST_TEXT] for key, value in news.data.items()}
    if text == news.text and tool == news.tool and data == news.data:
        return news
    return msgspec.structs.replace(news, text=text, tool=tool, data=data)
