"""OpenCode's dialect, against what the real program wrote and against what it might write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.agents.opencode import OpenCodeAgent
from muster.model.attempts import Cause, Ending, Outcome, Usage
from muster.model.errors import InputError
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from muster.ports import Binding, Exit, News
from tests.contracts.agent_contract import AgentContract, spec_for

DATA = Path(__file__).parents[1] / "data" / "agents" / "opencode"
WELL = Exit(code=0)


def lines_of(case: str) -> list[bytes]:
    return (DATA / f"{case}.stdout").read_bytes().splitlines()


def play(lines: list[bytes], exit: Exit = WELL, *, session: str = "", model: str = "") -> tuple[list[News], Outcome]:
    agent = OpenCodeAgent()
    parser = agent.parser(agent.launch(spec_for(session=session, model=model)))
    news = [one for line in lines for one in parser.feed(line)]
    return news, parser.finish(exit, b"")


def told(*events: Mapping[str, object]) -> list[bytes]:
    return [json.dumps({"sessionID": "ses_1", **event}).encode() for event in events]


def steps(calls: int) -> Usage:
    return Usage(
        input=400 * calls,
        cache_read=600 * calls,
        output=50 * calls,
        reasoning=10 * calls,
        cost_usd=pytest.approx(0.00213 * calls),  # type: ignore[arg-type]
        cost_source="reported",
    )


START: dict[str, object] = {"type": "step_start", "part": {"type": "step-start"}}
STOP: dict[str, object] = {"type": "step_finish", "part": {"type": "step-finish", "reason": "stop"}}


def finish(reason: str, at_ms: int = 0, **tokens: int) -> dict[str, object]:
    return {"type": "step_finish", "timestamp": at_ms, "part": {"reason": reason, "tokens": tokens}}


def error(name: str, **data: object) -> dict[str, object]:
    return {"type": "error", "error": {"name": name, "data": data}}


class TestOpenCodeAgent(AgentContract):
    def agent(self) -> OpenCodeAgent:
        return OpenCodeAgent()

    def good_stream(self) -> list[bytes]:
        return lines_of("job")


@pytest.mark.parametrize(
    ("case", "exit", "ending", "cause", "retry_after_s", "usage", "tools"),
    [
        ("job", Exit(code=0), Ending.OK, None, None, steps(5), 4),
        ("text", Exit(code=0), Ending.OK, None, None, steps(1), 0),
        ("think", Exit(code=0), Ending.OK, None, None, steps(1), 0),
        ("failshell", Exit(code=0), Ending.OK, None, None, steps(2), 1),
        ("err401", Exit(code=1), Ending.ERROR, Cause.AUTH, None, Usage(), 0),
        ("err404", Exit(code=1), Ending.ERROR, Cause.INVALID_MODEL, None, Usage(), 0),
        ("badmodel", Exit(code=1), Ending.ERROR, Cause.INVALID_MODEL, None, Usage(), 0),
        ("err429", Exit(code=1), Ending.ERROR, Cause.RATE_LIMIT, 1.0, Usage(), 0),
        ("err500", Exit(code=1), Ending.ERROR, Cause.SERVER, None, Usage(), 0),
        ("drop", Exit(signal=9), Ending.ERROR, Cause.AGENT_BUG, None, Usage(), 0),
        ("hang.TERM", Exit(signal=15), Ending.CANCELLED, Cause.CANCELLED, None, Usage(), 0),
        ("hang.INT", Exit(signal=2), Ending.CANCELLED, Cause.CANCELLED, None, Usage(), 0),
    ],
)
def test_what_the_real_program_wrote_is_understood(
    case: str,
    exit: Exit,
    ending: Ending,
    cause: Cause | None,
    retry_after_s: float | None,
    usage: Usage,
    tools: int,
) -> None:
    news, outcome = play(lines_of(case), exit, model="scripted/scripted-1")

    assert outcome.ending is ending
    assert (outcome.failure.cause if outcome.failure else None) is cause
    assert (outcome.failure.retry_after_s if outcome.failure else None) == retry_after_s
    assert outcome.usage == usage
    assert [one.kind for one in news].count("tool_ended") == tools
    assert [one.text for one in news if one.kind == "session"] == [outcome.session]
    assert outcome.session.startswith("ses_")


def test_every_captured_case_is_in_the_table() -> None:
    mark = test_what_the_real_program_wrote_is_understood.pytestmark[0]  # type: ignore[attr-defined]

    assert {path.stem for path in DATA.glob("*.stdout")} == {row[0] for row in mark.args[1]}


def test_a_command_that_failed_is_a_tool_that_failed() -> None:
    news, _ = play(lines_of("failshell"))

    assert [(one.tool, one.ok, one.text, one.data["exit_code"]) for one in news if one.kind == "tool_ended"] == [
        ("bash", False, "oops\n", "3")
    ]


def test_a_program_that_repeats_an_empty_step_is_told_at_once_and_once() -> None:
    lines = lines_of("drop")
    agent = OpenCodeAgent()
    parser = agent.parser(agent.launch(spec_for()))

    told_at = [at for at, line in enumerate(lines) for one in parser.feed(line) if one.data.get("stop") == "agent_bug"]

    assert told_at == [29]  # three lines a step
    outcome = parser.finish(Exit(signal=9), b"")
    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.AGENT_BUG
    assert not is_retryable(RetryPolicy(), outcome.failure)


@pytest.mark.parametrize(
    ("every_ms", "texts", "tokens", "loops"),
    [
        (100, ["same"], {}, True),
        (6_600, ["same"], {}, True),
        (6_700, ["same"], {}, False),  # fewer than 10 a minute
        (100, ["one", "two"], {}, False),
        (100, ["same"], {"output": 1}, False),
    ],
)
def test_only_many_equal_steps_without_a_result_are_a_loop(
    every_ms: int, texts: list[str], tokens: dict[str, int], loops: bool
) -> None:
    events: list[Mapping[str, object]] = []
    for at in range(12):
        text = {"type": "text", "part": {"text": texts[at % len(texts)]}}
        events += [START, text, finish("unknown", 1_700_000_000_000 + at * every_ms, **tokens)]

    _, outcome = play(told(*events), Exit(signal=9))

    assert outcome.failure is not None
    assert (outcome.failure.cause is Cause.AGENT_BUG) is loops


def test_a_loop_that_ends_well_after_all_is_no_loop() -> None:
    events = [event for _ in range(12) for event in (START, finish("unknown"))]

    assert play(told(*events, START, finish("stop")))[1].ok


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (error("ProviderAuthError", providerID="x", message="no key"), Cause.AUTH),
        (error("ProviderModelNotFoundError", providerID="x", modelID="y"), Cause.INVALID_MODEL),
        (error("ContextOverflowError", message="too long"), Cause.BAD_REQUEST),
        (error("MessageOutputLengthError"), Cause.INCOMPLETE),
        (error("MessageAbortedError", message="aborted"), Cause.CANCELLED),
        (error("APIError", message="x", statusCode=403, isRetryable=False), Cause.AUTH),
        (error("APIError", message="x", statusCode=400, isRetryable=False), Cause.BAD_REQUEST),
        (error("APIError", message="x", statusCode=402), Cause.LIMIT_BUDGET),
        (error("APIError", message="x", statusCode=529, isRetryable=True), Cause.OVERLOADED),
        (error("APIError", message="x", statusCode=502, isRetryable=True), Cause.SERVER),
        (error("APIError", message="reset", isRetryable=True, metadata={"code": "ECONNRESET"}), Cause.TRANSPORT),
        (error("APIError", message="x", isRetryable=False), Cause.BAD_REQUEST),
        (
            error("APIError", message="x", statusCode=429, responseBody='{"error":{"code":"insufficient_quota"}}'),
            Cause.LIMIT_BUDGET,
        ),
        (error("ContentFilterError", message="no"), Cause.BAD_REQUEST),
        (
            error("APIError", message="x", statusCode=401, responseBody='{"error":{"type":"CreditsError"}}'),
            Cause.LIMIT_BUDGET,
        ),
        (
            error("APIError", message="x", statusCode=401, responseBody='{"error":{"type":"ModelError"}}'),
            Cause.INVALID_MODEL,
        ),
        (error("UnknownError", message="429 Too Many Requests, said the model"), Cause.RATE_LIMIT),
        (error("UnknownError", message="something about 429 and rate limits"), Cause.AGENT_BUG),
        ({"type": "error", "error": "text"}, Cause.AGENT_BUG),
        ({"type": "error"}, Cause.AGENT_BUG),
    ],
)
def test_an_error_is_classed_by_its_name_and_its_codes(event: dict[str, object], cause: Cause) -> None:
    for code in (0, 1):
        _, outcome = play(told(event), Exit(code=code))

        assert outcome.failure is not None
        assert outcome.failure.cause is cause
        assert outcome.failure.message
        assert not outcome.ok


def test_an_unknown_error_in_the_middle_of_the_work_may_be_tried_again() -> None:
    _, outcome = play(told(START, finish("tool-calls"), error("UnknownError", message="x")), Exit(code=1), model="a/b")

    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.SERVER


@pytest.mark.parametrize("reason", ["tool-calls", "length", "content-filter", "error", "unknown", "other", ""])
def test_a_last_step_that_did_not_stop_by_itself_is_incomplete(reason: str) -> None:
    assert play(told(START, finish(reason)))[1].ending is Ending.INCOMPLETE
    assert play(told(START, finish("stop"), START, finish(reason)))[1].ending is Ending.INCOMPLETE
    assert play(told(START, finish("stop"), START))[1].ending is Ending.INCOMPLETE
    assert play(told(START, finish(reason), START, finish("stop")))[1].ok


def test_an_error_beside_a_success_is_no_success() -> None:
    for events in ([START, STOP, error("UnknownError")], [error("UnknownError"), START, STOP]):
        assert play(told(*events))[1].ending is Ending.ERROR
    assert play(told(START, STOP), Exit(code=143))[1].ending is Ending.CANCELLED


@pytest.mark.parametrize(
    "stderr", [b"Error: Unexpected error\ndatabase is locked\n", b"CREATE TABLE `x` (\n  y\n);\n\nparams: \n"]
)
def test_one_that_met_another_while_that_set_up_their_database_is_started_again(stderr: bytes) -> None:
    agent = OpenCodeAgent()
    parser = agent.parser(agent.launch(spec_for()))

    outcome = parser.finish(Exit(code=1), stderr)

    assert outcome.failure is not None
    assert is_retryable(RetryPolicy(), outcome.failure)


def test_the_first_of_two_errors_is_the_reason() -> None:
    _, outcome = play(told(error("ProviderAuthError"), error("MessageAbortedError")), Exit(code=1))

    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.AUTH


def test_a_part_that_is_told_twice_counts_once() -> None:
    lines = lines_of("job")

    once, first = play(lines)
    twice, second = play([line for line in lines for _ in range(2)])

    assert (once, first) == (twice, second)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "30", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 06:06:01 GMT"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 06:06:01 GMT", "date": "Fri, 20 Nov 2026 06:05:01 GMT"}, 60.0),
        ({"retry-after": "Fri, 20 Nov 2026 06:06:01 GMT", "date": "Sat, 21 Nov 2026 06:05:01 GMT"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 06:06:01 GMT", "date": "today"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 06:06:01 GMT", "date": "Fri, 20 Nov 2026 06:05:01 -0000"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": 7}, None),
        ([], None),
    ],
)
def test_the_time_that_the_provider_asks_for_is_kept(headers: object, wait_s: float | None) -> None:
    _, outcome = play(told(error("APIError", statusCode=429, responseHeaders=headers)), Exit(code=1))

    assert outcome.failure is not None
    assert outcome.failure.retry_after_s == wait_s


def test_a_line_that_is_cut_or_huge_or_no_utf_8_is_survived() -> None:
    huge = told({"type": "text", "part": {"text": "x" * 10_000_000}})
    odd = [b'{"type":"step_finish","part":{"reason":"st', b"\xff\xfe{}", *huge]

    news, outcome = play([*told(START), *odd])

    assert outcome.ending is Ending.INCOMPLETE
    assert max(len(one.text) for one in news) <= 64 * 1024
    assert play([*told(START), *odd, *told(STOP)])[1].ok


def test_unknown_events_are_counted_and_refusals_are_told() -> None:
    agent = OpenCodeAgent()
    parser = agent.parser(agent.launch(spec_for()))
    done = {"type": "done", "reason": "idle", "rejected": ["bash", 7]}

    news = [one for line in told(START, STOP, {"type": "new"}, {"type": 7}, done) for one in parser.feed(line)]

    assert parser.unknown == 2
    assert [one.tool for one in news if one.kind == "permission"] == ["bash", ""]
    assert parser.finish(WELL, b"").ok


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PART_KEYS = st.sampled_from(["id", "text", "tool", "callID", "state", "reason", "tokens", "cost"])
KINDS = st.sampled_from(["step_start", "text", "reasoning", "tool_use", "step_finish", "error", "done"])
KEYS = st.sampled_from(["sessionID", "timestamp", "part", "error", "rejected"])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(KINDS, st.dictionaries(KEYS, VALUES), VALUES | st.dictionaries(PART_KEYS, VALUES)),
        max_size=6,
    ),
    st.integers(-1, 255),
)
def test_no_event_of_a_wrong_shape_makes_it_raise_or_succeed(
    events: list[tuple[str, dict[str, object], object]], code: int
) -> None:
    lines = [json.dumps({**fields, "part": part, "type": kind}).encode() for kind, fields, part in events]

    _, outcome = play(lines, Exit(code=code))

    assert not outcome.ok
    assert outcome.failure is not None
    assert outcome.failure.message


@settings(deadline=None)
@given(st.data())
def test_a_stream_cut_at_any_byte_before_its_end_is_not_ok(data: st.DataObject) -> None:
    stream = (DATA / "text.stdout").read_bytes()
    at = data.draw(st.integers(0, len(stream) - 2))

    assert not play(stream[:at].split(b"\n"))[1].ok


def test_permission_model_effort_and_session_become_flags() -> None:
    agent = OpenCodeAgent(Binding(name="o", models={"opus": "zen/claude"}))

    fresh = agent.launch(spec_for(model="opus", effort="high", permission="read"))
    again = agent.launch(spec_for(session="ses_1", permission="full"))

    assert fresh.argv[1:] == ("run", "--format", "json", "--auto", "-m", "zen/claude", "--variant", "high")
    assert again.argv[-2:] == ("-s", "ses_1")
    assert (fresh.session, again.session) == ("", "ses_1")
    with pytest.raises(InputError, match="read, edit, full"):
        agent.launch(spec_for(permission="all"))


def test_what_is_not_permitted_is_denied_and_not_asked() -> None:
    rules = {
        permission: json.loads(OpenCodeAgent().launch(spec_for(permission=permission)).env["OPENCODE_PERMISSION"])
        for permission in ("read", "edit", "full")
    }

    assert rules["read"]["edit"] == rules["read"]["bash"] == rules["edit"]["bash"] == "deny"
    assert rules["edit"]["edit"] == rules["full"]["*"] == "allow"
    assert rules["read"]["external_directory"] == rules["edit"]["external_directory"] == "deny"
