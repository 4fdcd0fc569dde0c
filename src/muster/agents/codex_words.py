"""Codex's sentences about what went wrong, as classes and waiting times."""

from __future__ import annotations

import re
from datetime import datetime

from muster.agents import _dialect as dialect
from muster.agents._codes import retry_after_in
from muster.agents._dialect import mapping, text_of
from muster.model.attempts import Cause

# Work of its own, such as a summary, is named before what failed in it.
_WITHIN = re.compile(r"Error running \w+ compact task: ")
# `format_retry_timestamp` in codex-rs/protocol/src/error.rs: local time, without the date when that is today.
_RESET = re.compile(r"try again at (?:(\w{3} \d{1,2})\w\w, (\d{4}) )?(\d{1,2}:\d\d [AP]M)\.", re.IGNORECASE)
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


def cause_of(message: str) -> Cause:
    """The class of a failure by the words that codex itself puts around it.

    >>> cause_of("unexpected status 401 Unauthorized: no, url: http://x/v1/responses").value
    'auth'
    >>> cause_of('{"error": {"code": "model_not_found", "message": "no"}}').value
    'invalid_model'
    """
    message = _WITHIN.sub("", message.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"), count=1)
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


def wait_s(message: str, now: datetime | None) -> float | None:
    """How long it asks to wait; a limit ends within the minute that it names.

    >>> wait_s("Rate limit reached. Please try again in 1m11.5s.", None)
    71.5
    >>> now = datetime(2026, 11, 2, 9, 15)
    >>> wait_s("You've hit your usage limit. Try again at Nov 3rd, 2026 9:15 AM.", now), wait_s(
    ...     "To get more access now, send a request to your admin or try again at 3:05 PM.", now
    ... )
    (86460.0, 21060.0)
    """
    if (told_s := retry_after_in(message)) is not None:
        return told_s
    found = _RESET.search(message)
    if found is None or now is None:
        return None
    day = f"{found[1]} {found[2]}" if found[1] else now.strftime("%b %d %Y")
    try:
        reset = datetime.strptime(f"{day} {found[3]}", "%b %d %Y %I:%M %p")
    except ValueError:
        return None
    return max(0.0, (reset - now.replace(tzinfo=None)).total_seconds() + 60)
