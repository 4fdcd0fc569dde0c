"""Codex's JSON lines: what it tells while it works, what it used, how it went."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from muster.agents import _dialect as dialect
from muster.agents._dialect import count, mapping, text_of
from muster.agents.codex_words import cause_of, wait_s
from muster.model.attempts import Cause, Failure, Outcome, Usage
from muster.ports import Exit, Launch, News

_TOOLS = frozenset({"command_execution", "file_change", "mcp_tool_call", "collab_tool_call", "web_search"})
_QUIET = frozenset({"todo_list", "plan"})
_RETRY = re.compile(r"Reconnecting\.\.\. (\d{1,4})/\d+(?: \((.*)\))?", re.DOTALL)
_REROUTED = re.compile(r"model rerouted: \S{1,200} -> (\S{1,200})")


class CodexParser:
    """Reads `exec --json`; an attempt is ok when its turn was completed and nothing failed."""

    def __init__(self, launch: Launch) -> None:
        self._session = launch.session
        self._spent = launch.spent
        self._lost = launch.resumed
        self._usage = Usage()
        self._started: set[str] = set()
        self._last_text = ""
        self._failed: str | None = None
        self._error: str | None = None
        self._done = False
        self.unknown = 0

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line; what is not known is counted."""
        told = dialect.decode(line)
        if told is None:
            return ()
        match told.get("type"):
            case "thread.started":
                self._lost = False
                self._session = text_of(told.get("thread_id")) or self._session
                return (News(kind="session", text=self._session),)
            case "turn.started":
                self._done = False
                return ()
            case "turn.completed":
                return self._completed(mapping(told.get("usage")))
            case "turn.failed":
                self._failed = self._failed or text_of(mapping(told.get("error")).get("message")) or "The turn failed."
                self._done = False
                return (News(kind="result", ok=False, text=self._failed),)
            case "error":
                return self._trouble(text_of(told.get("message")) or "It failed.")
            case "item.started" | "item.completed":
                return self._item(mapping(told.get("item")), ended=told["type"] == "item.completed")
            case "item.updated" | "item.plan.delta":
                return (News(kind="delta"),)
            case _:
                self.unknown += 1
                return ()

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        said = self._failed or self._error
        failure = None
        if said is not None:
            failure = Failure(cause=cause_of(said), message=dialect.short(said), retry_after_s=wait_s(said, exit.at))
        ending, failure = dialect.judge(exit, stderr_tail, done=self._done, failure=failure, lost=self._lost)
        return Outcome(ending=ending, failure=failure, usage=self._usage, session=self._session)

    def _completed(self, told: dict[str, Any]) -> Iterable[News]:
        """The turn's end, with counters that run on when a session is resumed."""
        cache_read, cache_write = count(told.get("cached_input_tokens")), count(told.get("cache_write_input_tokens"))
        total = Usage(
            input=max(0, count(told.get("input_tokens")) - cache_read - cache_write),
            cache_read=cache_read,
            cache_write=cache_write,
            output=count(told.get("output_tokens")),
            reasoning=count(told.get("reasoning_output_tokens")),
        )
        self._usage = replace(dialect.beyond(total, self._spent), model=self._usage.model)
        self._done, self._error = True, None
        return News(kind="usage", usage=self._usage), News(kind="result", text=self._last_text)

    def _trouble(self, message: str) -> Iterable[News]:
        retry = _RETRY.fullmatch(message)
        if retry is None:
            self._error = message
            return (News(kind="notice", ok=False, text=message),)
        inner = retry[2] or ""
        cause = cause_of(inner) if inner else Cause.TRANSPORT
        return (News(kind="retry", ok=False, text=inner, data={"attempt": retry[1], "class": cause.value}),)

    def _item(self, item: dict[str, Any], *, ended: bool) -> Iterable[News]:
        kind = text_of(item.get("type"))
        if kind in _TOOLS:
            return self._tool(kind, item, ended=ended)
        text = text_of(item.get("text"))
        match kind if ended else "":
            case "agent_message":
                self._last_text = text
                return (News(kind="text", text=text),)
            case "reasoning":
                return (News(kind="thought", text=text),)
            case "error":
                said = text_of(item.get("message"))
                if rerouted := _REROUTED.match(said):
                    self._usage = replace(self._usage, model=rerouted[1])
                return (News(kind="notice", ok=False, text=said),)
            case _:
                self.unknown += ended and kind not in _QUIET
                return ()

    def _tool(self, kind: str, item: dict[str, Any], *, ended: bool) -> Iterable[News]:
        id_, status, code = text_of(item.get("id")), item.get("status"), item.get("exit_code")
        named = (text_of(item.get("server")), text_of(item.get("tool")))
        name = ".".join(filter(None, named)) or kind
        news = []
        if id_ not in self._started:
            self._started.add(id_)
            data = {"id": id_, "command": text_of(item.get("command"))}
            news.append(News(kind="tool_started", tool=name, data=data))
        if ended:
            if status == "declined":
                news.append(News(kind="permission", tool=name, ok=False, data={"decision": "denied"}))
            data = {"id": id_, "exit_code": str(code)} if isinstance(code, int) else {"id": id_}
            ok = status in (None, "completed") and code in (None, 0) and item.get("error") is None
            self._started.discard(id_)
            news.append(
                News(kind="tool_ended", tool=name, ok=ok, text=text_of(item.get("aggregated_output")), data=data)
            )
        return news
