"""The Agent Client Protocol as an agent speaks it: what it tells while it works, what it used, how it went.

Besides the agent's own lines there are those of `acp_bridge`; without them, as in
a recording, an answer is known by its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from muster.agents import _dialect as dialect
from muster.agents._dialect import items, mapping, text_of
from muster.agents.acp_usage import Meter
from muster.agents.acp_words import exit_code, failure_in, method_of, plan_text, stopped, strings_in
from muster.model.attempts import Cause, Ending, Failure, Outcome
from muster.ports import Exit, Launch, News

_LONGEST_TEXT = 32 * 1024
_CHUNKS = {"agent_message_chunk": "text", "agent_thought_chunk": "thought"}
_SILENT = (
    *("user_message_chunk", "available_commands_update", "current_mode_update", "session_info_update"),
    *("plan_removed", "compaction_summary_chunk"),
)


class AcpParser:
    """Reads frames; an attempt is ok when its prompt was answered with `end_turn` and a model has visibly worked."""

    def __init__(self, launch: Launch) -> None:
        self._session = launch.session
        self._meter = Meter(launch.spent)
        self._asked: dict[str, str] = {}
        self._greeting: frozenset[str] = frozenset()
        self._calls: dict[str, str] = {}
        self._ended: set[str] = set()
        self._replay = self._kind = self._message = self._said = self._last = ""
        self._texts, self._done = 0, False
        self._failure: Failure | None = None
        self.unknown = 0

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line; what is not known is counted."""
        frame = dialect.decode(line)
        if frame is None:
            return ()
        if "bridge" in frame:
            return tuple(self._bridged(frame))
        if "method" in frame:
            return tuple(self._notified(frame.get("method"), mapping(frame.get("params"))))
        if "result" in frame or "error" in frame:
            return tuple(self._answered(frame))
        self.unknown += 1
        return ()

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        failure = self._failure
        if failure is None and self._done and exit.code == 0 and not self._meter.shows_work(self._calls, self._texts):
            failure = Failure(cause=Cause.INCOMPLETE, message="It ended its turn, but no model seems to have worked.")
        if failure is not None and failure.cause is Cause.CRASH:
            failure = replace(failure, message=failure.message + dialect.last_words(stderr_tail))
        ending, failure = dialect.judge(exit, stderr_tail, done=self._done, failure=failure)
        if failure is not None and failure.cause is Cause.INCOMPLETE:
            ending = Ending.INCOMPLETE
        return Outcome(ending=ending, failure=failure, usage=self._meter.used(), session=self._session)

    def _bridged(self, told: dict[str, Any]) -> Iterator[News]:
        message = text_of(told.get("message"))
        match told.get("bridge"):
            case "sent":
                frame = mapping(told.get("frame"))
                method, id_ = text_of(frame.get("method")), repr(frame.get("id"))
                self._asked[id_] = method
                if method in ("session/load", "session/resume"):
                    self._replay = id_
                    self._session = text_of(mapping(frame.get("params")).get("sessionId"))
            case "permission":
                allowed = told.get("decision") == "allow"
                data = {"decision": "allow" if allowed else "reject", "policy": text_of(told.get("policy"))}
                yield News(kind="permission", tool=text_of(told.get("tool")), ok=allowed, data=data)
            case "notice":
                yield News(kind="notice", ok=False, text=message)
            case "failed":
                cause = next((one for one in Cause if one.value == told.get("cause")), Cause.CRASH)
                yield from self._fail(Failure(cause=cause, message=dialect.short(message)))
            case _:
                self.unknown += 1

    def _answered(self, frame: dict[str, Any]) -> Iterator[News]:
        id_, result = repr(frame.get("id")), mapping(frame.get("result"))
        method = self._asked.get(id_, "") if self._asked else method_of(result)
        if id_ == self._replay:
            self._replay = ""
        if frame.get("error") is not None:
            if method in ("initialize", "session/new", "session/prompt"):
                yield from self._fail(failure_in(frame["error"]))
        elif method == "session/prompt":
            yield from self._end(result)
        elif method in ("session/new", "session/load", "session/resume"):
            self._session = text_of(result.get("sessionId")) or self._session
            self._greeting = frozenset(strings_in(result.get("_meta")))
            self._meter.look_for_model(result)
            yield News(kind="session", text=self._session, data={"model": self._meter.used().model})
        elif method == "session/set_config_option":
            self._meter.look_for_model(result)

    def _notified(self, method: object, params: dict[str, Any]) -> Iterator[News]:
        if method == "session/request_permission":
            yield from self._flushed()
            yield from self._tool(mapping(params.get("toolCall")))
        elif method == "session/update":
            # What is played again when a session is loaded was told before.
            if not self._replay:
                yield from self._updated(mapping(params.get("update")))
            elif (update := mapping(params.get("update"))).get("sessionUpdate") == "usage_update":
                self._meter.replayed(update)
        elif not str(method).startswith(("fs/", "_")):
            self.unknown += 1

    def _updated(self, update: dict[str, Any]) -> Iterator[News]:
        kind = update.get("sessionUpdate")
        if kind in ("agent_message_chunk", "agent_thought_chunk"):
            yield from self._chunk(_CHUNKS[str(kind)], update)
            return
        if kind != "usage_update":
            yield from self._flushed()
        match kind:
            case "tool_call" | "tool_call_update":
                yield from self._tool(update)
            case "plan" | "plan_update":
                yield News(kind="notice", text=plan_text(update))
            case "compaction_update":
                yield News(kind="notice", ok=not update.get("error"), text=text_of(update.get("error")) or "compaction")
            case "usage_update":
                yield self._meter.counted(update)
            case "config_option_update":
                self._meter.look_for_model(update)
            case "notice":
                yield News(kind="notice", ok=update.get("severity") != "error", text=text_of(update.get("title")))
            case _:
                self.unknown += kind not in _SILENT

    def _chunk(self, kind: str, update: dict[str, Any]) -> Iterator[News]:
        text, message = text_of(mapping(update.get("content")).get("text")), str(update.get("messageId"))
        if text in self._greeting:
            yield News(kind="notice", text=text)
            return
        if (kind, message) != (self._kind, self._message) or len(self._said) + len(text) > _LONGEST_TEXT:
            yield from self._flushed()
        if not self._texts:
            self._meter.answer_begins()
        self._kind, self._message = kind, message
        self._said += text
        self._texts += bool(text.strip()) and kind == "text"
        yield News(kind="delta")

    def _flushed(self) -> Iterator[News]:
        """The message that came in pieces, now that it is whole."""
        if self._said:
            if self._kind == "text":
                self._last = self._said
            yield News(kind=self._kind, text=text_of(self._said))
        self._said = ""

    def _tool(self, call: dict[str, Any]) -> Iterator[News]:
        """A tool call, new or not: some agents tell of it first when they ask for permission, or when it is done."""
        id_ = text_of(call.get("toolCallId"))
        if not id_:
            self.unknown += 1
            return
        if id_ not in self._calls:
            self._calls[id_] = text_of(call.get("name")) or text_of(call.get("kind")) or "tool"
            yield News(kind="tool_started", tool=self._calls[id_], text=text_of(call.get("title")), data={"id": id_})
        status = call.get("status")
        if status in ("completed", "failed") and id_ not in self._ended:
            self._ended.add(id_)
            code = exit_code(call)
            data = {"id": id_} if code is None else {"id": id_, "exit_code": str(code)}
            said = "".join(text_of(mapping(one.get("content")).get("text")) for one in items(call.get("content")))
            ok = status == "completed" and not code
            yield News(kind="tool_ended", tool=self._calls[id_], ok=ok, text=text_of(said), data=data)

    def _end(self, result: dict[str, Any]) -> Iterator[News]:
        yield from self._flushed()
        self._meter.take(result, acted=bool(self._calls))
        yield News(kind="usage", usage=self._meter.used())
        stop = result.get("stopReason")
        if stop == "end_turn":
            self._done = True
            yield News(kind="result", text=text_of(self._last))
            return
        yield from self._fail(stopped(stop))

    def _fail(self, failure: Failure) -> Iterator[News]:
        yield from self._flushed()
        self._failure = self._failure or failure
        yield News(kind="result", ok=False, text=failure.message)
