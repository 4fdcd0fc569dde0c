"""Claude Code's stream-json: what it tells while it works, what it used, how it went."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from muster.agents import _dialect as dialect
from muster.agents._dialect import count, items, mapping, text_of
from muster.agents.claude_asides import aside
from muster.agents.claude_words import cause_of_end, cause_of_error
from muster.model.attempts import Cause, Failure, Outcome, Usage, together
from muster.ports import Exit, Launch, News

_LONGEST_WAIT_S = 8 * 86400  # its longest window is a week


class ClaudeParser:
    """Reads stream-json; an attempt is ok when its last `result`, and each one before, says so."""

    def __init__(self, launch: Launch) -> None:
        self._session = launch.session
        self._spent = launch.spent
        self._lost = launch.resumed
        self._model = ""
        self._tools: dict[str, str] = {}
        self._refused: set[str] = set()
        self._messages: dict[str, Usage] = {}
        self._error = ""
        self._now: float | None = None
        self._resets_at = 0
        self._failure: Failure | None = None
        self._tokens = Usage()
        self._cost_usd: float | None = None
        self._done = False
        self.unknown = 0

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line; what is not known is counted."""
        told = dialect.decode(line)
        if told is None:
            return ()
        self._now = _seconds(told.get("timestamp")) or self._now
        match told.get("type"):
            case "system":
                return self._system(told)
            case "assistant":
                return tuple(self._assistant(told, mapping(told.get("message"))))
            case "user":
                return tuple(self._user(mapping(told.get("message"))))
            case "result":
                return tuple(self._result(told))
            case "stream_event":
                return (News(kind="delta"),)
            case "tool_progress" | "tool_use_summary" | "auth_status" | "prompt_suggestion":
                return aside(told)
            case "rate_limit_event":
                return self._limited(mapping(told.get("rate_limit_info")))
            case _:
                self.unknown += 1
                return ()

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        failure = self._failure
        if failure is not None and failure.cause is Cause.RATE_LIMIT and self._resets_at and self._now:
            wait_s = self._resets_at - self._now
            if 0 <= wait_s <= _LONGEST_WAIT_S:
                failure = replace(failure, retry_after_s=wait_s)
        ending, failure = dialect.judge(exit, stderr_tail, done=self._done, failure=failure, lost=self._lost)
        return Outcome(ending=ending, failure=failure, usage=self._used(), session=self._session)

    def _system(self, told: dict[str, Any]) -> Iterable[News]:
        if told.get("subtype") == "init":
            self._done = self._lost = False  # another turn
            self._session = text_of(told.get("session_id")) or self._session
            self._model = text_of(told.get("model")) or self._model
            return (News(kind="session", text=self._session, data={"model": self._model}),)
        if told.get("subtype") == "permission_denied":
            return self._denied(told)
        return aside(told)

    def _denied(self, told: dict[str, Any]) -> Iterable[News]:
        """A refusal is told at once by some, and all of them by the result."""
        id_ = text_of(told.get("tool_use_id"))
        if not id_ or id_ not in self._refused:
            self._refused.add(id_)
            yield News(kind="permission", tool=text_of(told.get("tool_name")), ok=False, data={"decision": "denied"})

    def _assistant(self, told: dict[str, Any], message: dict[str, Any]) -> Iterable[News]:
        model = text_of(message.get("model"))
        if told.get("parent_tool_use_id") is None:
            self._error = text_of(told.get("error"))
            self._model = model if model and model != "<synthetic>" else self._model
        self._messages[text_of(message.get("id"))] = _tokens(message.get("usage"))
        for block in items(message.get("content")):
            match block.get("type"):
                case "text":
                    yield News(kind="text", text=text_of(block.get("text")))
                case "thinking":
                    yield News(kind="thought", text=text_of(block.get("thinking")))
                case "tool_use" | "server_tool_use" | "mcp_tool_use":
                    name, id_ = text_of(block.get("name")), text_of(block.get("id"))
                    self._tools[id_] = name
                    yield News(kind="tool_started", tool=name, data={"id": id_})
                case _:
                    pass

    def _user(self, message: dict[str, Any]) -> Iterable[News]:
        for block in items(message.get("content")):
            if str(block.get("type")).endswith("tool_result"):
                id_ = text_of(block.get("tool_use_id"))
                said = block.get("content")
                said = said if isinstance(said, str) else "".join(text_of(one.get("text")) for one in items(said))
                name, ok = self._tools.get(id_, ""), block.get("is_error") is not True
                yield News(kind="tool_ended", tool=name, ok=ok, text=text_of(said), data={"id": id_})

    def _result(self, told: dict[str, Any]) -> Iterable[News]:
        self._session = text_of(told.get("session_id")) or self._session
        self._count(told)
        failure = self._failure_in(told)
        self._failure, self._done = self._failure or failure, failure is None
        for denied in items(told.get("permission_denials")):
            yield from self._denied(denied)
        yield News(kind="usage", usage=self._used())
        yield News(kind="result", ok=failure is None, text=failure.message if failure else text_of(told.get("result")))

    def _failure_in(self, told: dict[str, Any]) -> Failure | None:
        subtype, reason, status = told.get("subtype"), told.get("terminal_reason"), told.get("api_error_status")
        untroubled = status is None and not self._error and told.get("is_error") is False
        by_end = cause_of_end(told)
        if untroubled and by_end is None and told.get("num_turns") == 0 and not self._messages:
            message = "It asked no model: a prompt that begins like `/help` is a command of Claude Code. "
            return Failure(cause=Cause.BAD_REQUEST, message=dialect.short(message + text_of(told.get("result"))))
        if untroubled and subtype == "success" and reason in (None, "", "completed") and by_end is None:
            return None
        cause = by_end or cause_of_error(self._error, status, told.get("api_error_type"))
        cause = cause or (Cause.INCOMPLETE if untroubled else Cause.TRANSPORT if reason == "api_error" else Cause.CRASH)
        errors = told.get("errors")
        said = [text_of(one) for one in errors if not str(one).startswith("[")] if isinstance(errors, list) else []
        words = text_of(told.get("result")) or "; ".join(said) or f"It ended with {reason or subtype or 'an error'}."
        return Failure(cause=cause, message=dialect.short(f"HTTP {status}: {words}" if status else words))

    def _count(self, told: dict[str, Any]) -> None:
        """Take the counters of a result; those by model include subagents, and run on when a session is resumed."""
        turn = _tokens(told.get("usage"))
        by_model = together(_tokens(one) for one in mapping(told.get("modelUsage")).values())
        cost_usd = dialect.price(told.get("total_cost_usd"))
        before = self._spent
        if by_model == Usage() or dialect.covers(by_model, together((before, turn))):
            by_model = dialect.beyond(by_model, before)
            if cost_usd is not None and before.cost_usd and cost_usd >= before.cost_usd:
                cost_usd = round(cost_usd - before.cost_usd, 9)
        self._tokens = dialect.most(self._tokens, turn, by_model)
        self._cost_usd = self._cost_usd if cost_usd is None else cost_usd

    def _used(self) -> Usage:
        source = "none" if self._cost_usd is None else "reported"
        tokens = dialect.most(self._tokens, together(self._messages.values()))
        return replace(tokens, cost_usd=self._cost_usd, cost_source=source, model=self._model)

    def _limited(self, info: dict[str, Any]) -> Iterable[News]:
        status, resets_at = text_of(info.get("status")), count(info.get("resetsAt"))
        if status == "rejected":
            self._resets_at = max(self._resets_at, resets_at)
        if status in ("", "allowed"):
            return ()
        data = {"window": text_of(info.get("rateLimitType")), "resets_at": str(resets_at)}
        return (News(kind="notice", ok=status != "rejected", text=f"rate limit: {status}", data=data),)


def _tokens(usage: object) -> Usage:
    """Tokens of a message or a turn, or, in other words for the same, of a model."""
    told = mapping(usage)
    details = mapping(told.get("output_tokens_details"))
    return Usage(
        input=count(told.get("input_tokens", told.get("inputTokens"))),
        cache_read=count(told.get("cache_read_input_tokens", told.get("cacheReadInputTokens"))),
        cache_write=count(told.get("cache_creation_input_tokens", told.get("cacheCreationInputTokens"))),
        output=count(told.get("output_tokens", told.get("outputTokens"))),
        reasoning=count(details.get("thinking_tokens", told.get("thinkingTokens"))),
    )


def _seconds(timestamp: object) -> float | None:
    try:
        at = datetime.fromisoformat(text_of(timestamp))
        return at.timestamp() if at.tzinfo else None
    except (ValueError, OverflowError):
        return None
