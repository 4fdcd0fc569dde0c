"""Agents that speak ACP: what their frames mean, recorded ones and such as the protocol allows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.agents.acp import AcpAgent
from muster.model.attempts import Cause, Ending, Usage
from muster.model.errors import InputError
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from muster.ports import Binding, Exit
from tests.contracts.agent_contract import AgentContract, spec_for
from tests.contracts.captured import DATA, Played, play, tokens

AGENTS = ("claude", "codex", "gemini", "opencode", "pi")
NOTHING = (0, 0, 0, 0, 0)
DONE = Exit(code=0)


def agent() -> AcpAgent:
    return AcpAgent(Binding(name="kimi", command=("kimi", "acp"), models={"opus": "kimi-k3"}))


def recorded(name: str, *, sent: bool) -> list[bytes]:
    """The frames of a recording as the bridge would write them; without what was sent they are a bare recording."""
    lines = []
    for line in (DATA / "acp" / f"{name}.job.jsonl").read_text().splitlines():
        _, direction, frame = json.loads(line)
        if direction == "incoming":
            lines.append(json.dumps(frame).encode())
        elif sent and "method" in frame:
            lines.append(json.dumps({"bridge": "sent", "frame": frame}).encode())
    return lines


def until_the_end(lines: list[bytes]) -> list[bytes]:
    """The lines up to the one that ends the turn."""
    return lines[: next(number for number, line in enumerate(lines, 1) if b'"stopReason"' in line)]


class TestAcpAgent(AgentContract):
    def agent(self) -> AcpAgent:
        return agent()

    def good_stream(self) -> list[bytes]:
        return until_the_end(recorded("codex", sent=True))


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    ("name", "used", "cost_usd", "model", "texts"),
    [
        ("claude", (2000, 3000, 0, 250, 0), 0.01632, "claude-opus-5-5", 5),
        ("codex", (2000, 3000, 0, 250, 50), None, "scripted-1", 6),
        ("gemini", (5000, 0, 0, 250, 0), None, "gemini-2.5-flash", 5),
        ("opencode", (400, 600, 0, 50, 10), 0.01065, "scripted/scripted-1", 5),
        ("pi", NOTHING, None, "scripted/scripted-1", 5),
    ],
)
def test_each_recorded_turn_is_read_as_what_it_was(
    name: str, used: tuple[int, ...], cost_usd: float | None, model: str, texts: int, sent: bool
) -> None:
    played = play(agent(), recorded(name, sent=sent), DONE)

    outcome = played.outcome
    assert (outcome.ending, outcome.failure) == (Ending.OK, None)
    assert tokens(outcome.usage) == used
    assert outcome.usage.cost_usd == (None if cost_usd is None else pytest.approx(cost_usd))
    assert outcome.usage.cost_source == ("none" if cost_usd is None else "reported")
    assert outcome.usage.model == model
    assert [outcome.session] == played.texts("session")
    assert (played.kinds["tool_started"], played.kinds["tool_ended"], played.kinds["text"]) == (4, 4, texts)
    assert all(news.ok for news in played.news if news.kind == "tool_ended")
    assert played.texts("text")[-5] == "I will read the readme."
    assert played.texts("result") == ["DONE. I wrote hello.txt, edited README.md and ran a command."]


@pytest.mark.parametrize("name", AGENTS)
def test_a_recorded_turn_that_was_cut_is_never_ok(name: str) -> None:
    lines = until_the_end(recorded(name, sent=True))

    for length in range(len(lines)):
        assert play(agent(), lines[:length], DONE).outcome.ending is not Ending.OK


def bridge(what: str, **more: object) -> dict[str, Any]:
    return {"bridge": what, **more}


def sent(number: int, method: str, **params: object) -> dict[str, Any]:
    return bridge("sent", frame={"id": number, "method": method, "params": params})


def update(what: str, /, **more: object) -> dict[str, Any]:
    return {"method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": what, **more}}}


def text(said: str, **more: object) -> dict[str, Any]:
    return update("agent_message_chunk", content={"type": "text", "text": said}, **more)


def tool(id_: str = "t", **more: object) -> dict[str, Any]:
    return update("tool_call", **{"toolCallId": id_, "kind": "edit", "status": "completed", **more})


def end(stop: str = "end_turn", **more: object) -> dict[str, Any]:
    return {"id": 2, "result": {"stopReason": stop, **more}}


def error(code: int, message: str = "it failed", **data: object) -> dict[str, Any]:
    return {"id": 2, "error": {"code": code, "message": message, "data": data}}


ASKED = [
    sent(0, "initialize"),
    sent(1, "session/new"),
    {"id": 1, "result": {"sessionId": "s"}},
    sent(2, "session/prompt"),
]
USED = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
UNUSED = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}


def turn(*frames: dict[str, Any] | bytes, exit: Exit = DONE, **spec: object) -> Played:
    """Play frames after a session has begun and was prompted."""
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in (*ASKED, *frames)]
    return play(agent(), lines, exit, **spec)


@pytest.mark.parametrize(
    "frames",
    [
        [text("hi"), end(usage=USED)],
        [tool(), end(usage=USED)],
        [tool(), end()],
        [text("hi"), end()],
        [update("usage_update", used=9, size=99), text("hi"), update("usage_update", used=10, size=99), end()],
        [{"id": 0, "method": "session/request_permission", "params": {"toolCall": {"toolCallId": "t"}}}, end()],
        [text("hi"), end(_meta={"quota": {"token_count": {"input_tokens": 3, "output_tokens": 1}}})],
    ],
)
def test_a_turn_with_signs_of_work_is_ok(frames: list[dict[str, Any]]) -> None:
    assert turn(*frames).outcome.ending is Ending.OK


@pytest.mark.parametrize(
    "frames",
    [
        [end()],
        [end(usage=USED)],
        [text(" \n"), end()],
        [text("API Error: 401"), end(usage=UNUSED)],
        [tool(), text("API Error: 500"), end(usage=UNUSED)],
        [text("unexpected status 404"), end(usage=None)],
        [text("hi"), end(_meta={"quota": {"token_count": {"input_tokens": 0, "output_tokens": 0}}})],
        [update("usage_update", used=9, size=99), text("Retrying"), update("usage_update", used=9, size=99), end()],
        [update("agent_thought_chunk", content={"type": "text", "text": "hm"}), end()],
    ],
)
def test_an_ended_turn_without_signs_of_work_is_suspect(frames: list[dict[str, Any]]) -> None:
    played = turn(*frames)

    assert (played.outcome.ending, played.cause) == (Ending.INCOMPLETE, "incomplete")


def test_a_greeting_is_no_sign_of_work() -> None:
    greeted = {"id": 1, "result": {"sessionId": "s", "_meta": {"piAcp": {"startupInfo": "pi v1\n"}}}}

    played = turn(greeted, text("pi v1\n"), end())

    assert played.outcome.ending is Ending.INCOMPLETE
    assert played.texts("notice") == ["pi v1\n"]


@pytest.mark.parametrize(
    ("stop", "ending", "cause", "retryable"),
    [
        ("max_tokens", Ending.INCOMPLETE, "incomplete", True),
        ("max_turn_requests", Ending.ERROR, "limit_turns", False),
        ("refusal", Ending.ERROR, "bad_request", False),
        ("cancelled", Ending.CANCELLED, "cancelled", False),
        ("what_is_this", Ending.INCOMPLETE, "incomplete", True),
        (None, Ending.INCOMPLETE, "incomplete", True),
    ],
)
def test_a_turn_that_stops_before_its_end_is_not_ok(stop: str, ending: Ending, cause: str, retryable: bool) -> None:
    for exit in (DONE, Exit(code=1)):
        played = turn(tool(), end(stop, usage=USED), exit=exit)

        assert (played.outcome.ending, played.cause) == (ending, cause)
        assert played.outcome.failure is not None
        assert is_retryable(RetryPolicy(), played.outcome.failure) == retryable
        assert tokens(played.outcome.usage) == (10, 0, 0, 5, 0)


@pytest.mark.parametrize(
    ("failed", "cause"),
    [
        (error(-32000, "Authentication required"), "auth"),
        (error(-32602), "bad_request"),
        (error(-32601), "bad_request"),
        (error(-32002), "bad_request"),
        (error(-32603), "server"),
        (error(-32603, "Internal error: You have hit your limit", errorKind="rate_limit"), "rate_limit"),
        (error(-32603, errorKind="billing_error"), "limit_budget"),
        (error(-32603, errorKind="authentication_failed"), "auth"),
        (error(-32603, codexErrorInfo="usageLimitExceeded"), "rate_limit"),
        (error(-32603, codexErrorInfo="contextWindowExceeded"), "bad_request"),
        (error(-32603, codexErrorInfo={"responseStreamDisconnected": {"httpStatusCode": None}}), "transport"),
        (error(-32603, codexErrorInfo={"responseTooManyFailedAttempts": {"httpStatusCode": 429}}), "rate_limit"),
        (error(-32603, status=529), "overloaded"),
        (error(-32603, statusCode=404), "invalid_model"),
        (error(-32603, details='401 {"type":"error","error":{"type":"authentication_error"}}'), "auth"),
        (error(429, "Rate limit exceeded. Try again later."), "rate_limit"),
        (error(500), "server"),
        (error(-32800), "cancelled"),
        (error(-31999), "server"),
        ({"id": 2, "error": "what"}, "server"),
        ({"id": 2, "error": {"code": [], "message": {}, "data": "you hit a wall"}}, "server"),
    ],
)
def test_an_error_is_classed_by_its_codes_and_kinds(failed: dict[str, Any], cause: str) -> None:
    for exit in (DONE, Exit(code=1)):
        played = turn(text("hi"), tool(), failed, exit=exit)

        assert played.cause == cause
        assert played.outcome.ending is (Ending.CANCELLED if cause == "cancelled" else Ending.ERROR)
        assert played.outcome.failure is not None
        assert played.outcome.failure.message
        assert played.news[-1].kind == "result"


def test_a_failure_says_when_to_try_again() -> None:
    failure = turn(error(-32603, errorKind="rate_limit", retryAfter=12)).outcome.failure

    assert failure is not None
    assert failure.retry_after_s == 12


@pytest.mark.parametrize(
    ("cause", "expected"),
    [("not-installed", Cause.NOT_INSTALLED), ("invalid_model", Cause.INVALID_MODEL), ("nonsense", Cause.CRASH)],
)
def test_what_the_bridge_says_of_a_failure_holds(cause: str, expected: Cause) -> None:
    failure = turn(bridge("failed", cause=cause, message="no\nway"), exit=Exit(code=1)).outcome.failure

    assert failure is not None
    assert failure.cause is expected
    assert failure.message.startswith("no way")


@pytest.mark.parametrize(
    "frames",
    [
        [end(usage=USED), error(-32603)],
        [error(-32603), end(usage=USED)],
        [{"id": 3, "result": {"stopReason": "end_turn"}}, tool()],
        [{"id": "2", "result": {"stopReason": "end_turn"}}, tool()],
        [end("cancelled"), end()],
        [json.dumps(end(usage=USED)).encode()[:-2], tool()],
    ],
)
def test_contradictions_and_halves_are_never_ok(frames: list[dict[str, Any] | bytes]) -> None:
    assert turn(tool(), *frames).outcome.ending is not Ending.OK


def test_an_answer_to_something_else_does_not_fail_a_turn() -> None:
    mode = [sent(3, "session/set_mode"), {"id": 3, "error": {"code": -32602, "message": "no such mode"}}]

    assert turn(*mode, tool(), end()).outcome.ending is Ending.OK


def test_a_good_turn_after_which_the_bridge_was_told_to_stop_is_cancelled() -> None:
    assert turn(tool(), end(usage=USED), exit=Exit(code=143)).outcome.ending is Ending.CANCELLED


def test_noise_long_lines_and_unknown_frames_change_nothing() -> None:
    noise = [b"\xff\xfe", b"x" * 10_000_000, b'{"method": 1}', b'{"id": {}, "result": []}', b'{"bridge": []}', b"[1]"]
    odd = [update("never_heard_of"), update("tool_call"), {"method": "_vendor/thing"}, {"method": "session/update"}]

    played = turn(*noise, *odd, tool(title="x" * 1_000_000), text("y" * 10_000_000), end(usage=USED))

    assert played.outcome.ending is Ending.OK
    assert all(len(news.text) <= 64 * 1024 for news in played.news)


def test_a_message_in_pieces_is_told_whole_and_each_piece_counted() -> None:
    played = turn(
        text("one ", messageId="a"),
        text("two", messageId="a"),
        text("three", messageId="b"),
        update("agent_thought_chunk", content={"type": "text", "text": "hm"}),
        tool(),
        text("four"),
        end(usage=USED),
    )

    assert played.texts("text") == ["one two", "three", "four"]
    assert played.texts("thought") == ["hm"]
    assert played.kinds["delta"] == 5
    assert played.texts("result") == ["four"]


def test_a_long_message_is_told_whole() -> None:
    played = turn(*(text("é" * 1000) for _ in range(100)), end(usage=USED))

    assert "".join(played.texts("text")) == "é" * 100_000


def test_a_tool_is_told_once_however_often_it_is_updated() -> None:
    failed = {"status": "failed", "content": [{"type": "content", "content": {"type": "text", "text": "boom"}}]}
    played = turn(
        tool("a", status="pending", name="Bash", title="make"),
        update("tool_call_update", toolCallId="a", status="in_progress"),
        update("tool_call_update", toolCallId="a", **failed),
        update("tool_call_update", toolCallId="a", status="completed"),
        update("tool_call_update", toolCallId="b", status="completed", rawOutput={"exit_code": 3}),
        end(),
    )

    ends = [(one.tool, one.ok, one.text, one.data) for one in played.news if one.kind == "tool_ended"]
    assert ends == [("Bash", False, "boom", {"id": "a"}), ("tool", False, "", {"id": "b", "exit_code": "3"})]
    assert played.kinds["tool_started"] == 2


def test_permissions_plans_and_notices_are_told() -> None:
    played = turn(
        bridge("permission", tool="edit", decision="reject", policy="read"),
        bridge("notice", message="This agent cannot be asked for effort 'max'."),
        update("plan", entries=[{"content": "think", "status": "completed"}, {"content": "do", "status": "pending"}]),
    )

    permission = next(one for one in played.news if one.kind == "permission")
    assert (permission.tool, permission.ok, permission.data) == (
        "edit",
        False,
        {"decision": "reject", "policy": "read"},
    )
    assert played.texts("notice")[1] == "plan:\n[completed] think\n[pending] do"


def test_what_a_draft_of_the_protocol_adds_is_known() -> None:
    played = turn(
        update("plan_update", plan={"type": "items", "entries": [{"content": "think", "status": "completed"}]}),
        update("plan_removed", planId="p"),
        update("compaction_update", compactionId="c", status="completed"),
        update("compaction_update", compactionId="d", status="failed", error="no room"),
        update("compaction_summary_chunk", compactionId="c", content={"type": "text", "text": "s"}),
    )

    assert played.texts("notice") == ["plan:\n[completed] think", "compaction", "no room"]
    assert played.unknown == 0


def test_what_a_loaded_session_plays_again_is_not_told_again_and_its_cost_is_not_counted_again() -> None:
    cost = {"currency": "USD", "amount": 1.5}
    played = play(
        agent(),
        [
            json.dumps(one).encode()
            for one in (
                sent(1, "session/load", sessionId="old"),
                text("said before"),
                tool("before"),
                update("usage_update", used=1, size=2, cost={"currency": "USD", "amount": 1.0}),
                {"id": 1, "result": None},
                sent(2, "session/prompt"),
                update("usage_update", used=2, size=2, cost=cost),
                text("new"),
                end(usage=USED),
            )
        ],
        DONE,
        session="old",
        spent=Usage(cost_usd=0.9, cost_source="reported"),
    )

    assert played.outcome.session == "old"
    assert played.texts("text") == ["new"]
    assert played.kinds["tool_started"] == 0
    assert played.outcome.usage.cost_usd == pytest.approx(0.5)


def test_money_of_another_country_is_not_taken_for_dollars() -> None:
    euros = update("usage_update", used=1, size=2, cost={"currency": "EUR", "amount": 1.0})

    assert turn(euros, tool(), end()).outcome.usage.cost_usd is None


def test_a_launch_asks_the_bridge_for_all_that_the_attempt_wants() -> None:
    launch = agent().launch(spec_for(model="opus", effort="high", permission="full", session="s-9", grace_s=5.0))

    request = json.loads(launch.stdin.partition(b"\n")[0])
    assert launch.argv[1:3] == ("-P", "-B")
    assert launch.session == "s-9"
    assert request["command"] == ["kimi", "acp"]
    assert request["cwd"] == "/somewhere/work"
    assert (request["model"], request["effort"], request["session"]) == ("kimi-k3", "high", "s-9")
    assert (request["permission"], request["cancel_s"]) == ("full", 2.0)


@pytest.mark.parametrize(
    ("one", "spec"), [(AcpAgent(), {}), (agent(), {"permission": "admin"}), (agent(), {"model": "-rf"})]
)
def test_what_cannot_be_asked_for_is_refused_before_the_start(one: AcpAgent, spec: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        one.launch(spec_for(**spec))


@pytest.mark.anyio
async def test_an_agent_is_found_by_the_program_that_it_is_bound_to() -> None:
    found = await AcpAgent(Binding(name="x", command=("sh",))).detect()
    missing = await AcpAgent(Binding(name="x", command=("no-such-program-at-all",))).detect()
    unbound = await AcpAgent().detect()

    assert found.found
    assert "no-such-program-at-all" in missing.hint
    assert "command" in unbound.hint


KINDS = ("agent_message_chunk", "tool_call", "tool_call_update", "plan", "usage_update", "notice", "nothing")
NAMES = ("status", "content", "toolCallId", "_meta", "cost", "usage", "stopReason", "entries", "text", "used", "data")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(KINDS)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.sampled_from(("method", "update", "result", "error", "bridge")), ANYTHING), max_size=8))
def test_no_frame_can_make_the_parser_raise(frames: list[tuple[str, Any]]) -> None:
    lines = []
    for kind, value in frames:
        match kind:
            case "update":
                lines.append({"method": "session/update", "params": {"update": value}})
                lines.append(
                    update("tool_call_update") | {"params": {"update": {"sessionUpdate": "plan", "entries": value}}}
                )
            case "method":
                lines.append({"method": value, "params": value, "id": value})
            case "bridge":
                lines.append({"bridge": "sent", "frame": value})
            case _:
                lines.append({"id": 2, kind: value})

    ending = turn(*lines).outcome.ending

    stops = [one["result"].get("stopReason") for one in lines if isinstance(one.get("result"), dict)]
    assert ending is not Ending.OK or "end_turn" in stops
