"""The JSON events of OpenCode: what they mean, and how an attempt ended."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Any

from muster.agents import _dialect as dialect
from muster.agents._codes import cause_in
from muster.agents._dialect import count, mapping, price, text_of
from muster.model.attempts import Cause, Failure, Outcome, Usage, together
from muster.ports import Exit, Launch, News

# Names of errors in packages/opencode/src/session/message-v2.ts and provider/provider.ts of OpenCode.
_ERRORS = dialect.causes(
    auth="ProviderAuthError",
    invalid_model="ProviderModelNotFoundError",
    environment="ProviderInitError ConfigInvalidError ConfigJsonError",
    bad_request="ContextOverflowError ContentFilterError",
    incomplete="MessageOutputLengthError StructuredOutputError",
    cancelled="MessageAbortedError",
)
# On a stream that is cut it repeats the step for ever, some 8 times a second. A working model needs seconds for a
# step and says something new, or uses a tool.
_EMPTY_STEPS = 10
_WITHIN_S = 60.0
_FINAL = "stop"
# Of several that are started at the same time, one sets its database up, once, and the others can fail on that.
_SETTING_UP = re.compile(rb"database is locked|SQLITE_BUSY|Failed query|^params: ", re.MULTILINE)


class OpenCodeParser:
    """Reads its events; ok is when the last step that finished says ``stop`` and no error was told."""

    def __init__(self, launch: Launch) -> None:
        self._session, self._resumed, self._asked_for_model = launch.session, launch.resumed, "-m" in launch.argv
        self._begun = self._stepped = self._done = False
        self._failure: Failure | None = None
        self._usage = Usage()
        self._seen: set[str] = set()
        self._step: list[str] = []
        self._worked = False
        self._empty: deque[float] = deque(maxlen=_EMPTY_STEPS)
        self._repeated = ""
        self._loops = False
        self.unknown = 0

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line."""
        told = dialect.decode(line)
        return () if told is None else tuple(self._event(told))

    def _event(self, told: dict[str, Any]) -> Iterable[News]:
        part = mapping(told.get("part"))
        session = text_of(told.get("sessionID"))
        if session and not self._begun:
            self._begun, self._session = True, session
            yield News(kind="session", text=session)
        # A part that is touched again later is told again.
        key, kind = text_of(part.get("id")), told.get("type")
        if key in self._seen:
            return
        if key:
            self._seen.add(key)
        match kind:
            case "step_start":
                self._stepped, self._done, self._worked, self._step = True, False, False, []
            case "text" | "reasoning":
                text = text_of(part.get("text"))
                self._step.append(text)
                yield News(kind="text" if kind == "text" else "thought", text=text)
            case "tool_use":
                self._worked = True
                yield from _tool(part)
            case "step_finish":
                yield from self._finished(part, told.get("timestamp"))
            case "error":
                self._failure = self._failure or self._failed(mapping(told.get("error")))
                yield News(kind="result", ok=False, text=self._failure.message)
            case "done":
                rejected = told.get("rejected")
                for refused in rejected if isinstance(rejected, list) else ():
                    yield News(kind="permission", tool=text_of(refused), ok=False, data={"decision": "denied"})
            case _:
                self.unknown += 1

    def _finished(self, part: dict[str, Any], at_ms: object) -> Iterable[News]:
        reason, tokens = text_of(part.get("reason")), mapping(part.get("tokens"))
        used = _used(tokens, price(part.get("cost")))
        self._usage = together((self._usage, used))
        yield News(kind="usage", usage=self._usage)
        self._done = reason == _FINAL
        if self._done:
            yield News(kind="result", ok=True)
        if self._worked or self._done or used.input or used.output or used.cache_read:
            self._empty.clear()
            self._loops = False
            return
        said = f"{reason}\n{''.join(self._step)}"
        if said != self._repeated:
            self._empty.clear()
        self._repeated = said
        self._empty.append(count(at_ms) / 1000)
        if not self._loops and len(self._empty) == _EMPTY_STEPS and self._empty[-1] - self._empty[0] <= _WITHIN_S:
            self._loops = True
            yield News(kind="notice", ok=False, text=_LOOP, data={"stop": Cause.AGENT_BUG.value})

    def _failed(self, error: dict[str, Any]) -> Failure:
        name, data = text_of(error.get("name")), mapping(error.get("data"))
        message, headers = text_of(data.get("message")), mapping(data.get("responseHeaders"))
        cause = _ERRORS.get(name)
        if cause is None and name == "APIError":
            told = f"{data.get('statusCode')}: {text_of(data.get('responseBody'))}"
            cause = cause_in(told) or (Cause.TRANSPORT if data.get("isRetryable") is True else Cause.BAD_REQUEST)
        cause = cause or cause_in(message)
        if cause is None and not self._stepped and self._asked_for_model:
            # It has no word for it: this is what a model that it does not know looks like.
            message, cause = f"It could not begin, perhaps because of the model's name: {message}", Cause.INVALID_MODEL
        return Failure(
            # Its own server failed: in the middle of the work another attempt may do better.
            cause=cause or (Cause.SERVER if self._stepped else Cause.AGENT_BUG),
            message=dialect.short(message) or f"It told an error without words ({name or 'no name'}).",
            retry_after_s=_wait_s(headers),
        )

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        failure = Failure(cause=Cause.AGENT_BUG, message=_LOOP) if self._loops else self._failure
        if failure is None and not self._begun and exit.code == 1 and _SETTING_UP.search(stderr_tail):
            failure = Failure(
                cause=Cause.SERVER, message="It could not open its database." + dialect.last_words(stderr_tail)
            )
        lost = self._resumed and not self._begun
        ending, reason = dialect.judge(exit, stderr_tail, done=self._done, failure=failure, lost=lost)
        return Outcome(ending=ending, failure=reason, usage=self._usage, session=self._session)


_LOOP = f"OpenCode repeats the same empty step, {_EMPTY_STEPS} times within a minute; it does not end by itself."


def _tool(part: dict[str, Any]) -> Iterable[News]:
    """A tool is told once, when it has ended."""
    name, state = text_of(part.get("tool")), mapping(part.get("state"))
    code = mapping(state.get("metadata")).get("exit")
    ok = state.get("status") == "completed" and code in (None, 0)
    data = {"id": text_of(part.get("callID"))}
    yield News(kind="tool_started", tool=name, data=data)
    data = data if code is None else {**data, "exit_code": str(code)[:20]}
    yield News(
        kind="tool_ended", tool=name, ok=ok, text=text_of(state.get("output")) or text_of(state.get("error")), data=data
    )


def _used(tokens: dict[str, Any], cost_usd: float | None) -> Usage:
    """What one step used; its ``output`` leaves out ``reasoning``, and a cost of 0 says that it knows no price."""
    cache, thought = mapping(tokens.get("cache")), count(tokens.get("reasoning"))
    return Usage(
        input=count(tokens.get("input")),
        cache_read=count(cache.get("read")),
        cache_write=count(cache.get("write")),
        output=count(tokens.get("output")) + thought,
        reasoning=thought,
        cost_usd=cost_usd or None,
        cost_source="reported" if cost_usd else "none",
    )


def _wait_s(headers: dict[str, Any]) -> float | None:
    """What `retry-after` and `retry-after-ms` ask for; RFC 9110 also allows a date, beside that of the answer."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = text_of(headers.get(name))
        if value.replace(".", "", 1).isascii() and value.replace(".", "", 1).isdigit():
            return price(float(value) * unit_s)
    try:
        until, now = (parsedate_to_datetime(text_of(headers.get(name))) for name in ("retry-after", "date"))
        return price((until - now).total_seconds())
    except (TypeError, ValueError):
        return None
