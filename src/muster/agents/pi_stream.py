"""The JSON events of pi: what they mean, and how an attempt ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from muster.agents import _dialect as dialect
from muster.agents._codes import cause_in, retry_after_in
from muster.agents._dialect import count, items, mapping, price, text_of
from muster.model.attempts import Cause, Failure, Outcome, Usage, together
from muster.ports import Exit, News

# AgentSessionEvent in packages/coding-agent/src/core/agent-session.ts of pi.
_KNOWN = (
    *("turn_start", "turn_end", "tool_execution_update", "queue_update", "auto_retry_end", "bash_execution_update"),
    *("session_info_changed", "thinking_level_changed", "model_change"),
    *("summarization_retry_attempt_start", "summarization_retry_finished"),
)
# StopReason in packages/ai/src/types.ts of pi: an answer that was cut at its length, or that is still to come, is none.
_ENDED_WELL = ("stop", "toolUse")
_FAILED = ("error", "aborted")
# It says this before it begins, and ends with 1.
_NO_MODEL = re.compile(rb"^Error: Model \"[^\"]*\" not found\.", re.MULTILINE)


class PiParser:
    """Reads its events; ok is when it has settled and the model's last message ended by itself."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._usage = Usage()
        self._answering = self._retried = self._settled = self._begun = False
        self._last: dict[str, Any] | None = None
        self.unknown = 0

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line."""
        told = dialect.decode(line)
        return () if told is None else tuple(self._event(told))

    def _event(self, told: dict[str, Any]) -> Iterable[News]:
        message = mapping(told.get("message"))
        by_model = message.get("role") == "assistant"
        match told.get("type"):
            case "session":
                self._session = text_of(told.get("id")) or self._session
                yield News(kind="session", text=self._session)
            case "agent_start":
                self._last, self._settled, self._begun = None, False, True
            case "message_start":
                self._answering = by_model and message.get("stopReason") not in _FAILED
            case "message_update":
                yield News(kind="delta")
            case "message_end" if by_model:
                yield from self._answer(message)
            case "message_end":
                pass
            case "tool_execution_start":
                name, data = text_of(told.get("toolName")), {"id": text_of(told.get("toolCallId"))}
                yield News(kind="tool_started", tool=name, data=data)
            case "tool_execution_end":
                name, data = text_of(told.get("toolName")), {"id": text_of(told.get("toolCallId"))}
                said = "".join(text_of(one.get("text")) for one in items(mapping(told.get("result")).get("content")))
                yield News(
                    kind="tool_ended", tool=name, ok=told.get("isError") is not True, text=text_of(said), data=data
                )
            case "auto_retry_start":
                self._retried = True
                yield _retry(told)
            case "summarization_retry_scheduled":
                yield _retry(told)
            case "agent_end":
                answers = [one for one in items(told.get("messages")) if one.get("role") == "assistant"]
                again = told.get("willRetry") is True
                self._last, self._settled = (answers[-1] if answers and not again else None), False
            case "agent_settled":
                self._settled = True
                if self._last is not None:
                    text = dialect.short(text_of(self._last.get("errorMessage")))
                    yield News(kind="result", ok=_reason(self._last) in _ENDED_WELL, text=text)
            case "compaction_start" | "auto_compaction_start":
                yield News(kind="notice", text="compaction_start")
            case "compaction_end" | "auto_compaction_end":
                said = text_of(told.get("errorMessage"))
                yield News(kind="notice", ok=not said, text=said or "compaction_end")
                yield from self._spent(mapping(told.get("result")))
            case "entry_appended":
                entry = mapping(told.get("entry"))
                yield from self._spent(entry if entry.get("type") == "usage" else {})
            case str(kind) if kind in _KNOWN:
                pass
            case _:
                self.unknown += 1

    def _answer(self, message: dict[str, Any]) -> Iterable[News]:
        for block in items(message.get("content")):
            match block.get("type"):
                case "text":
                    yield News(kind="text", text=text_of(block.get("text")))
                case "thinking":
                    yield News(kind="thought", text=text_of(block.get("thinking")))
                case _:
                    pass
        model = text_of(message.get("responseModel")) or text_of(message.get("model"))
        self._usage = together((self._usage, _used(mapping(message.get("usage")), model)))
        yield News(kind="usage", usage=self._usage)

    def _spent(self, told: dict[str, Any]) -> Iterable[News]:
        """Count what it used beside the conversation: for a summary, or to keep a cache warm."""
        if used := mapping(told.get("usage")):
            self._usage = together((self._usage, _used(used, self._usage.model)))
            yield News(kind="usage", usage=self._usage)

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        last = self._last or {}
        failure = self._failure(last) if _reason(last) in _FAILED or last.get("errorMessage") else None
        done = self._settled and _reason(last) in _ENDED_WELL
        if failure is None and not self._begun and exit.code and (said := _NO_MODEL.search(stderr_tail)):
            failure = Failure(cause=Cause.INVALID_MODEL, message=dialect.short(said[0].decode("utf-8", "replace")))
        ending, failure = dialect.judge(exit, stderr_tail, done=done, failure=failure)
        return Outcome(ending=ending, failure=failure, usage=self._usage, session=self._session)

    def _failure(self, last: dict[str, Any]) -> Failure:
        message = text_of(last.get("errorMessage"))
        cause = cause_in(message)
        if _reason(last) == "aborted":
            cause = Cause.CANCELLED
        elif cause is None:
            # It tries again by itself what may get better; an answer that had begun broke off on the way.
            cause = Cause.TRANSPORT if self._retried or self._answering else Cause.BAD_REQUEST
        shown = dialect.short(message) or f"The model's last message ended with {_reason(last)!r}."
        return Failure(cause=cause, message=shown, retry_after_s=retry_after_in(message))


def _retry(told: dict[str, Any]) -> News:
    said = text_of(told.get("errorMessage"))
    cause = cause_in(said) or Cause.TRANSPORT
    data = {"attempt": str(count(told.get("attempt"))), "delay_ms": str(count(told.get("delayMs")))}
    return News(kind="retry", ok=False, text=dialect.short(said), data={**data, "class": cause.value})


def _reason(message: dict[str, Any]) -> str:
    return text_of(message.get("stopReason"))


def _used(told: dict[str, Any], model: str) -> Usage:
    """What one message used; its ``output`` includes ``reasoning``, and a cost of 0 says that it knows no price."""
    cost_usd = price(mapping(told.get("cost")).get("total"))
    return Usage(
        input=count(told.get("input")),
        cache_read=count(told.get("cacheRead")),
        cache_write=count(told.get("cacheWrite")),
        output=count(told.get("output")),
        reasoning=count(told.get("reasoning")),
        cost_usd=cost_usd or None,
        cost_source="reported" if cost_usd else "none",
        model=model,
    )
