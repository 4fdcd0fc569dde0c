"""Failures told as text: the stable codes in it say what failed, its words never do."""

from __future__ import annotations

import re

from muster.agents._dialect import cause_of_status, causes
from muster.model.attempts import Cause

_LONGEST = 16 * 1024
# Error types as the providers document them: Anthropic, OpenAI, Google's google.rpc.Code and ErrorInfo, OpenCode Zen.
_WORDS = causes(
    auth="authentication_error permission_error invalid_api_key API_KEY_INVALID UNAUTHENTICATED PERMISSION_DENIED",
    limit_budget="billing_error insufficient_quota CreditsError MonthlyLimitError UserLimitError",
    invalid_model="not_found_error model_not_found NOT_FOUND ModelError",
    rate_limit="rate_limit_error rate_limit_exceeded RESOURCE_EXHAUSTED",
    overloaded="overloaded_error UNAVAILABLE",
    server="api_error server_error timeout_error INTERNAL DEADLINE_EXCEEDED",
    bad_request="invalid_request_error request_too_large context_length_exceeded INVALID_ARGUMENT FAILED_PRECONDITION",
)
# They say more than the status beside them: 400 for a wrong key, 429 or 401 for an account without money.
_SHARPER = (
    "API_KEY_INVALID",
    "insufficient_quota",
    "CreditsError",
    "MonthlyLimitError",
    "UserLimitError",
    "ModelError",
)
_WORD = re.compile(r'(?:\\{0,4}"|\(Status: )(' + "|".join(_WORDS) + r')(?:\\{0,4}"|\))')
# `401: …`, `401 {…}`, `OpenAI API error (401): …`, `"code": 401`, and `  status: 401` as Node prints an error.
_STATUS = re.compile(
    r'^(?:[\w .-]{1,60} \()?([45]\d\d)(?=[ :)])|"(?:code|status|statusCode)\\{0,4}"\s{0,4}:\s{0,4}([45]\d\d)\b'
    r"|^ {1,8}(?:code|status): ([45]\d\d),?$",
    re.MULTILINE,
)
_NETWORK = re.compile(r"\b(?:ECONN[A-Z]+|ETIMEDOUT|ENOTFOUND|E(?:NET|HOST)UNREACH|EAI_AGAIN|EPIPE|UND_ERR_[A-Z_]+)\b")
# google.rpc.RetryInfo, also inside a JSON string, and the sentences that APIs and programs put it in.
_RETRY_AFTER = re.compile(
    r'(?:retryDelay\\{0,4}"\s{0,4}:\s{0,4}\\{0,4}"|[Rr]etry in |[Rr]etry after |reset after |[Tt]ry again in )'
    r"(?=\d)(?:(\d{1,5})h)?(?:(\d{1,5})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?) {0,3}(ms|s(?:econds?)?)\b)?"
)


def cause_in(text: str) -> Cause | None:
    """The class of a failure by the codes in its text; None when there is none.

    >>> cause_in('429: {"message":"slow down","type":"rate_limit_error"}')
    <Cause.RATE_LIMIT: 'rate_limit'>
    >>> cause_in('{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}')
    <Cause.AUTH: 'auth'>
    >>> cause_in("TypeError: fetch failed { code: 'ECONNREFUSED' }")
    <Cause.TRANSPORT: 'transport'>
    >>> cause_in("I got 401 apples and an authentication_error") is None
    True
    """
    text = text[:_LONGEST]
    words = _WORD.findall(text)
    for word in _SHARPER:
        if word in words:
            return _WORDS[word]
    if status := _STATUS.search(text):
        return cause_of_status(int(next(filter(None, status.groups()))))
    if words:
        return _WORDS[words[0]]
    return Cause.TRANSPORT if _NETWORK.search(text) else None


def retry_after_in(text: str) -> float | None:
    """How long the provider asked to wait, in seconds.

    >>> retry_after_in('{"@type":"google.rpc.RetryInfo","retryDelay":"34.5s"}')
    34.5
    >>> retry_after_in("Quota exceeded. Please retry in 900ms.")
    0.9
    >>> [retry_after_in(f"Your quota will reset after {told}.") for told in ("19h14m47s", "10m", "soon")]
    [69287.0, 600.0, None]
    """
    found = _RETRY_AFTER.search(text[:_LONGEST])
    if found is None or not any(found.groups()):
        return None
    hours, minutes, rest, unit = found.groups()
    return int(hours or 0) * 3600.0 + int(minutes or 0) * 60 + float(rest or 0) / (1000 if unit == "ms" else 1)
