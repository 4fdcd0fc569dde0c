"""Gemini CLI's dialect, against what the real program wrote and against what it might write."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.agents.gemini import GeminiAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome, Usage
from muster.model.errors import InputError
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from muster.ports import Binding, Exit, News
from tests.contracts.agent_contract import AgentContract, spec_for
from tests.contracts.executor_contract import attempt

DATA = Path(__file__).parents[1] / "data" / "agents" / "gemini"
MODEL = "gemini-2.5-flash"
ONE_CALL = Usage(input=400, cache_read=600, output=60, reasoning=10, model=MODEL)


WELL = Exit(code=0)


def lines_of(case: str) -> list[bytes]:
    return (DATA / f"{case}.stdout").read_bytes().splitlines()


def play(
    lines: list[bytes], exit: Exit = WELL, stderr: bytes = b"", *, session: str = ""
) -> tuple[list[News], Outcome]:
    agent = GeminiAgent()
    parser = agent.parser(agent.launch(spec_for(session=session)))
    news = [one for line in lines for one in parser.feed(line)]
    return news, parser.finish(exit, stderr)


def told(*events: Mapping[str, object]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


def failed_with(message: str, kind: str = "unknown") -> list[bytes]:
    return told(INIT, {"type": "result", "status": "error", "error": {"type": kind, "message": message}})


INIT: dict[str, object] = {"type": "init", "session_id": "s", "model": "m"}
GOOD: dict[str, object] = {"type": "result", "status": "success", "stats": {}}


class TestGeminiAgent(AgentContract):
    def agent(self) -> GeminiAgent:
        return GeminiAgent()

    def good_stream(self) -> list[bytes]:
        return lines_of("job")


@pytest.mark.parametrize(
    ("case", "exit", "ending", "cause", "usage", "tools"),
    [
        (
            "job",
            Exit(code=0),
            Ending.OK,
            None,
            Usage(input=2000, cache_read=3000, output=300, reasoning=50, model=MODEL),
            4,
        ),
        ("text", Exit(code=0), Ending.OK, None, ONE_CALL, 0),
        ("think", Exit(code=0), Ending.OK, None, ONE_CALL, 0),
        (
            "failshell",
            Exit(code=0),
            Ending.OK,
            None,
            Usage(input=800, cache_read=1200, output=120, reasoning=20, model=MODEL),
            1,
        ),
        # The scripted server answers for every model, and the program believes it.
        (
            "badmodel",
            Exit(code=0),
            Ending.OK,
            None,
            Usage(input=400, cache_read=600, output=60, reasoning=10, model="gemini-nope"),
            0,
        ),
        ("err401", Exit(code=145), Ending.ERROR, Cause.AUTH, Usage(model=MODEL), 0),
        ("err404", Exit(code=1), Ending.ERROR, Cause.INVALID_MODEL, Usage(model=MODEL), 0),
        ("err429", Exit(signal=9), Ending.ERROR, Cause.CRASH, Usage(model=MODEL), 0),
        ("err429", Exit(code=173), Ending.ERROR, Cause.RATE_LIMIT, Usage(model=MODEL), 0),
        ("err500", Exit(code=244), Ending.ERROR, Cause.SERVER, Usage(model=MODEL), 0),
        (
            "drop",
            Exit(code=0),
            Ending.ERROR,
            Cause.TRANSPORT,
            Usage(input=1600, cache_read=2400, output=240, reasoning=40, model=MODEL),
            0,
        ),
        ("noauth", Exit(code=41), Ending.ERROR, Cause.AUTH, Usage(), 0),
        # It takes TERM and INT for a reason to end with 0, without a word about its work.
        ("hang.TERM", Exit(code=0), Ending.INCOMPLETE, Cause.INCOMPLETE, Usage(model=MODEL), 1),
        ("hang.INT", Exit(signal=9), Ending.ERROR, Cause.CRASH, Usage(model=MODEL), 1),
    ],
)
def test_what_the_real_program_wrote_is_understood(
    case: str, exit: Exit, ending: Ending, cause: Cause | None, usage: Usage, tools: int
) -> None:
    news, outcome = play(lines_of(case), exit, (DATA / f"{case}.stderr").read_bytes()[-8192:])

    assert outcome.ending is ending
    assert (outcome.failure.cause if outcome.failure else None) is cause
    assert outcome.usage == usage
    assert [one.kind for one in news].count("tool_started") == tools
    assert all(one.tool for one in news if one.kind == "tool_ended")
    sessions = [one.text for one in news if one.kind == "session"]
    assert sessions == ([outcome.session] if lines_of(case) else [])


def test_every_captured_case_is_in_the_table() -> None:
    mark = test_what_the_real_program_wrote_is_understood.pytestmark[0]  # type: ignore[attr-defined]

    assert {path.stem for path in DATA.glob("*.stdout")} == {row[0] for row in mark.args[1]}


def test_pieces_of_a_text_are_put_together_and_tools_have_their_names() -> None:
    news, _ = play(lines_of("job"))

    assert [one.text for one in news if one.kind == "text"][:2] == ["I will read the readme.", "Now I write a file."]
    assert [one.text for one in news if one.kind == "text"][-1].startswith("DONE. I wrote hello.txt")
    assert [one.tool for one in news if one.kind == "tool_ended"] == [
        *("read_file", "write_file", "replace", "run_shell_command")
    ]
    assert news[-1].kind == "result"


@pytest.mark.parametrize(
    ("message", "kind", "code", "stderr", "cause"),
    [
        ("x", "FatalAuthenticationError", 41, b"", Cause.AUTH),
        ("x", "FatalTurnLimitedError", 53, b"", Cause.LIMIT_TURNS),
        ("x", "FatalToolExecutionError", 54, b"", Cause.ENVIRONMENT),
        ("x", "no_space_left", 54, b"", Cause.ENVIRONMENT),
        ("x", "FatalCancellationError", 130, b"", Cause.CANCELLED),
        ("x", "TerminalQuotaError", 1, b"", Cause.RATE_LIMIT),
        ("x", "RetryableQuotaError", 247, b"", Cause.OVERLOADED),
        ("x", "ValidationRequiredError", 1, b"", Cause.AUTH),
        ("x", "TypeError", 1, b"", Cause.CRASH),
        ("[API Error: x]", "unknown", 147, b"", Cause.AUTH),
        ("[API Error: x]", "unknown", 144, b"", Cause.BAD_REQUEST),
        ("[API Error: x]", "unknown", 148, b"", Cause.INVALID_MODEL),
        ("[API Error: x]", "unknown", 152, b"", Cause.TRANSPORT),
        ("[API Error: x]", "unknown", 247, b"", Cause.OVERLOADED),
        ("[API Error: x]", "unknown", 248, b"", Cause.SERVER),
        ("[API Error: slow (Status: RESOURCE_EXHAUSTED)]", "unknown", 1, b"", Cause.RATE_LIMIT),
        ('[API Error: {"error":{"code":503,"status":"UNAVAILABLE"}}]', "unknown", 1, b"", Cause.OVERLOADED),
        (
            '[API Error: {"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]',
            *("unknown", 144, b"", Cause.AUTH),
        ),
        ("[API Error: fetch failed]", "unknown", 1, b"  [cause]: { code: 'ECONNREFUSED' }", Cause.TRANSPORT),
        ("[API Error: x]", "unknown", 1, b"... ModelNotFoundError: model: x\n", Cause.INVALID_MODEL),
        # What people and models write is no reason.
        ("401 Unauthorized, they said; RESOURCE_EXHAUSTED", "unknown", 1, b"status 429", Cause.AUTH),
        ("They said 401 Unauthorized, RESOURCE_EXHAUSTED", "unknown", 1, b"status 429", Cause.CRASH),
    ],
)
def test_a_failure_is_classed_by_its_codes(message: str, kind: str, code: int, stderr: bytes, cause: Cause) -> None:
    _, outcome = play(failed_with(message, kind), Exit(code=code), stderr)

    assert outcome.failure is not None
    assert outcome.failure.cause is cause
    assert outcome.ending is (Ending.CANCELLED if cause is Cause.CANCELLED else Ending.ERROR)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        *((42, Cause.BAD_REQUEST), (52, Cause.ENVIRONMENT), (55, Cause.PERMISSION), (1, Cause.CRASH)),
        *((130, Cause.CANCELLED), (143, Cause.CANCELLED), (137, Cause.CRASH), (139, Cause.CRASH)),
        *((145, Cause.AUTH), (173, Cause.RATE_LIMIT), (244, Cause.SERVER)),
    ],
)
def test_an_exit_code_tells_the_reason_when_nothing_else_does(code: int, cause: Cause) -> None:
    for lines in ([], told(INIT), told(INIT, GOOD)):
        _, outcome = play(lines, Exit(code=code))

        assert outcome.failure is not None
        assert outcome.failure.cause is cause


def test_the_time_that_the_provider_asks_for_is_kept() -> None:
    details = '[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"41.5s"}]'
    _, outcome = play(failed_with(f'[API Error: {{"error":{{"code":429,"details":{details}}}}}]'), Exit(code=173))

    assert outcome.failure is not None
    assert outcome.failure.retry_after_s == 41.5
    assert is_retryable(RetryPolicy(), outcome.failure)


def test_an_error_beside_a_success_is_no_success() -> None:
    bad: dict[str, object] = {"type": "result", "status": "error"}
    both: dict[str, object] = {**GOOD, "error": {"type": "Error", "message": "no"}}

    for lines in (told(INIT, GOOD, bad), told(INIT, bad, GOOD), told(INIT, both), told(INIT, {"type": "result"})):
        assert play(lines)[1].ending is Ending.ERROR


@pytest.mark.parametrize(
    ("said", "status", "cause"),
    [
        # It calls these a success.
        ("Loop detected, stopping execution", "success", Cause.INCOMPLETE),
        ("Maximum session turns exceeded", "success", Cause.LIMIT_TURNS),
        ("Agent execution blocked: not today", "success", Cause.PERMISSION),
        # And has no error beside these.
        ("Model stream ended without a finish reason.", "error", Cause.TRANSPORT),
        ("The model response was blocked due to safety settings.", "error", Cause.BAD_REQUEST),
        ("Model response was truncated because it exceeded the token limit.", "error", Cause.INCOMPLETE),
    ],
)
def test_why_it_stopped_may_be_in_an_event_before_the_result(said: str, status: str, cause: Cause) -> None:
    trouble: dict[str, object] = {"type": "error", "severity": "warning", "message": said}

    _, outcome = play(told(INIT, trouble, {**GOOD, "status": status}))

    assert outcome.failure is not None
    assert outcome.failure.cause is cause
    assert outcome.failure.message == said


def test_trouble_after_which_it_went_on_is_none() -> None:
    trouble: dict[str, object] = {"type": "error", "severity": "error", "message": "Loop detected, stopping execution"}
    more: dict[str, object] = {"type": "message", "role": "assistant", "content": "Go on.", "delta": True}

    assert play(told(INIT, trouble, more, GOOD))[1].ok
    assert play(told(INIT, {**trouble, "message": "MCP server x is away"}, GOOD))[1].ok


def test_the_first_of_two_errors_is_the_reason() -> None:
    first, second = failed_with("x", "FatalTurnLimitedError"), failed_with("x", "UnauthorizedError")

    _, outcome = play([*first, *second], Exit(code=1))

    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.LIMIT_TURNS


@pytest.mark.anyio
async def test_an_attempt_gets_its_prompt_and_its_settings_and_the_user_s_key(tmp_path: Path) -> None:
    program = tmp_path / "gemini"
    program.write_text(
        "#!/bin/sh\n"
        'grep -q \'"maxAttempts": 2\' "$GEMINI_CLI_SYSTEM_DEFAULTS_PATH" || exit 52\n'
        '[ "$GEMINI_API_KEY" = mine ] && [ -z "$OPENAI_API_KEY" ] || exit 41\n'
        '[ "$(cat)" = "Do it" ] || exit 42\n'
        f"cat {shlex.quote(str(DATA / 'job.stdout'))}\n"
    )
    program.chmod(0o755)
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), "GEMINI_API_KEY": "mine", "OPENAI_API_KEY": "other"}
    agents = {"g": GeminiAgent(Binding(name="g", command=(str(program),)))}
    told: list[News] = []

    outcome = await LocalExecutor(agents, SystemClock(), environ=environ).run(
        attempt(tmp_path, agent="g", prompt="Do it"), told.append
    )

    assert outcome.ok, outcome.failure
    assert outcome.usage.model == MODEL
    assert [one.kind for one in told].count("tool_ended") == 4


def test_a_line_that_is_cut_or_huge_or_no_utf_8_is_survived() -> None:
    huge = json.dumps({"type": "message", "role": "assistant", "content": "x" * 10_000_000}).encode()
    odd = [b'{"type":"result","status":"succ', b"\xff\xfe{}", b'{"type":["result"],"status":"success"}', huge]

    news, outcome = play([*told(INIT), *odd])

    assert outcome.ending is Ending.INCOMPLETE
    assert max(len(one.text) for one in news) <= 64 * 1024
    assert play([*told(INIT), *odd, *told(GOOD)])[1].ok


def test_unknown_events_are_counted_and_a_refused_tool_is_told() -> None:
    agent = GeminiAgent()
    parser = agent.parser(agent.launch(spec_for()))
    refused = {"type": "tool_result", "tool_id": "1", "status": "error", "error": {"type": "policy_violation"}}
    lines = told(
        INIT, {"type": "tool_use", "tool_id": "1", "tool_name": "write_file"}, refused, {"type": "new"}, {}, GOOD
    )

    news = [one for line in lines for one in parser.feed(line)]

    assert parser.unknown == 2
    assert [(one.kind, one.tool, one.ok) for one in news if one.tool] == [
        ("tool_started", "write_file", True),
        ("permission", "write_file", False),
        ("tool_ended", "write_file", False),
    ]
    assert parser.finish(Exit(code=0), b"").ok


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["role", "delta", "content", "tool_id", "tool_name", "status", "error", "stats", "session_id"])
KINDS = st.sampled_from(["init", "message", "tool_use", "tool_result", "error", "result"])


@settings(deadline=None)
@given(st.lists(st.tuples(KINDS, st.dictionaries(KEYS, VALUES)), max_size=6), st.integers(-1, 255))
def test_no_event_of_a_wrong_shape_makes_it_raise_or_succeed(
    events: list[tuple[str, dict[str, object]]], code: int
) -> None:
    lines = [json.dumps({**fields, "type": kind}).encode() for kind, fields in events]

    _, outcome = play(lines, Exit(code=code), b"")

    assert not outcome.ok
    assert outcome.failure is not None
    assert outcome.failure.message


@settings(deadline=None)
@given(st.data())
def test_a_stream_cut_at_any_byte_before_its_end_is_not_ok(data: st.DataObject) -> None:
    stream = (DATA / "text.stdout").read_bytes()
    at = data.draw(st.integers(0, len(stream) - 2))

    assert not play(stream[:at].split(b"\n"))[1].ok


def test_permission_model_and_session_become_flags() -> None:
    agent = GeminiAgent(Binding(name="g", command=("node", "gemini.js"), models={"opus": "gemini-3-pro"}))

    fresh = agent.launch(spec_for(model="opus", permission="read"))
    again = agent.launch(spec_for(session="abc", permission="full"))

    assert fresh.argv == (
        *("node", "gemini.js", "-o", "stream-json", "--skip-trust", "--approval-mode", "default"),
        *("-m", "gemini-3-pro", "--session-id", fresh.session),
    )
    assert again.argv[-4:] == ("--approval-mode", "yolo", "--resume", "abc")
    assert fresh.session != agent.launch(spec_for(id="run:T1:2")).session
    with pytest.raises(InputError, match="read, edit, full"):
        agent.launch(spec_for(permission="all"))


def test_nested_retries_and_telemetry_are_off_without_another_home() -> None:
    launch = GeminiAgent().launch(spec_for())

    place = launch.env["GEMINI_CLI_SYSTEM_DEFAULTS_PATH"]
    assert json.loads(launch.files[Path(place).name])["general"]["maxAttempts"] == 2
    assert Path(place).parent == spec_for().folder
    assert launch.env["GEMINI_TELEMETRY_ENABLED"] == "false"
    assert not {"HOME", "GEMINI_CLI_HOME"} & set(launch.env)
    assert "GEMINI_API_KEY" in launch.env_allow
