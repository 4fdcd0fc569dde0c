"""Codex as an agent: what its streams mean, captured ones and such as its protocol allows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.agents.codex import CodexAgent
from muster.model.attempts import Cause, Ending, Usage
from muster.model.errors import InputError
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from muster.ports import Binding, Exit
from tests.contracts.agent_contract import AgentContract, spec_for
from tests.contracts.captured import captured, play, tokens

NOTHING = (0, 0, 0, 0, 0)
ONE_REQUEST = (400, 600, 0, 50, 10)


class TestCodexAgent(AgentContract):
    def agent(self) -> CodexAgent:
        return CodexAgent()

    def good_stream(self) -> list[bytes]:
        return captured("codex", "job")[0]


@pytest.mark.parametrize(
    ("case", "exit", "ending", "cause", "retryable", "used", "tools", "retries"),
    [
        ("job", Exit(code=0), Ending.OK, "", False, (2000, 3000, 0, 250, 50), 4, 0),
        ("job.gpt-5.5", Exit(code=0), Ending.OK, "", False, (2000, 3000, 0, 250, 50), 4, 0),
        ("text", Exit(code=0), Ending.OK, "", False, ONE_REQUEST, 0, 0),
        ("think", Exit(code=0), Ending.OK, "", False, ONE_REQUEST, 0, 0),
        ("failshell", Exit(code=0), Ending.OK, "", False, (800, 1200, 0, 100, 20), 1, 0),
        ("badmodel", Exit(code=0), Ending.OK, "", False, ONE_REQUEST, 0, 0),
        ("drop", Exit(code=1), Ending.ERROR, "transport", True, NOTHING, 0, 2),
        ("err401", Exit(code=1), Ending.ERROR, "auth", False, NOTHING, 0, 2),
        ("err404", Exit(code=1), Ending.ERROR, "invalid_model", False, NOTHING, 0, 0),
        ("err429", Exit(code=1), Ending.ERROR, "rate_limit", True, NOTHING, 0, 2),
        ("err500", Exit(code=1), Ending.ERROR, "server", True, NOTHING, 0, 2),
        ("noauth", Exit(code=1), Ending.ERROR, "auth", False, NOTHING, 0, 0),
        ("hang.TERM", Exit(signal=15), Ending.CANCELLED, "cancelled", False, NOTHING, 1, 0),
        ("hang.INT", Exit(code=1), Ending.ERROR, "crash", False, NOTHING, 1, 0),
    ],
)
def test_each_captured_stream_is_read_as_what_it_was(
    case: str,
    exit: Exit,
    ending: Ending,
    cause: str,
    retryable: bool,
    used: tuple[int, ...],
    tools: int,
    retries: int,
) -> None:
    lines, stderr = captured("codex", case)

    played = play(CodexAgent(), lines, exit, stderr)

    outcome = played.outcome
    assert (outcome.ending, played.cause) == (ending, cause)
    assert (outcome.failure is not None and is_retryable(RetryPolicy(), outcome.failure)) == retryable
    assert tokens(outcome.usage) == used
    assert (outcome.usage.cost_usd, outcome.usage.cost_source, outcome.usage.model) == (None, "none", "")
    assert outcome.session == json.loads(lines[0])["thread_id"]
    assert (played.kinds["tool_started"], played.kinds["retry"]) == (tools, retries)
    assert played.kinds["result"] == (0 if case.startswith("hang") else 1)


def test_tools_are_told_with_their_names_and_how_they_ended() -> None:
    job = play(CodexAgent(), captured("codex", "job.gpt-5.5")[0], Exit(code=0))
    failed = play(CodexAgent(), captured("codex", "failshell")[0], Exit(code=0))

    ended = [one for one in job.news if one.kind == "tool_ended"]
    assert [one.tool for one in ended] == ["command_execution", "file_change", "file_change", "command_execution"]
    assert all(one.ok for one in ended)
    assert [(one.ok, one.data["exit_code"]) for one in failed.news if one.kind == "tool_ended"] == [(False, "3")]
    assert job.texts("result") == ["DONE. I wrote hello.txt, edited README.md and ran a command."]
    assert play(CodexAgent(), captured("codex", "think")[0], Exit()).texts("thought") == ["I am thinking about it."]


def line(kind: str, **told: Any) -> bytes:
    return json.dumps({"type": kind, **told}).encode()


def item(kind: str, *, event: str = "item.completed", **told: Any) -> bytes:
    return line(event, item={"id": "item_1", "type": kind, **told})


def failed(message: str) -> bytes:
    return line("turn.failed", error={"message": message})


BEGIN = line("turn.started")
DONE = line("turn.completed", usage={"input_tokens": 10, "output_tokens": 1})


@pytest.mark.parametrize(
    ("lines", "exit", "ending", "cause"),
    [
        pytest.param([BEGIN, DONE], Exit(code=0), Ending.OK, "", id="the least that is good"),
        pytest.param([line("turn.completed")], Exit(code=0), Ending.OK, "", id="no usage"),
        pytest.param([BEGIN, line("error", message="odd"), DONE], Exit(code=0), Ending.OK, "", id="recovered"),
        pytest.param([], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="nothing at all"),
        pytest.param([BEGIN], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="turn not completed"),
        pytest.param([BEGIN, DONE, BEGIN], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="next turn cut"),
        pytest.param([DONE], Exit(code=143), Ending.CANCELLED, "cancelled", id="stopped after completion"),
        pytest.param([DONE], Exit(signal=9), Ending.ERROR, "crash", id="killed after completion"),
        pytest.param([DONE], Exit(code=1), Ending.ERROR, "crash", id="rc 1 after completion"),
        pytest.param([DONE, failed("x")], Exit(code=0), Ending.ERROR, "bad_request", id="completed, then failed"),
        pytest.param([failed("x"), DONE], Exit(code=0), Ending.ERROR, "bad_request", id="failed, then completed"),
        pytest.param(
            [DONE, line("error", message="Fatal error: x")], Exit(code=0), Ending.ERROR, "agent_bug", id="late"
        ),
        pytest.param([DONE, DONE], Exit(code=0), Ending.OK, "", id="completed twice"),
        pytest.param([failed("")], Exit(code=0), Ending.ERROR, "bad_request", id="failed without a word"),
        pytest.param([line("turn.failed")], Exit(code=0), Ending.ERROR, "bad_request", id="failed without an error"),
        pytest.param([line("error")], Exit(code=1), Ending.ERROR, "bad_request", id="error without a message"),
        pytest.param([DONE[:-1]], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="half an object"),
        pytest.param([item("error", message="x"), DONE], Exit(code=0), Ending.OK, "", id="an item that warns"),
        pytest.param([BEGIN], Exit(code=130), Ending.CANCELLED, "cancelled", id="interrupted"),
        pytest.param([item("turn.completed")], Exit(code=0), Ending.INCOMPLETE, "incomplete", id="an item that lies"),
    ],
)
def test_only_a_completed_turn_and_exit_code_0_are_ok(
    lines: list[bytes], exit: Exit, ending: Ending, cause: str
) -> None:
    played = play(CodexAgent(), lines, exit)

    assert (played.outcome.ending, played.cause) == (ending, cause)
    assert played.outcome.failure is None or played.outcome.failure.message


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("unexpected status 403 Forbidden: no, url: http://x/v1/responses", Cause.AUTH),
        ("unexpected status 404 Not Found: no such thing", Cause.INVALID_MODEL),
        ("unexpected status 502 Bad Gateway: Unknown error", Cause.SERVER),
        ("unexpected status 503 Service Unavailable: x", Cause.OVERLOADED),
        ("unexpected status 302 Found: x", Cause.TRANSPORT),
        ("exceeded retry limit, last status: 500 Internal Server Error, request id: r", Cause.SERVER),
        ("Access blocked by Cloudflare. This happens (status 403 Forbidden), url: x", Cause.AUTH),
        ("We're currently experiencing high demand, which may cause temporary errors.", Cause.SERVER),
        ("Selected model is at capacity. Please try a different model.", Cause.OVERLOADED),
        ("You've hit your usage limit. Try again at 3:05 PM.", Cause.RATE_LIMIT),
        ("You've hit your usage limit for gpt-9. Switch to another model now, or try again later.", Cause.RATE_LIMIT),
        ("Your workspace is out of credits. Add credits to continue.", Cause.LIMIT_BUDGET),
        ("You hit your spend cap set by the owner of your workspace.", Cause.LIMIT_BUDGET),
        ("Error running remote compact task: unexpected status 529 Unknown: overloaded", Cause.OVERLOADED),
        ("Error running local compact task: stream disconnected before completion: x", Cause.TRANSPORT),
        ("Quota exceeded. Check your plan and billing details.", Cause.LIMIT_BUDGET),
        ("To use Codex with your ChatGPT plan, upgrade to Plus.", Cause.AUTH),
        ("Your access token could not be refreshed. Please log out and sign in again.", Cause.AUTH),
        ("Connection failed: error sending request", Cause.TRANSPORT),
        ("request timed out", Cause.TRANSPORT),
        ("Codex ran out of room in the model's context window.", Cause.BAD_REQUEST),
        ("turn aborted. Something went wrong?", Cause.CANCELLED),
        ("internal error; agent loop died unexpectedly", Cause.AGENT_BUG),
        ('{"error":{"type":"invalid_request_error","code":"model_not_found"}}', Cause.INVALID_MODEL),
        ('{"error":{"type":"invalid_request_error","message":"no"}}', Cause.BAD_REQUEST),
        ('{"type":"error","status":429,"error":{"type":"never_heard_of"}}', Cause.RATE_LIMIT),
        (
            '{"detail":"The \'gpt-9\' model is not supported when using Codex with a ChatGPT account."}',
            Cause.INVALID_MODEL,
        ),
        ('{"error":[]}', Cause.BAD_REQUEST),
        ("The test says 401 Unauthorized and rate_limit_exceeded", Cause.BAD_REQUEST),
    ],
)
def test_a_failure_is_classed_by_the_words_that_codex_puts_around_it(message: str, cause: Cause) -> None:
    played = play(CodexAgent(), [BEGIN, line("error", message=message), failed(message)], Exit(code=1))

    assert played.cause == cause.value


def test_an_error_without_a_failed_turn_still_counts() -> None:
    played = play(CodexAgent(), [BEGIN, line("error", message="unexpected status 401 Unauthorized: x")], Exit(code=1))

    assert (played.outcome.ending, played.cause) == (Ending.ERROR, "auth")


def test_how_long_to_wait_is_taken_over() -> None:
    said = "stream disconnected before completion: Rate limit reached. Please try again in 11.5s."

    failure = play(CodexAgent(), [failed(said)], Exit(code=1)).outcome.failure

    assert failure is not None
    assert failure.retry_after_s == 11.5


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("You've hit your usage limit. Try again at 3:05 PM.", 3 * 3600 + 6 * 60),
        ("You've hit your usage limit. Upgrade to Pro (https://x), or try again at Nov 21st, 2026 12:00 AM.", 43260),
        ("You've hit your usage limit. Try again at 11:30 AM.", 0),
        ("You've hit your usage limit. Try again later.", None),
        ("You've hit your usage limit. Try again at Foo 99th, 2026 12:00 AM.", None),
    ],
)
def test_the_end_of_a_limit_is_told_by_the_clock(said: str, wait_s: float | None) -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=2)))

    failure = play(CodexAgent(), [failed(said)], Exit(code=1, at=noon)).outcome.failure

    assert failure is not None
    assert (failure.cause, failure.retry_after_s) == (Cause.RATE_LIMIT, wait_s)


def test_a_model_that_was_chosen_instead_is_the_reported_one() -> None:
    instead = item("error", message="model rerouted: gpt-9 -> gpt-9-mini (HighRiskCyberActivity)")

    outcome = play(CodexAgent(), [BEGIN, instead, DONE], Exit(code=0)).outcome

    assert (outcome.ok, outcome.usage.model, outcome.usage.output) == (True, "gpt-9-mini", 1)


def test_what_a_resumed_session_had_used_before_is_not_counted_again() -> None:
    spent = Usage(input=1000, cache_read=2000, output=100, reasoning=10)
    told = {"input_tokens": 4000, "cached_input_tokens": 2600, "output_tokens": 150, "reasoning_output_tokens": 20}
    done = line("turn.completed", usage=told)
    small = line("turn.completed", usage={"input_tokens": 7, "output_tokens": 3})

    resumed = play(CodexAgent(), [done], Exit(code=0), session="s", spent=spent).outcome.usage
    begun_anew = play(CodexAgent(), [small], Exit(code=0), session="s", spent=spent).outcome.usage
    first = play(CodexAgent(), [done], Exit(code=0), spent=spent).outcome.usage

    assert tokens(resumed) == (400, 600, 0, 50, 10)
    assert tokens(begun_anew) == (7, 0, 0, 3, 0)
    assert tokens(first) == (1400, 2600, 0, 150, 20)


def test_every_kind_of_tool_is_told_once() -> None:
    lines = [
        item("mcp_tool_call", event="item.started", server="files", tool="read", status="in_progress"),
        item("mcp_tool_call", server="files", tool="read", status="failed", error={"message": "no"}),
        item("file_change", changes=[{"path": "a", "kind": "add"}], status="completed"),
        item("command_execution", command="rm x", status="declined", exit_code=None),
        item("web_search", query="x"),
        *(item("todo_list", items=[]), item("plan", text="p"), item("agent_message", event="item.started", text="no")),
        *(item("brand_new", status="completed"), item("todo_list", event="item.updated", items=[])),
        DONE,
    ]

    played = play(CodexAgent(), lines, Exit(code=0))

    started = [one.tool for one in played.news if one.kind == "tool_started"]
    ended = [(one.tool, one.ok) for one in played.news if one.kind == "tool_ended"]
    assert started == ["files.read", "file_change", "command_execution", "web_search"]
    assert ended == [("files.read", False), ("file_change", True), ("command_execution", False), ("web_search", True)]
    assert played.kinds["permission"] == 1
    assert played.outcome.ok


def test_strange_lines_do_no_harm() -> None:
    strange = [
        *(b"", b"null", b"3", b"\xff\xfe\x00", b"{" * 1000, b"[" * 100_000, b'{"type":"item.completed","item":'),
        *(line("never_heard_of"), line("item.completed", item=[1]), line("turn.completed", usage=[1])),
        *(item("command_execution", exit_code="x", status=5, command=[1]), line("thread.started", thread_id=5)),
        *(b'{"type":["turn.failed"]}', b'{"type":"error","message":"Reconnecting... 1/2 (\\ud800"}'),
        item("agent_message", text="x" * 10_000_000),
    ]

    played = play(CodexAgent(), [BEGIN, *strange, DONE], Exit(code=0))

    assert played.outcome.ending is Ending.OK
    assert max(len(one.text.encode()) for one in played.news) <= 64 * 1024


def test_unknown_events_are_counted() -> None:
    parser = CodexAgent().parser(CodexAgent().launch(spec_for()))

    for told in (line("a"), item("b"), item("todo_list"), BEGIN, DONE):
        list(parser.feed(told))

    assert parser.unknown == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_beginning_of_a_good_stream_is_ok_before_its_turn_is_completed(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(["job", "job.gpt-5.5", "text", "think", "failshell"]))
    stream = b"\n".join(captured("codex", case)[0])
    cut = data.draw(st.integers(0, len(stream) - 1))

    assert play(CodexAgent(), stream[:cut].split(b"\n"), Exit(code=0)).outcome.ending is not Ending.OK


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ITEM = st.dictionaries(st.sampled_from(["id", "text", "status", "exit_code", "server", "error", "message"]), VALUES)
KINDS = ["thread.started", "turn.started", "turn.failed", "error", "item.started", "item.updated", "item.completed"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda kind, fields, inner, tool: {
                **fields,
                "type": kind,
                **({"item": {**inner, "type": tool}} if tool else {}),
            },
            st.sampled_from(KINDS),
            st.dictionaries(st.sampled_from(["item", "error", "message", "thread_id", "usage"]), VALUES, max_size=5),
            ITEM,
            st.sampled_from(["", "command_execution", "mcp_tool_call", "agent_message", "reasoning", "error", "x"]),
        ),
        max_size=5,
    )
)
def test_no_value_in_a_known_field_makes_the_parser_raise_or_succeed(told: list[dict[str, Any]]) -> None:
    lines = [json.dumps(one).encode() for one in told]

    assert play(CodexAgent(), lines, Exit(code=0)).outcome.ending is not Ending.OK


def test_a_launch_says_all_that_was_asked_for() -> None:
    launch = CodexAgent().launch(spec_for(model="gpt-5.5", effort="high"))
    resumed = CodexAgent().launch(spec_for(session="abc"))

    argv = " ".join(launch.argv)
    assert argv.startswith("codex exec --json --skip-git-repo-check -C /somewhere/work -s workspace-write")
    assert "-m gpt-5.5" in argv
    assert "-c model_reasoning_effort=high" in argv
    assert launch.argv[-1] == "-"
    assert launch.session == ""
    assert {"CODEX_HOME", "OPENAI_API_KEY"} <= set(launch.env_allow)
    assert not {"HOME", "CODEX_HOME"} & set(launch.env)
    assert resumed.session == "abc"
    assert resumed.argv[-3:] == ("resume", "abc", "-")


@pytest.mark.parametrize(
    ("permission", "flags"),
    [
        ("read", "-s read-only"),
        ("edit", "-s workspace-write -c sandbox_workspace_write.exclude_slash_tmp=true"),
        ("full", "--dangerously-bypass-approvals-and-sandbox"),
    ],
)
def test_a_permission_becomes_flags(permission: str, flags: str) -> None:
    argv = " ".join(CodexAgent().launch(spec_for(permission=permission)).argv)

    assert flags in argv
    assert ("dangerously" in argv) == (permission == "full")


def test_retries_of_a_provider_that_the_operator_names_are_lowered() -> None:
    def argv(*command: str) -> str:
        return " ".join(CodexAgent(Binding(name="codex", command=command)).launch(spec_for()).argv)

    assert "model_providers.mine.request_max_retries=2" in argv("codex", "-c", 'model_provider="mine"')
    assert "model_providers.mine.stream_max_retries=2" in argv("codex", "-c", "model_provider=mine")
    # Codex refuses to start when one of its own providers is changed.
    assert "max_retries" not in argv("codex", "-c", "model_provider=openai")
    assert "max_retries" not in argv("codex")


@pytest.mark.parametrize("asked", [{"permission": "all"}, {"model": "--x"}, {"effort": "-x"}, {"session": "--last"}])
def test_what_cannot_be_kept_or_could_be_an_option_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(InputError):
        CodexAgent().launch(spec_for(**asked))


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "auth"), [(0, "ok"), (1, "missing")])
async def test_it_is_found_with_version_and_login(tmp_path: Path, code: int, auth: str) -> None:
    program = tmp_path / "codex"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo codex-cli 0.169.0 && exit\nexit {code}\n')
    program.chmod(0o755)

    detected = await CodexAgent(Binding(name="codex", command=(str(program),))).detect()

    assert (detected.found, detected.version, detected.auth) == (True, "0.169.0", auth)
    assert ("codex login" in detected.hint) == (auth == "missing")


@pytest.mark.anyio
async def test_a_program_that_does_not_answer_is_found_with_nothing_known(tmp_path: Path) -> None:
    program = tmp_path / "codex"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)

    detected = await CodexAgent(Binding(name="codex", command=(str(program),))).detect()

    assert (detected.found, detected.version, detected.auth) == (True, "", "unknown")
