"""The stream-json of Gemini CLI: what it means, and how an attempt ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from muster.agents import _dialect as dialect
from muster.agents._codes import cause_in, retry_after_in
from muster.agents._dialect import count, mapping, text_of
from muster.model.attempts import Cause, Failure, Outcome, Usage
from muster.ports import Exit, Launch, News

# Names of error classes and exit codes in packages/core/src/utils/{errors,googleQuotaErrors}.ts of Gemini CLI.
_CLASSES = dialect.causes(
    auth="FatalAuthenticationError UnauthorizedError ForbiddenError AccountSuspendedError ValidationRequiredError",
    invalid_model="ModelNotFoundError",
    rate_limit="RetryableQuotaError TerminalQuotaError",
    bad_request="FatalInputError BadRequestError",
    environment="FatalConfigError FatalSandboxError FatalToolExecutionError no_space_left",
    limit_turns="FatalTurnLimitedError",
    permission="FatalUntrustedWorkspaceError",
    cancelled="FatalCancellationError",
)
_EXITS = {
    41: Cause.AUTH,
    42: Cause.BAD_REQUEST,
    44: Cause.ENVIRONMENT,
    52: Cause.ENVIRONMENT,
    53: Cause.LIMIT_TURNS,
    54: Cause.ENVIRONMENT,
    55: Cause.PERMISSION,
}
# Sentences in packages/cli/src/nonInteractiveCli.ts and core/geminiChat.ts: in an `error` event alone, beside a result
# that has no error of its own, or even says `success`.
_SAID = (
    ("Maximum session turns exceeded", Cause.LIMIT_TURNS),
    ("Loop detected", Cause.INCOMPLETE),
    ("Agent execution blocked", Cause.PERMISSION),
    ("Model response was truncated", Cause.INCOMPLETE),
    ("The model response was blocked", Cause.BAD_REQUEST),
)
_SESSION_IS_GONE = 42
# An HTTP status leaves as its lowest 8 bits: 401 is 145. What is below 144 means something else, 143 is TERM.
_STATUS_BITS = 256
_LEAST_STATUS_EXIT = 400 - _STATUS_BITS
_THROWN = re.compile(r"\b(" + "|".join(name for name in _CLASSES if name.endswith("Error")) + r"): ")


class GeminiParser:
    """Reads its events; ok is what says ``result`` with status ``success``, and nothing else."""

    def __init__(self, launch: Launch) -> None:
        self._session, self._resumed = launch.session, launch.resumed
        self._begun = self._done = False
        self._error: dict[str, Any] | None = None
        self._trouble = ""
        self._usage = Usage()
        self._said = ""
        self._tools: dict[str, str] = {}
        self.unknown = 0

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line."""
        told = dialect.decode(line)
        if told is None:
            return ()
        kind = told.get("type")
        if kind in ("tool_use", "message"):
            self._trouble = ""  # it went on
        if kind == "message" and told.get("role") == "assistant" and told.get("delta") is True:
            self._said = text_of(self._said + text_of(told.get("content")))
            return (News(kind="delta"),)
        said, self._said = self._said, ""
        return (*((News(kind="text", text=said),) if said else ()), *self._event(kind, told))

    def _event(self, kind: object, told: dict[str, Any]) -> Iterable[News]:
        match kind:
            case "init":
                self._begun = True
                self._session = text_of(told.get("session_id")) or self._session
                self._usage = msgspec.structs.replace(self._usage, model=text_of(told.get("model")))
                yield News(kind="session", text=self._session, data={"model": self._usage.model})
            case "message":
                if told.get("role") == "assistant":
                    yield News(kind="text", text=text_of(told.get("content")))
            case "tool_use":
                call, name = text_of(told.get("tool_id")), text_of(told.get("tool_name"))
                self._tools[call] = name
                yield News(kind="tool_started", tool=name, data={"id": call})
            case "tool_result":
                yield from self._tool_result(told)
            case "error":
                self._trouble = text_of(told.get("message"))
                yield News(kind="notice", ok=told.get("severity") == "warning", text=self._trouble)
            case "result":
                yield from self._result(told)
            case _:
                self.unknown += 1

    def _tool_result(self, told: dict[str, Any]) -> Iterable[News]:
        call = text_of(told.get("tool_id"))
        name, problem = self._tools.pop(call, ""), mapping(told.get("error"))
        output = text_of(told.get("output")) or text_of(problem.get("message"))
        if problem.get("type") == "policy_violation":
            yield News(kind="permission", tool=name, ok=False, data={"decision": "denied"})
        yield News(kind="tool_ended", tool=name, ok=told.get("status") == "success", text=output, data={"id": call})

    def _result(self, told: dict[str, Any]) -> Iterable[News]:
        error = mapping(told.get("error")) or ({"message": self._trouble} if self._trouble else {})
        if told.get("status") == "success" and not told.get("error") and _cause_by_words(self._trouble) is None:
            self._done = True
        elif self._error is None:
            self._error = error
        self._usage = _used(mapping(told.get("stats")), self._usage)
        yield News(kind="usage", usage=self._usage)
        yield News(kind="result", ok=self._error is None, text=dialect.short(text_of(error.get("message"))))

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        lost = self._resumed and not self._begun
        # This exit code also stands for other wrong input, but there is none when only the session is new to it.
        failure = None if lost and exit.code == _SESSION_IS_GONE else self._failure(exit, stderr_tail)
        ending, reason = dialect.judge(exit, stderr_tail, done=self._done, failure=failure, lost=lost)
        return Outcome(ending=ending, failure=reason, usage=self._usage, session=self._session)

    def _failure(self, exit: Exit, stderr_tail: bytes) -> Failure | None:
        code = exit.code if exit.code is not None else 0
        by_exit = _EXITS.get(code) or (
            dialect.cause_of_status(code + _STATUS_BITS) if _LEAST_STATUS_EXIT <= code < _STATUS_BITS else None
        )
        said = stderr_tail.decode("utf-8", "replace")
        if self._error is None:
            message = f"Gemini CLI ended with exit code {code}: {said.strip()[-300:]}"
            return Failure(cause=by_exit, message=dialect.short(message)) if by_exit else None
        message = text_of(self._error.get("message"))
        thrown = _THROWN.findall(said)
        kind = text_of(self._error.get("type"))
        # Its errors of quota are also what it makes of a provider without capacity.
        overloaded = by_exit if kind.endswith("QuotaError") and by_exit is Cause.OVERLOADED else None
        cause = (
            overloaded
            or _CLASSES.get(kind)
            or _cause_by_words(message)
            or cause_in(message)
            or by_exit
            or (_CLASSES[thrown[-1]] if thrown else None)
            or cause_in(said)
            # Without an error beside it, it means that the model's answer broke off or made no sense.
            or (Cause.CRASH if kind not in ("", "INVALID_STREAM") else Cause.TRANSPORT)
        )
        shown = dialect.short(message) or "The model's answer broke off or could not be used."
        return Failure(cause=cause, message=shown, retry_after_s=retry_after_in(message))


def _cause_by_words(message: str) -> Cause | None:
    return next((cause for beginning, cause in _SAID if message.startswith(beginning)), None)


def _used(stats: dict[str, Any], before: Usage) -> Usage:
    """The tokens of this start; its ``input_tokens`` include the cached ones, thoughts are in the total alone."""
    models = {name: mapping(one) for name, one in mapping(stats.get("models")).items()}
    spent = {name: count(one.get("total_tokens")) for name, one in models.items()}
    model = max(spent, key=spent.__getitem__, default="")
    prompt, cached, said = (count(stats.get(name)) for name in ("input_tokens", "cached", "output_tokens"))
    thought = max(0, count(stats.get("total_tokens")) - prompt - said)
    return Usage(
        input=max(0, prompt - cached),
        cache_read=cached,
        output=said + thought,
        reasoning=thought,
        model=text_of(model) if spent.get(model) else before.model,
    )
