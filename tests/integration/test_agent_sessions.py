"""An earlier session that is not there any more, in the words of each program, as they were captured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from muster import plugins
from muster.model.attempts import Cause
from muster.ports import Binding, Exit
from tests.contracts.captured import captured, play

CLAUDE = {
    "type": "result",
    "subtype": "error_during_execution",
    "is_error": True,
    "session_id": "old",
    "total_cost_usd": 0,
    "modelUsage": {},
    "errors": ["No conversation found with session ID: old"],
}
CODEX = b"Error: thread/resume: thread/resume failed: no rollout found for thread id old (code -32600)\n"
GEMINI = b"Error resuming session: No previous sessions found for this project.\n"
OPENCODE = b"\x1b[91m\x1b[1mError: \x1b[0mSession not found\n"
GONE: dict[str, tuple[list[dict[str, Any]], int, bytes]] = {
    "claude": ([CLAUDE], 1, b"No conversation found with session ID: old\n"),
    "codex": ([], 1, CODEX),
    "gemini": ([], 42, GEMINI),
    "opencode": ([], 1, OPENCODE),
}


@pytest.mark.parametrize("program", GONE)
def test_a_session_that_is_gone_is_named_so_that_the_next_attempt_begins_anew(program: str) -> None:
    told, code, stderr = GONE[program]
    agent = plugins.find("muster.agents", program)(Binding(name=program))
    lines = [json.dumps(one).encode() for one in told]

    resumed = play(agent, lines, Exit(code=code), stderr, session="old")
    fresh = play(agent, lines, Exit(code=code), stderr)
    stopped = play(agent, [], Exit(code=143), b"", session="old")

    assert resumed.cause == Cause.SESSION_LOST.value
    assert fresh.cause not in ("", Cause.SESSION_LOST.value)
    assert stopped.cause == Cause.CANCELLED.value


@pytest.mark.parametrize(("program", "code"), [("claude", 1), ("codex", 1), ("gemini", 41)])
def test_a_resumed_session_that_fails_for_want_of_a_login_is_not_taken_for_a_lost_one(program: str, code: int) -> None:
    agent = plugins.find("muster.agents", program)(Binding(name=program))

    played = play(agent, *(captured(program, "noauth")[0], Exit(code=code), b""), session="old")

    assert played.cause == Cause.AUTH.value
