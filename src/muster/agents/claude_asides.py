"""What Claude Code tells of itself beside the conversation, as news."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from muster.agents import _dialect as dialect
from muster.agents._dialect import count, mapping, text_of
from muster.agents.claude_words import cause_of_error
from muster.model.attempts import Cause
from muster.ports import News

# Which field of a message says what is wrong; without it, nothing is.
_PROBLEMS = {
    "model_refusal_fallback": "content",
    "model_refusal_no_fallback": "content",
    "status": "compact_error",
    "auth_status": "error",
    "mirror_error": "error",
}


def aside(told: dict[str, Any]) -> Iterable[News]:
    """The news in a message about waiting, summaries, another model or its own files."""
    kind, retry = told.get("subtype") or told.get("type"), mapping(told.get("subagent_retry"))
    if kind == "api_retry" or retry:
        retry = retry or told
        word = retry.get("error", retry.get("error_category"))
        cause = cause_of_error(word, retry.get("error_status")) or Cause.TRANSPORT
        data = {"class": cause.value, "attempt": str(count(retry.get("attempt")))}
        data["delay_ms"] = str(round(dialect.price(retry.get("retry_delay_ms")) or 0))
        return (News(kind="retry", ok=False, text=text_of(word), data=data),)
    if kind == "compact_boundary":
        return (News(kind="notice", text="compacted"),)
    problem = _PROBLEMS.get(str(kind))
    said = text_of(told.get(problem)) if problem else ""
    if kind == "session_writes_lost" or said:
        return (News(kind="notice", ok=False, text=said or "It cannot write its session."),)
    return (News(kind="delta"),) if kind == "tool_progress" else ()
