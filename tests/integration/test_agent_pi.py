"""pi's dialect, against what the real program wrote and against what it might write."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.agents.pi import PiAgent
from muster.model.attempts import Cause, Ending, Usage
from muster.model.errors import InputError
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from muster.ports import Binding, Exit
from tests.contracts.agent_contract import AgentContract, spec_for
from tests.contracts.captured import DATA, Played, captured, play, tokens

WELL = Exit(code=0)


def told(*events: Mapping[str, object]) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


def played(*events: Mapping[str, object], exit: Exit = WELL) -> Played:
    return play(PiAgent(), told(*events), exit)


def answer(reason: str, **more: object) -> dict[str, object]:
    return {"role": "assistant", "content": [], "stopReason": reason, **more}


def end(*messages: Mapping[str, object], again: bool = False) -> dict[str, object]:
    return {"type": "agent_end", "messages": list(messages), "willRetry": again}


SETTLED = {"type": "agent_settled"}
BEGIN = {"type": "agent_start"}
USER = {"role": "user", "content": "x"}


class TestPiAgent(AgentContract):
    def agent(self) -> PiAgent:
        return PiAgent()

    def good_stream(self) -> list[bytes]:
        return captured("pi", "job")[0]


@pytest.mark.parametrize(
    ("case", "exit", "ending", "cause", "calls", "tools", "retries", "model"),
    [
        ("job", Exit(code=0), Ending.OK, "", 5, 4, 0, "scripted-1"),
        ("text", Exit(code=0), Ending.OK, "", 1, 0, 0, "scripted-1"),
        ("think", Exit(code=0), Ending.OK, "", 1, 0, 0, "scripted-1"),
        ("failshell", Exit(code=0), Ending.OK, "", 2, 1, 0, "scripted-1"),
        # The scripted server answers for every model, and the program only warns.
        ("badmodel", Exit(code=0), Ending.OK, "", 1, 0, 0, "nope"),
        ("err401", Exit(code=0), Ending.ERROR, "auth", 0, 0, 0, "scripted-1"),
        ("err404", Exit(code=0), Ending.ERROR, "invalid_model", 0, 0, 0, "scripted-1"),
        ("err429", Exit(code=0), Ending.ERROR, "rate_limit", 0, 0, 3, "scripted-1"),
        ("err500", Exit(code=0), Ending.ERROR, "server", 0, 0, 3, "scripted-1"),
        ("drop", Exit(code=0), Ending.ERROR, "transport", 0, 0, 3, "scripted-1"),
        ("hang.TERM", Exit(code=143), Ending.CANCELLED, "cancelled", 1, 1, 0, "scripted-1"),
        ("hang.INT", Exit(signal=2), Ending.CANCELLED, "cancelled", 1, 1, 0, "scripted-1"),
    ],
)
def test_what_the_real_program_wrote_is_understood(
    case: str, exit: Exit, ending: Ending, cause: str, calls: int, tools: int, retries: int, model: str
) -> None:
    lines, stderr = captured("pi", case)

    result = play(PiAgent(), lines, exit, stderr)

    usage = result.outcome.usage
    assert result.outcome.ending is ending
    assert result.cause == cause
    assert tokens(usage) == (400 * calls, 600 * calls, 0, 50 * calls, 10 * calls)
    assert usage.cost_usd == (pytest.approx(0.00213 * calls) if calls else None)
    assert usage.model == model
    assert (result.kinds["tool_started"], result.kinds["retry"]) == (tools, retries)
    assert result.texts("session") == [result.outcome.session]


def test_every_captured_case_is_in_the_table() -> None:
    mark = test_what_the_real_program_wrote_is_understood.pytestmark[0]  # type: ignore[attr-defined]

    assert {path.stem for path in (DATA / "pi").glob("*.stdout")} == {row[0] for row in mark.args[1]}


def test_texts_thoughts_and_tools_are_told_once_each() -> None:
    job = play(PiAgent(), captured("pi", "job")[0], WELL)
    think = play(PiAgent(), captured("pi", "think")[0], WELL)
    failed = play(PiAgent(), captured("pi", "failshell")[0], WELL)

    assert job.texts("text")[0] == "I will read the readme."
    assert len(job.texts("text")) == 5
    assert [one.tool for one in job.news if one.kind == "tool_ended"] == ["read", "write", "edit", "bash"]
    assert think.texts("thought") == ["I am thinking about it."]
    assert [(one.tool, one.ok) for one in failed.news if one.kind == "tool_ended"] == [("bash", False)]


def test_a_retry_says_how_long_it_waits_and_why() -> None:
    first = next(one for one in play(PiAgent(), captured("pi", "err429")[0], WELL).news if one.kind == "retry")

    assert first.data == {"attempt": "1", "delay_ms": "2000", "class": "rate_limit"}


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("401: {}", Cause.AUTH),
        ('401 {"type":"error","error":{"type":"authentication_error"}}', Cause.AUTH),
        ("403 status code (no body)", Cause.AUTH),
        ("OpenAI API error (400): bad", Cause.BAD_REQUEST),
        ('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', Cause.OVERLOADED),
        ('529: {"type":"overloaded_error"}', Cause.OVERLOADED),
        ('{"error":{"code":503,"status":"UNAVAILABLE"}}', Cause.OVERLOADED),
        ('429: {"code":"insufficient_quota"}', Cause.LIMIT_BUDGET),
        ("connect ECONNREFUSED 127.0.0.1:1", Cause.TRANSPORT),
        ("You said 429 and rate_limit_error.", Cause.BAD_REQUEST),
        ("No API key found", Cause.BAD_REQUEST),
        ("", Cause.BAD_REQUEST),
    ],
)
def test_a_failure_is_classed_by_its_codes(message: str, cause: Cause) -> None:
    failed = answer("error", errorMessage=message)

    for exit in (WELL, Exit(code=1)):
        result = played(BEGIN, {"type": "message_start", "message": failed}, end(USER, failed), SETTLED, exit=exit)

        assert result.outcome.failure is not None
        assert result.outcome.failure.cause is cause
        assert result.outcome.failure.message
        assert result.outcome.ending is Ending.ERROR


def test_what_it_tried_again_by_itself_may_get_better() -> None:
    failed = answer("error", errorMessage="Something was busy")
    retry = {"type": "auto_retry_start", "attempt": 1, "delayMs": 2000, "errorMessage": "Something was busy"}

    result = played(BEGIN, end(failed, again=True), retry, BEGIN, end(failed), SETTLED)

    assert result.cause == "transport"


def test_an_answer_that_had_begun_broke_off_on_the_way() -> None:
    failed = answer("error", errorMessage="Something ended early")
    begun = {"type": "message_start", "message": answer("pending")}

    result = played(BEGIN, begun, {"type": "message_end", "message": failed}, end(failed), SETTLED)

    assert result.outcome.failure is not None
    assert result.outcome.failure.cause is Cause.TRANSPORT
    assert is_retryable(RetryPolicy(), result.outcome.failure)


def test_what_it_uses_beside_the_conversation_is_counted() -> None:
    used = {"input": 10, "output": 2, "cost": {"total": 0.25}}
    result = played(
        BEGIN,
        {"type": "message_end", "message": answer("stop", usage=used, model="m")},
        end(answer("stop")),
        {"type": "compaction_start", "reason": "threshold"},
        {"type": "summarization_retry_scheduled", "attempt": 1, "delayMs": 500, "errorMessage": "529: no"},
        {"type": "compaction_end", "reason": "threshold", "result": {"summary": "s", "usage": used}},
        {"type": "entry_appended", "entry": {"type": "usage", "kind": "cache_warm", "usage": used}},
        {"type": "entry_appended", "entry": {"type": "custom", "usage": used}},
        SETTLED,
    )

    assert result.outcome.ok
    assert (tokens(result.outcome.usage), result.outcome.usage.cost_usd) == ((30, 0, 0, 6, 0), 0.75)
    assert result.outcome.usage.model == "m"
    assert [one.data["class"] for one in result.news if one.kind == "retry"] == ["overloaded"]


def test_a_summary_that_failed_is_told_and_does_not_undo_the_work() -> None:
    failed = {"type": "compaction_end", "reason": "threshold", "errorMessage": "Auto-compaction failed: no"}

    result = played(BEGIN, end(answer("stop")), failed, SETTLED)

    assert result.outcome.ok
    assert [(one.ok, one.text) for one in result.news if one.kind == "notice"] == [
        (False, "Auto-compaction failed: no")
    ]


def test_the_time_that_the_provider_asks_for_is_kept() -> None:
    failed = answer("error", errorMessage='{"error":{"code":429,"details":[{"retryDelay":"12s"}]}}')

    failure = played(BEGIN, end(failed), SETTLED).outcome.failure

    assert failure is not None
    assert failure.retry_after_s == 12.0


@pytest.mark.parametrize(
    ("events", "ending"),
    [
        ([BEGIN, end(USER, answer("stop")), SETTLED], Ending.OK),
        ([BEGIN, end(USER, answer("toolUse")), SETTLED], Ending.OK),
        ([BEGIN, end(answer("error"), answer("stop")), SETTLED], Ending.OK),
        ([BEGIN, end(answer("error"), again=True), BEGIN, end(answer("stop")), SETTLED], Ending.OK),
        ([BEGIN, end(answer("stop")), SETTLED, BEGIN], Ending.INCOMPLETE),
        ([BEGIN, end(answer("stop"))], Ending.INCOMPLETE),
        ([BEGIN, SETTLED], Ending.INCOMPLETE),
        ([SETTLED, BEGIN, end(answer("stop"))], Ending.INCOMPLETE),
        ([BEGIN, end(USER), SETTLED], Ending.INCOMPLETE),
        ([BEGIN, end(answer("stop"), again=True), SETTLED], Ending.INCOMPLETE),
        ([BEGIN, end(answer("length")), SETTLED], Ending.INCOMPLETE),
        ([BEGIN, end(answer("deferred")), SETTLED], Ending.INCOMPLETE),
        ([BEGIN, end(answer("stop"), answer("error")), SETTLED], Ending.ERROR),
        ([BEGIN, end(answer("stop", errorMessage="401: {}")), SETTLED], Ending.ERROR),
        ([BEGIN, end(answer("error")), SETTLED, SETTLED], Ending.ERROR),
        ([BEGIN, end(answer("aborted")), SETTLED], Ending.CANCELLED),
        ([BEGIN, {"type": "message_end", "message": answer("stop")}], Ending.INCOMPLETE),
        ([], Ending.INCOMPLETE),
    ],
)
def test_only_a_settled_agent_whose_last_message_ended_by_itself_is_ok(
    events: list[Mapping[str, object]], ending: Ending
) -> None:
    assert played(*events).outcome.ending is ending
    for exit in (Exit(code=1), Exit(code=143), Exit(signal=9)):
        assert not played(*events, exit=exit).outcome.ok


def test_a_line_that_is_cut_or_huge_or_no_utf_8_is_survived() -> None:
    text = {"type": "text", "text": "x" * 10_000_000}
    huge = told({"type": "message_end", "message": answer("stop", content=[text])})
    odd = [b'{"type":"agent_settl', b"\xff\xfe{}", b'{"type":["agent_settled"]}', *huge]

    result = play(PiAgent(), [*told(BEGIN, end(answer("stop"))), *odd], WELL)

    assert result.outcome.ending is Ending.INCOMPLETE
    assert max(len(one.text) for one in result.news) <= 64 * 1024
    assert play(PiAgent(), [*told(BEGIN, end(answer("stop"))), *odd, *told(SETTLED)], WELL).outcome.ok


def test_unknown_events_are_counted() -> None:
    agent = PiAgent()
    parser = agent.parser(agent.launch(spec_for()))

    for line in (*captured("pi", "err429")[0], *captured("pi", "job")[0]):
        list(parser.feed(line))
    assert parser.unknown == 0

    for line in told({"type": "new"}, {"type": 7}, {}):
        list(parser.feed(line))
    assert parser.unknown == 3


def test_a_price_of_nothing_is_no_price() -> None:
    free = answer("stop", usage={"input": 1, "output": 2, "cost": {"total": 0}}, responseModel="real", model="auto")

    usage = played(BEGIN, {"type": "message_end", "message": free}).outcome.usage

    assert usage == Usage(input=1, output=2, model="real")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MESSAGES = st.dictionaries(
    st.sampled_from(["role", "content", "usage", "stopReason", "errorMessage", "model"]),
    VALUES | st.sampled_from(["assistant", "error", "aborted", "length"]),
)
KINDS = st.sampled_from(
    [
        *("session", "agent_start", "message_start", "message_update", "message_end", "tool_execution_start"),
        *("tool_execution_end", "auto_retry_start", "agent_end", "agent_settled", "compaction_start"),
    ]
)


@settings(deadline=None)
@given(st.lists(st.tuples(KINDS, VALUES | MESSAGES, st.lists(MESSAGES, max_size=2) | VALUES), max_size=8))
def test_no_event_of_a_wrong_shape_makes_it_raise_or_succeed(events: list[tuple[str, object, object]]) -> None:
    lines = told(*({"type": kind, "message": one, "messages": more, "id": one} for kind, one, more in events))

    outcome = play(PiAgent(), lines, WELL).outcome

    assert not outcome.ok
    assert outcome.failure is not None
    assert outcome.failure.message


@settings(deadline=None)
@given(st.data())
def test_a_stream_cut_at_any_byte_before_its_end_is_not_ok(data: st.DataObject) -> None:
    stream = (DATA / "pi" / "text.stdout").read_bytes()
    at = data.draw(st.integers(0, len(stream) - 2))

    assert not play(PiAgent(), stream[:at].split(b"\n"), WELL).outcome.ok


def test_permission_model_effort_and_session_become_flags() -> None:
    agent = PiAgent(Binding(name="p", models={"opus": "anthropic/claude-opus"}, env_allow=("MY_KEY",)))

    fresh = agent.launch(spec_for(model="opus", effort="high", permission="read"))
    again = agent.launch(spec_for(session="abc"))

    assert fresh.argv == (
        *("pi", "--mode", "json", "--tools", "read,grep,find,ls", "--model", "anthropic/claude-opus"),
        *("--thinking", "high", "--session-id", fresh.session, "-p"),
    )
    assert {"ANTHROPIC_API_KEY", "MY_KEY"} <= set(fresh.env_allow)
    assert not {"OPENAI_API_KEY", "GEMINI_API_KEY"} & set(fresh.env_allow)
    assert again.session == "abc"
    assert "bash" not in again.argv[again.argv.index("--tools") + 1]
    with pytest.raises(InputError, match="read, edit, full"):
        agent.launch(spec_for(permission="all"))


def test_a_user_s_own_login_is_kept_and_nothing_is_fetched_at_the_start() -> None:
    env = PiAgent().launch(spec_for()).env

    assert env["PI_OFFLINE"] == "1"
    assert not {"HOME", "PI_CODING_AGENT_DIR"} & set(env)


def test_a_model_that_it_does_not_know_is_told_on_stderr_alone() -> None:
    warning = b"Warning: No project session found with id 'x'; creating a new session with that id.\n"
    stderr = warning + b'Error: Model "nope" not found. Use --list-models to see available models.\n'

    outcome = play(PiAgent(), [], Exit(code=1), stderr).outcome
    begun = play(PiAgent(), told(BEGIN), Exit(code=1), stderr).outcome

    assert outcome.failure is not None
    assert (outcome.failure.cause, outcome.failure.message) == (Cause.INVALID_MODEL, 'Error: Model "nope" not found.')
    assert begun.failure is not None
    assert begun.failure.cause is Cause.CRASH
