"""Codex's JSON lines: what it tells while it works, what it used, how it went."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from muster.agents import _dialect as dialect
from muster.agents._dialect import count, mapping, text_of
from muster.model.attempts import Cause, Failure, Outcome, Usage
from muster.ports import Exit, Launch, News

_TOOLS = frozenset({"command_execution", "file_change", "mcp_tool_call", "collab_tool_call", "web_search"})
_QUIET = frozenset({"todo_list", "plan"})
_RETRY = re.compile(r"Reconnecting\.\.\. (\d{1,4})/\d+(?: \((.*)\))?", re.DOTALL)
_WAIT = re.compile(r"try again in\s{0,3}(\d{1,6}(?:\.\d{1,6})?)\s{0,3}(ms|s)", re.IGNORECASE)
# Failures arrive as text alone: codex-rs/protocol/src/error.rs says which. A status is only in these two.
_STATUS = re.compile(r"(?:unexpected status|exceeded retry limit, last status:|Access blocked .* \(status) (\d{3})\b")
_FIXED = (
    ("stream disconnected before completion", Cause.TRANSPORT),
    ("Connection failed", Cause.TRANSPORT),
    ("Error while reading the server response", Cause.TRANSPORT),
    ("request timed out", Cause.TRANSPORT),
    ("timeout waiting for child process", Cause.TRANSPORT),
    ("We're currently experiencing high demand", Cause.SERVER),
    ("Selected model is at capacity", Cause.OVERLOADED),
    ("You've hit your usage limit", Cause.RATE_LIMIT),
    ("Quota exceeded", Cause.LIMIT_BUDGET),
    ("Your workspace is out of credits", Cause.LIMIT_BUDGET),
    ("You hit your spend cap", Cause.LIMIT_BUDGET),
    ("Missing environment variable", Cause.AUTH),
    ("To use Codex with your ChatGPT plan", Cause.AUTH),
    ("Your access token could not be refreshed", Cause.AUTH),
    ("turn aborted", Cause.CANCELLED),
    ("turn interrupted", Cause.CANCELLED),
    ("interrupted (Ctrl-C)", Cause.CANCELLED),
    ("internal error; agent loop died", Cause.AGENT_BUG),
    ("Fatal error", Cause.AGENT_BUG),
    ("sandbox error", Cause.PERMISSION),
)
# Of a refused request only the provider's own body or sentence is left: Anthropic's, OpenAI's, ChatGPT's.
_MODEL = re.compile(r"model: \S+$|The (?:requested )?model ['`\"]|The ['`\"][^'`\"]{1,200}['`\"] model ")
_CODES = dialect.causes(
    auth="invalid_api_key authentication_error permission_error",
    invalid_model="model_not_found not_found_error",
    limit_budget="insufficient_quota billing_not_active billing_error",
    rate_limit="rate_limit_exceeded rate_limit_error usage_limit_reached",
    overloaded="server_is_overloaded slow_down overloaded_error",
    server="server_error api_error",
)


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
            failure = Failure(cause=cause_of(said), message=dialect.short(said), retry_after_s=_wait_s(said))
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
        self._usage = dialect.beyond(total, self._spent)
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
                return (News(kind="notice", ok=False, text=text_of(item.get("message"))),)
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


def cause_of(message: str) -> Cause:
    """The class of a failure by the words that codex itself puts around it.

    >>> cause_of("unexpected status 401 Unauthorized: no, url: http://x/v1/responses").value
    'auth'
    >>> cause_of('{"error": {"code": "model_not_found", "message": "no"}}').value
    'invalid_model'
    """
    message = message.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    if status := _STATUS.match(message):
        return dialect.cause_of_status(int(status[1])) or Cause.TRANSPORT
    for beginning, cause in _FIXED:
        if message.startswith(beginning):
            return cause
    body = dialect.decode(message.encode())
    if body is not None:
        error = mapping(body.get("error")) or body
        by_code = _CODES.get(str(error.get("code"))) or _CODES.get(str(error.get("type")))
        by_status = dialect.cause_of_status(body.get("status"))
        return by_code or by_status or cause_of(text_of(error.get("message")) or text_of(error.get("detail")))
    # What codex does not know, it passes on as it is: a request that the provider refused.
    return Cause.INVALID_MODEL if _MODEL.match(message) else Cause.BAD_REQUEST


def _wait_s(message: str) -> float | None:
    found = _WAIT.search(message)
    return float(found[1]) / (1000 if found[2] == "ms" else 1) if found else None
