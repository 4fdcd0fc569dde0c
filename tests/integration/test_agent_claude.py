"""Claude Code as an agent: what its streams mean, captured ones and such as its protocol allows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.agents.claude import ClaudeAgent
from muster.model.attempts import Cause, Ending, Usage
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from muster.ports import Exit
from tests.contracts.agent_contract import AgentContract, spec_for
from tests.contracts.captured import Played, captured, play, tokens

MODEL = "claude-sonnet-5-5"
NOTHING = (0, 0, 0, 0, 0)
ONE_REQUEST = (400, 600, 0, 50, 0)


class TestClaudeAgent(AgentContract):
    def agent(self) -> ClaudeAgent:
        return ClaudeAgent()

    def good_stream(self) -> list[bytes]:
        return captured("claude", "job")[0]


@pytest.mark.parametrize(
    ("case", "exit", "ending", "cause", "retryable", "used", "cost_usd", "tools", "retries"),
    [
        ("job", Exit(code=0), Ending.OK, "", False, (2000, 3000, 0, 250, 0), 0.0068, 4, 0),
        ("text", Exit(code=0), Ending.OK, "", False, ONE_REQUEST, 0.00136, 0, 0),
        ("think", Exit(code=0), Ending.OK, "", False, ONE_REQUEST, 0.00136, 0, 0),
        ("failshell", Exit(code=0), Ending.OK, "", False, (800, 1200, 0, 100, 0), 0.00272, 1, 0),
        ("badmodel", Exit(code=0), Ending.OK, "", False, ONE_REQUEST, 0.00272, 0, 0),
        ("drop", Exit(code=0), Ending.OK, "", False, (1200, 1800, 0, 54, 0), 0.00312, 0, 1),
        ("err401", Exit(signal=9), Ending.ERROR, "crash", False, NOTHING, None, 0, 8),
        ("err401.mr1", Exit(code=1), Ending.ERROR, "auth", False, NOTHING, 0.0, 0, 1),
        ("err404", Exit(code=1), Ending.ERROR, "invalid_model", False, NOTHING, 0.0, 0, 0),
        ("err429.mr1", Exit(code=1), Ending.ERROR, "rate_limit", True, NOTHING, 0.0, 0, 1),
        ("err500", Exit(code=1), Ending.ERROR, "server", True, NOTHING, 0.0, 0, 1),
        ("noauth", Exit(code=1), Ending.ERROR, "auth", False, NOTHING, 0.0, 0, 0),
        ("hang.TERM", Exit(code=143), Ending.CANCELLED, "cancelled", False, (400, 600, 0, 1, 0), None, 1, 0),
        ("hang.INT", Exit(code=0), Ending.CANCELLED, "cancelled", False, ONE_REQUEST, 0.00136, 1, 0),
        ("budget", Exit(code=1), Ending.ERROR, "limit_budget", False, (800, 1200, 0, 100, 0), 0.00272, 2, 0),
    ],
)
def test_each_captured_stream_is_read_as_what_it_was(
    case: str,
    exit: Exit,
    ending: Ending,
    cause: str,
    retryable: bool,
    used: tuple[int, ...],
    cost_usd: float | None,
    tools: int,
    retries: int,
) -> None:
    lines, stderr = captured("claude", case)

    played = play(ClaudeAgent(), lines, exit, stderr)

    outcome = played.outcome
    assert (outcome.ending, played.cause) == (ending, cause)
    assert (outcome.failure is not None and is_retryable(RetryPolicy(), outcome.failure)) == retryable
    assert tokens(outcome.usage) == used
    assert outcome.usage.cost_usd == (None if cost_usd is None else pytest.approx(cost_usd))
    assert outcome.usage.cost_source == ("none" if cost_usd is None else "reported")
    assert outcome.usage.model == ("claude-nope-9" if case == "badmodel" else MODEL)
    assert outcome.session == json.loads(lines[0])["session_id"]
    assert (played.kinds["tool_started"], played.kinds["retry"]) == (tools, retries)
    assert played.kinds["session"] == 1


def test_tools_are_told_with_their_names_and_how_they_ended() -> None:
    job = play(ClaudeAgent(), captured("claude", "job")[0], Exit(code=0))
    failed = play(ClaudeAgent(), captured("claude", "failshell")[0], Exit(code=0))

    assert [one.tool for one in job.news if one.kind == "tool_ended"] == ["Read", "Write", "Edit", "Bash"]
    assert [(one.tool, one.ok) for one in failed.news if one.kind == "tool_ended"] == [("Bash", False)]
    assert job.texts("result") == ["DONE. I wrote hello.txt, edited README.md and ran a command."]
    assert "I am thinking about it." in play(ClaudeAgent(), captured("claude", "think")[0], Exit()).texts("thought")


def line(**told: Any) -> bytes:
    return json.dumps(told).encode()


def result(**more: Any) -> bytes:
    told = {"type": "result", "subtype": "success", "is_error": False, "result": "done", "session_id": "s", **more}
    return line(**{name: value for name, value in told.items() if value is not ...})


def assistant(text: str = "hi", *, error: str | None = None, id_: str = "m1", **more: Any) -> bytes:
    message = {"id": id_, "model": MODEL, "content": [{"type": "text", "text": text}], **more}
    told = {"type": "assistant", "message": message, "parent_tool_use_id": None}
    return line(**told, **({"error": error} if error else {}))


INIT = line(type="system", subtype="init", session_id="s", model=MODEL)


@pytest.mark.parametrize(
    ("lines", "exit", "ending", "cause"),
    [
        pytest.param([INIT, assistant(), result()], Exit(code=0), Ending.OK, "", id="the least that is good"),
        pytest.param([result()], Exit(code=0), Ending.OK, "", id="nothing but a good result"),
        pytest.param([result(terminal_reason="completed")], Exit(code=0), Ending.OK, "", id="completed"),
        pytest.param([result(brand_new={"x": 1})], Exit(code=0), Ending.OK, "", id="unknown fields"),
        pytest.param([], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="nothing at all"),
        pytest.param([INIT, assistant()], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="no result"),
        pytest.param([result()], Exit(code=143), Ending.CANCELLED, "cancelled", id="stopped after the result"),
        pytest.param([result()], Exit(signal=9), Ending.ERROR, "crash", id="killed after the result"),
        pytest.param([result()], Exit(code=1), Ending.ERROR, "crash", id="rc 1 after the result"),
        pytest.param([INIT], Exit(signal=11), Ending.ERROR, "crash", id="segmentation fault"),
        pytest.param([result(is_error=True)], Exit(code=0), Ending.ERROR, "crash", id="success with is_error"),
        pytest.param([result(is_error=...)], Exit(code=0), Ending.INCOMPLETE, "", id="is_error missing"),
        pytest.param([result(is_error="false")], Exit(code=0), Ending.ERROR, "", id="is_error is a text"),
        pytest.param([result(subtype=...)], Exit(code=0), Ending.ERROR, "", id="subtype missing"),
        pytest.param([result(api_error_status=401)], Exit(code=0), Ending.ERROR, "auth", id="success with 401"),
        pytest.param([assistant(error="unknown"), result()], Exit(code=0), Ending.ERROR, "transport", id="last error"),
        pytest.param([assistant(error="unknown"), assistant(), result()], Exit(code=0), Ending.OK, "", id="recovered"),
        pytest.param([result(), result(is_error=True)], Exit(code=0), Ending.ERROR, "crash", id="then a bad result"),
        pytest.param([result(is_error=True), result()], Exit(code=0), Ending.ERROR, "crash", id="after a bad result"),
        pytest.param([result(), result()], Exit(code=0), Ending.OK, "", id="two good results"),
        pytest.param([result(), INIT, assistant()], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="next turn cut"),
        pytest.param([result()[:-1]], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="half an object"),
        pytest.param([b"[" + result() + b"]"], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="in a list"),
    ],
)
def test_only_a_positive_result_and_exit_code_0_are_ok(
    lines: list[bytes], exit: Exit, ending: Ending, cause: str
) -> None:
    played = play(ClaudeAgent(), lines, exit)

    if cause or ending is Ending.OK:
        assert (played.outcome.ending, played.cause) == (ending, cause)
    assert (played.outcome.ending is Ending.OK) == (ending is Ending.OK)


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        ({"subtype": "error_max_turns", "is_error": True, "terminal_reason": "max_turns"}, Cause.LIMIT_TURNS),
        ({"subtype": "error_max_turns", "is_error": False}, Cause.LIMIT_TURNS),
        ({"subtype": "error_max_budget_usd", "is_error": True}, Cause.LIMIT_BUDGET),
        ({"subtype": "error_max_structured_output_retries", "is_error": True}, Cause.INCOMPLETE),
        ({"subtype": "error_during_execution", "is_error": True}, Cause.CRASH),
        ({"subtype": "error_during_execution", "is_error": True, "api_error_status": 529}, Cause.OVERLOADED),
        ({"is_error": False, "terminal_reason": "max_turns"}, Cause.LIMIT_TURNS),
        ({"is_error": False, "terminal_reason": "hook_stopped"}, Cause.PERMISSION),
        ({"is_error": False, "terminal_reason": "never_heard_of"}, Cause.INCOMPLETE),
        ({"is_error": True, "terminal_reason": "prompt_too_long"}, Cause.BAD_REQUEST),
        ({"is_error": True, "terminal_reason": "blocking_limit"}, Cause.RATE_LIMIT),
        ({"is_error": True, "terminal_reason": "aborted_streaming"}, Cause.CANCELLED),
        ({"is_error": True, "terminal_reason": "api_error"}, Cause.TRANSPORT),
        ({"is_error": True, "terminal_reason": "malformed_tool_use_exhausted"}, Cause.INCOMPLETE),
        ({"is_error": False, "terminal_reason": "tool_deferred_unavailable"}, Cause.PERMISSION),
        ({"is_error": False, "stop_reason": "refusal"}, Cause.BAD_REQUEST),
        ({"is_error": False, "stop_reason": "max_tokens"}, Cause.INCOMPLETE),
        ({"subtype": "error_during_execution", "startup_failure_reason": "config_file_invalid"}, Cause.ENVIRONMENT),
        ({"subtype": "error_during_execution", "startup_failure_reason": "gateway_signin_required"}, Cause.AUTH),
        *(
            ({"is_error": True, "api_error_status": status, "terminal_reason": "api_error"}, cause)
            for status, cause in [
                *((400, Cause.BAD_REQUEST), (401, Cause.AUTH), (403, Cause.AUTH), (404, Cause.INVALID_MODEL)),
                *((408, Cause.TRANSPORT), (413, Cause.BAD_REQUEST), (429, Cause.RATE_LIMIT), (500, Cause.SERVER)),
                *((502, Cause.SERVER), (503, Cause.OVERLOADED), (529, Cause.OVERLOADED)),
            ]
        ),
        ({"is_error": True, "api_error_type": "overloaded_error"}, Cause.OVERLOADED),
        ({"is_error": True, "api_error_status": "429", "api_error_type": "rate_limit_error"}, Cause.RATE_LIMIT),
    ],
)
def test_a_bad_result_has_a_class(told: dict[str, Any], cause: Cause) -> None:
    played = play(ClaudeAgent(), [INIT, result(**told)], Exit(code=1))

    failure = played.outcome.failure
    assert failure is not None
    assert failure.cause is cause
    assert failure.message


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        ("authentication_failed", None, Cause.AUTH),
        ("verification_required", 403, Cause.AUTH),
        ("billing_error", 400, Cause.LIMIT_BUDGET),
        ("model_not_found", 404, Cause.INVALID_MODEL),
        ("rate_limit", None, Cause.RATE_LIMIT),
        ("rate_limit", 529, Cause.OVERLOADED),
        ("overloaded", None, Cause.OVERLOADED),
        ("server_error", None, Cause.SERVER),
        ("invalid_request", None, Cause.BAD_REQUEST),
        ("unknown", None, Cause.TRANSPORT),
        ("unknown", 500, Cause.SERVER),
        ("something_new", None, Cause.TRANSPORT),
    ],
)
def test_the_error_of_the_last_message_gives_the_class(error: str, status: int | None, cause: Cause) -> None:
    lines = [assistant(error=error), result(is_error=True, api_error_status=status, terminal_reason="api_error")]

    assert play(ClaudeAgent(), lines, Exit(code=1)).cause == cause.value


def test_a_rate_limit_that_says_when_it_ends_is_waited_for() -> None:
    limited = {"status": "rejected", "resetsAt": 1795167000, "rateLimitType": "five_hour"}
    lines = [
        line(type="rate_limit_event", rate_limit_info={"status": "allowed", "resetsAt": 1}),
        line(type="rate_limit_event", rate_limit_info=limited),
        line(**{**json.loads(assistant(error="rate_limit")), "timestamp": "2026-11-20T09:00:00.000Z"}),
        result(is_error=True, api_error_status=429),
    ]

    played = play(ClaudeAgent(), lines, Exit(code=1))

    assert played.outcome.failure is not None
    assert played.outcome.failure.retry_after_s == 1800.0
    assert [one.data["resets_at"] for one in played.news if one.kind == "notice"] == ["1795167000"]


def test_what_a_resumed_session_had_used_before_is_not_counted_again() -> None:
    spent = Usage(input=1000, cache_read=2000, output=100, cost_usd=0.5)
    by_model = {"inputTokens": 1400, "cacheReadInputTokens": 2600, "outputTokens": 150, "costUSD": 0.75}
    turn = {"input_tokens": 400, "cache_read_input_tokens": 600, "output_tokens": 50}
    told = result(usage=turn, modelUsage={MODEL: by_model}, total_cost_usd=0.75)
    fresh = result(usage=turn, modelUsage={MODEL: {**by_model, "inputTokens": 400}}, total_cost_usd=0.75)

    resumed = play(ClaudeAgent(), [told], Exit(code=0), session="s", spent=spent).outcome.usage
    begun_anew = play(ClaudeAgent(), [fresh], Exit(code=0), session="s", spent=spent).outcome.usage
    first = play(ClaudeAgent(), [told], Exit(code=0), spent=spent).outcome.usage

    assert (tokens(resumed), resumed.cost_usd) == (ONE_REQUEST, 0.25)
    assert (begun_anew.input, begun_anew.cost_usd) == (400, 0.75)
    assert (first.input, first.cost_usd) == (1400, 0.75)


def test_denied_tools_are_told_once() -> None:
    at_once = line(type="system", subtype="permission_denied", tool_name="Write", tool_use_id="t1", message="no")
    denials = [{"tool_name": "Bash"}, None, {"tool_name": "Write", "tool_use_id": "t1"}]

    played = play(ClaudeAgent(), [at_once, result(permission_denials=denials)], Exit(code=0))

    told = [(one.tool, one.ok) for one in played.news if one.kind == "permission"]
    assert told == [("Write", False), ("Bash", False)]


def test_what_it_tells_beside_the_conversation_is_news() -> None:
    asides = [
        line(type="system", subtype="compact_boundary", compact_metadata={"trigger": "auto", "pre_tokens": 9}),
        line(type="system", subtype="status", status=None, compact_result="failed", compact_error="no room"),
        line(type="system", subtype="status", status="requesting"),
        line(type="system", subtype="model_refusal_fallback", fallback_model="o", content="Another model goes on."),
        line(type="system", subtype="session_writes_lost", error_code="ENOSPC"),
        line(type="system", subtype="hook_response", output="x"),
        line(type="auth_status", isAuthenticating=False, error="expired"),
        line(type="tool_progress", tool_name="Bash", elapsed_time_seconds=30),
        line(
            type="tool_progress",
            tool_name="Agent",
            subagent_retry={"attempt": 2, "retry_delay_ms": 700.4, "error_status": 529, "error_category": "x"},
        ),
    ]

    played = play(ClaudeAgent(), [INIT, *asides, result()], Exit(code=0))

    assert [(one.ok, one.text) for one in played.news if one.kind == "notice"] == [
        (True, "compacted"),
        (False, "no room"),
        (False, "Another model goes on."),
        (False, "It cannot write its session."),
        (False, "expired"),
    ]
    assert [one.data for one in played.news if one.kind == "retry"] == [
        {"class": "overloaded", "attempt": "2", "delay_ms": "700"}
    ]
    assert played.outcome.ok
    assert played.unknown == 0


def test_a_model_that_goes_on_for_another_is_the_reported_one_and_both_are_counted() -> None:
    usage = {"input_tokens": 10, "output_tokens": 5}
    lines = [
        assistant(id_="m1", usage=usage),
        assistant(id_="m2", usage=usage, model="claude-opus-5-5"),
        result(usage=usage, modelUsage={name: {"inputTokens": 10, "outputTokens": 5} for name in ("a", "b")}),
    ]

    usage_told = play(ClaudeAgent(), lines, Exit(code=0)).outcome.usage

    assert (tokens(usage_told), usage_told.model) == ((20, 0, 0, 10, 0), "claude-opus-5-5")


def test_a_prompt_that_the_program_takes_for_a_command_of_its_own_is_not_done() -> None:
    played = play(ClaudeAgent(), [INIT, result(num_turns=0, result="/help isn't available.")], Exit(code=0))

    assert played.cause == "bad_request"
    assert played.outcome.failure is not None
    assert "/help isn't available." in played.outcome.failure.message


def test_a_subagents_error_and_model_are_not_those_of_the_attempt() -> None:
    told = {**json.loads(assistant(error="unknown", model="claude-haiku-5-5")), "parent_tool_use_id": "t1"}

    played = play(ClaudeAgent(), [assistant(), line(**told), result()], Exit(code=0))

    assert (played.outcome.ending, played.outcome.usage.model) == (Ending.OK, MODEL)


def test_strange_lines_do_no_harm() -> None:
    deep = b"[" * 100_000
    strange = [
        *(b"", b"null", b"3", b'"x"', b"\xff\xfe\x00", b"{" * 1000, deep, b'{"type":"assistant","message":'),
        *(line(type="never_heard_of"), line(type=["list"]), line(type="assistant", message=[1])),
        line(type="user", message={"content": [None, {"type": "tool_result", "tool_use_id": 5, "content": [1]}]}),
        line(type="system", subtype="init", session_id=7, model=None),
        line(type="rate_limit_event", rate_limit_info={"status": "rejected", "resetsAt": "soon"}),
        b'{"type":"assistant","timestamp":"9999","message":{"content":[{"type":"text","text":"\\ud800"}]}}',
        assistant("x" * 10_000_000),
        b'{"type":"system","subtype":"init","model":"\xff\xfe"}',
    ]
    good = result(usage={"input_tokens": -1, "output_tokens": "many"}, modelUsage=[1], total_cost_usd=float("nan"))

    played = play(ClaudeAgent(), [*strange, good], Exit(code=0))

    assert played.outcome.ending is Ending.OK
    assert tokens(played.outcome.usage) == NOTHING
    assert max(len(one.text.encode()) for one in played.news) <= 64 * 1024


def test_unknown_events_are_counted() -> None:
    parser = ClaudeAgent().parser(ClaudeAgent().launch(spec_for()))

    for told in (line(type="a"), line(nothing=1), INIT, result()):
        parser.feed(told)

    assert parser.unknown == 2
    assert parser.finish(Exit(code=0), b"").ok


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_beginning_of_a_good_stream_is_ok_before_its_result(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(["job", "text", "think", "failshell", "drop"]))
    stream = b"\n".join(captured("claude", case)[0])
    cut = data.draw(st.integers(0, len(stream) - 1))

    assert play(ClaudeAgent(), stream[:cut].split(b"\n"), Exit(code=0)).outcome.ending is not Ending.OK


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("message", "subtype", "usage", "modelUsage", "errors", "permission_denials", "error", "timestamp", "result")
MORE = ("session_id", "total_cost_usd", "api_error_status", "terminal_reason", "rate_limit_info", "is_error")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from([*FIELDS, *MORE]), VALUES, max_size=6).flatmap(
            lambda fields: st.sampled_from(["system", "assistant", "user", "result", "rate_limit_event"]).map(
                lambda kind: {**fields, "type": kind}
            )
        ),
        max_size=5,
    )
)
def test_no_value_in_a_known_field_makes_the_parser_raise_or_succeed(told: list[dict[str, Any]]) -> None:
    assert play(ClaudeAgent(), [line(**one) for one in told], Exit(code=0)).outcome.ending is not Ending.OK


def played(case: str) -> Played:
    return play(ClaudeAgent(), captured("claude", case)[0], Exit(code=1))


def test_messages_are_for_people() -> None:
    said = {case: played(case).outcome.failure for case in ("err401.mr1", "err404", "budget", "hang.INT")}

    assert said["err401.mr1"] is not None
    assert said["err401.mr1"].message == "HTTP 401: Invalid API key · Fix external API key"
    assert said["budget"] is not None
    assert said["budget"].message == "Reached maximum budget ($0.002)"
    assert said["hang.INT"] is not None
    assert said["hang.INT"].message == "It ended with aborted_tools."
