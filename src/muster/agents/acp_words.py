"""What the values of the Agent Client Protocol mean: reasons to stop, errors, tokens, money, exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muster.agents import _dialect as dialect
from muster.agents._codes import cause_in
from muster.agents._dialect import count, items, mapping, text_of
from muster.model.attempts import Cause, Failure, Usage

# StopReason of ACP's schema, but for end_turn.
_STOPS = {
    "max_tokens": (Cause.INCOMPLETE, "The answer was cut off at the limit of tokens."),
    "max_turn_requests": (Cause.LIMIT_TURNS, "It reached its limit of requests to the model."),
    "refusal": (Cause.BAD_REQUEST, "The model refuses to go on."),
    "cancelled": (Cause.CANCELLED, "The turn was cancelled."),
}
# JSON-RPC 2.0 section 5.1 and ErrorCode of ACP's schema.
_CODES = {
    **dict.fromkeys((-32700, -32600, -32601, -32602, -32002), Cause.BAD_REQUEST),
    -32000: Cause.AUTH,
    -32603: Cause.SERVER,
    -32800: Cause.CANCELLED,
}
# What says more than a code: `errorKind` of claude-agent-acp and `codexErrorInfo` of codex-acp.
_KINDS = dialect.causes(
    auth="authentication_failed oauth_org_not_allowed unauthorized",
    rate_limit="rate_limit usageLimitExceeded",
    limit_budget="billing_error sessionBudgetExceeded",
    overloaded="overloaded serverOverloaded",
    server="server_error internalServerError responseTooManyFailedAttempts",
    transport="httpConnectionFailed responseStreamConnectionFailed responseStreamDisconnected",
    invalid_model="model_not_found",
    bad_request="invalid_request badRequest contextWindowExceeded cyberPolicy misalignmentPolicyViolation",
    incomplete="max_output_tokens",
)
_STATUSES = ("status", "statusCode", "httpStatusCode", "http_status_code")


def stopped(reason: object) -> Failure:
    """What it means that a turn stopped for another reason than its end."""
    cause, message = _STOPS.get(str(reason), (Cause.INCOMPLETE, f"It stopped for an unknown reason: {reason!r}."))
    return Failure(cause=cause, message=dialect.short(message))


def failure_in(error: object) -> Failure:
    """What an error of JSON-RPC means: the most exact of what it says decides."""
    told = mapping(error)
    code, data = told.get("code"), mapping(told.get("data"))
    message = text_of(told.get("message"))
    details = text_of(data.get("message")) or text_of(data.get("details")) or text_of(told.get("data"))
    kind = data.get("errorKind") or data.get("codexErrorInfo")
    inner = mapping(kind)
    statuses = [
        source[name]
        for source in (data, *(mapping(one) for one in inner.values()))
        for name in _STATUSES
        if name in source
    ]
    # Gemini has the HTTP status where the code should be.
    found = (dialect.cause_of_status(status) for status in (*statuses, code))
    cause = next(filter(None, found), None) or next((_KINDS[one] for one in (*inner, str(kind)) if one in _KINDS), None)
    if cause is None and code != -32000:
        cause = cause_in(message) or cause_in(details)
    cause = cause or _CODES.get(code if isinstance(code, int) else 0, Cause.SERVER)
    words = f"{message} {details}".strip() if details not in message else message
    wait_s = dialect.price(data.get("retryAfter", data.get("retry_after")))
    return Failure(cause=cause, message=dialect.short(words) or f"It answered with error {code}.", retry_after_s=wait_s)


def tokens(told: dict[str, Any]) -> Usage:
    """Counts in the words of ACP's draft, or of Gemini; whether they overlap is seen from their total.

    >>> told = {"inputTokens": 4, "cachedReadTokens": 6, "outputTokens": 2, "thoughtTokens": 1, "totalTokens": 13}
    >>> used = tokens(told)
    >>> used.input, used.cache_read, used.output, used.reasoning
    (4, 6, 3, 1)
    >>> tokens({"inputTokens": 10, "cachedReadTokens": 6, "outputTokens": 2, "totalTokens": 12}).input
    4
    """
    fresh = count(told.get("inputTokens", told.get("input_tokens")))
    output = count(told.get("outputTokens", told.get("output_tokens")))
    read, wrote = count(told.get("cachedReadTokens")), count(told.get("cachedWriteTokens"))
    thought, total = count(told.get("thoughtTokens")), count(told.get("totalTokens"))
    cached, both = read + wrote, fresh + output
    if thought > output or (thought and total in (both + thought, both + cached + thought)):
        output += thought
    if cached <= fresh and cached and total in (both, both + thought):
        fresh -= cached
    return Usage(input=fresh, cache_read=read, cache_write=wrote, output=output, reasoning=thought)


def usd(cost: object) -> float | None:
    """An amount in US dollars; None for other money."""
    told = mapping(cost)
    return dialect.price(told.get("amount")) if told.get("currency") == "USD" else None


def exit_code(call: dict[str, Any]) -> int | None:
    """The exit code of a command, from the places where agents put it."""
    raw, meta = mapping(call.get("rawOutput")), mapping(call.get("_meta"))
    places = (raw, mapping(raw.get("metadata")), mapping(meta.get("terminal_exit")))
    told = (place.get(name) for place in places for name in ("exit_code", "exitCode", "exit"))
    return next((code for code in told if isinstance(code, int) and not isinstance(code, bool)), None)


def method_of(result: dict[str, Any]) -> str:
    """What a result answers, by its shape; an error without a known question is taken for the turn's."""
    if "protocolVersion" in result:
        return "initialize"
    return "session/new" if "sessionId" in result else "session/prompt" if "stopReason" in result or not result else ""


def strings_in(value: object) -> Iterator[str]:
    """The texts one or two levels down in a value."""
    for one in mapping(value).values():
        yield from (text for text in (one, *mapping(one).values()) if isinstance(text, str) and text)


def plan_text(told: dict[str, Any]) -> str:
    """An agent's list of what it means to do, in lines; a draft of the protocol has it one level deeper."""
    entries = items(told.get("entries") or mapping(told.get("plan")).get("entries"))
    lines = (f"[{text_of(one.get('status'))}] {text_of(one.get('content'))}" for one in entries)
    return text_of("\n".join(("plan:", *lines)))
