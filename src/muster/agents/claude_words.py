"""Claude Code's words for what went wrong, as classes."""

from __future__ import annotations

from collections.abc import Mapping

from muster.agents import _dialect as dialect
from muster.model.attempts import Cause

# The words of the Agent SDK's reference (SDKAssistantMessageError, TerminalReason, result subtypes) and of the API's
# error types. A rough word says less than the HTTP status next to it.
_EXACT = dialect.causes(
    auth="authentication_failed oauth_org_not_allowed cloud_credential_error account_on_hold verification_required",
    limit_budget="billing_error",
    invalid_model="model_not_found",
    overloaded="overloaded",
    incomplete="max_output_tokens",
)
_ROUGH = dialect.causes(
    auth="authentication_error permission_error",
    invalid_model="not_found_error",
    rate_limit="rate_limit rate_limit_error",
    bad_request="invalid_request invalid_request_error request_too_large",
    overloaded="overloaded_error",
    server="server_error api_error",
    transport="unknown timeout_error",
)
_ENDED = dialect.causes(
    limit_turns="error_max_turns max_turns",
    limit_budget="error_max_budget_usd budget_exhausted",
    rate_limit="blocking_limit",
    cancelled="aborted_tools aborted_streaming",
    permission="hook_stopped stop_hook_prevented tool_deferred tool_deferred_unavailable",
    bad_request="prompt_too_long image_error",
    server="model_error",
    agent_bug="rapid_refill_breaker",
    incomplete="error_max_structured_output_retries structured_output_retry_exhausted malformed_tool_use_exhausted",
)
# Why the model stopped, by the Messages API: it can be the last word of a result that is called a success.
_STOPPED = dialect.causes(bad_request="refusal model_context_window_exceeded", incomplete="max_tokens")
# A start that failed is told in the same words by a result of its own; most are for the operator's settings.
_UNWELCOME = ("org_", "gateway_")


def cause_of_end(told: Mapping[str, object]) -> Cause | None:
    """The class of a result by its own words; None when they leave it open.

    >>> cause_of_end({"subtype": "success", "stop_reason": "refusal"})
    <Cause.BAD_REQUEST: 'bad_request'>
    >>> cause_of_end({"subtype": "error_during_execution", "startup_failure_reason": "org_verify_failed"})
    <Cause.AUTH: 'auth'>
    """
    if start := told.get("startup_failure_reason"):
        return Cause.AUTH if str(start).startswith(_UNWELCOME) else Cause.ENVIRONMENT
    by_end = _ENDED.get(str(told.get("subtype"))) or _ENDED.get(str(told.get("terminal_reason")))
    return by_end or _STOPPED.get(str(told.get("stop_reason")))


def cause_of_error(word: object, status: object, error_type: object = None) -> Cause | None:
    """The class of an API error by Claude Code's word for it, its HTTP status and the API's error type.

    >>> cause_of_error("billing_error", 400), cause_of_error("invalid_request", 529)
    (<Cause.LIMIT_BUDGET: 'limit_budget'>, <Cause.OVERLOADED: 'overloaded'>)
    """
    exact = _EXACT.get(str(word)) or dialect.cause_of_status(status)
    return exact or _ROUGH.get(str(error_type)) or _ROUGH.get(str(word))
