"""What programs claim and what is believed: the streams of real ones, played with the exit codes that they had."""

from __future__ import annotations

import json

import pytest

from muster import plugins
from muster.agents.acp import AcpAgent
from muster.model.attempts import Ending
from muster.ports import Binding, Exit
from tests.contracts.captured import captured, play

OK, TERM, KILL = Exit(code=0), Exit(signal=15), Exit(signal=9)
# How each program ended; claude's were captured with its retries at 1, a KILL is ours after 40 s of its own retries.
LIES: dict[str, dict[str, tuple[Exit, str]]] = {
    "claude": {
        "err401.mr1": (Exit(code=1), "auth"),
        "err404": (Exit(code=1), "invalid_model"),  # its result has the subtype `success`
        "err429.mr1": (Exit(code=1), "rate_limit"),
        "err500": (Exit(code=1), "server"),
        "noauth": (Exit(code=1), "auth"),
        "hang.TERM": (Exit(code=143), "cancelled"),
        "hang.INT": (OK, "cancelled"),
    },
    "codex": {
        "err401": (Exit(code=1), "auth"),
        "err404": (Exit(code=1), "invalid_model"),
        "err429": (Exit(code=1), "rate_limit"),
        "err500": (Exit(code=1), "server"),
        "drop": (Exit(code=1), "transport"),
        "noauth": (Exit(code=1), "auth"),
        "hang.TERM": (TERM, "cancelled"),
    },
    "gemini": {
        "err401": (Exit(code=145), "auth"),
        "err404": (Exit(code=1), "invalid_model"),
        "err429": (KILL, ""),
        "err500": (KILL, ""),
        "drop": (OK, "transport"),
        "noauth": (Exit(code=41), "auth"),
        "hang.TERM": (OK, "incomplete"),
    },
    "opencode": {
        "err401": (Exit(code=1), "auth"),
        "err404": (Exit(code=1), "invalid_model"),
        "err429": (Exit(code=1), "rate_limit"),
        "err500": (Exit(code=1), "server"),
        "drop": (KILL, "agent_bug"),
        "hang.TERM": (TERM, "cancelled"),
    },
    "pi": {
        "err401": (OK, "auth"),
        "err404": (OK, "invalid_model"),
        "err429": (OK, "rate_limit"),
        "err500": (OK, "server"),
        "drop": (OK, "transport"),
        "hang.TERM": (Exit(code=143), "cancelled"),
    },
}
CASES = [
    pytest.param(program, case, exit, cause, id=f"{program} {case}")
    for program, cases in LIES.items()
    for case, (exit, cause) in cases.items()
]


@pytest.mark.parametrize(("program", "case", "exit", "cause"), CASES)
def test_no_failure_is_ok_whatever_its_exit_code_and_each_has_its_class(
    program: str, case: str, exit: Exit, cause: str
) -> None:
    agent = plugins.find("muster.agents", program)(Binding(name=program))
    lines, stderr = captured(program, case)

    as_it_was, claiming_success = play(agent, lines, exit, stderr), play(agent, lines, OK, stderr)

    assert as_it_was.outcome.ending is not Ending.OK
    assert claiming_success.outcome.ending is not Ending.OK
    if cause:
        assert as_it_was.cause == cause


@pytest.mark.parametrize("program", LIES)
def test_what_went_well_is_ok_with_exit_code_0_alone(program: str) -> None:
    agent = plugins.find("muster.agents", program)(Binding(name=program))
    lines, stderr = captured(program, "job")

    assert play(agent, lines, OK, stderr).outcome.ending is Ending.OK
    for exit in (Exit(code=1), Exit(code=143), TERM, KILL):
        assert play(agent, lines, exit, stderr).outcome.ending is not Ending.OK


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([], id="nothing else"),
        pytest.param(
            [{"method": "session/update", "params": {"update": {"sessionUpdate": "usage_update", "used": 0}}}],
            id="with no tokens",
        ),
    ],
)
def test_an_acp_turn_that_ended_without_a_word_or_a_tool_is_not_ok(told: list[dict[str, object]]) -> None:
    agent = AcpAgent(Binding(name="acp", command=("any",)))
    ended = {"id": 3, "result": {"stopReason": "end_turn"}}
    lines = [json.dumps(one).encode() for one in ({"id": 2, "result": {"sessionId": "s"}}, *told, ended)]

    assert play(agent, lines, OK).outcome.ending is Ending.INCOMPLETE
