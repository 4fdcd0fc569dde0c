"""A turn with a fake ACP agent, from the executor to the last process: what is told, refused, cancelled and left."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from muster.agents.acp import AcpAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome
from muster.ports import AttemptSpec, Binding, News
from muster.process import list_marked
from tests.contracts.captured import DATA
from tests.contracts.executor_contract import attempt, ignore, until_written, written

FAKE = DATA / "acp" / "fake_agent.py"


def bound(place: Path, *words: str) -> AcpAgent:
    """The dialect, bound to the fake agent."""
    return AcpAgent(Binding(name="fake", command=(sys.executable, "-S", str(FAKE), str(place / "log"), *words)))


def wanted(place: Path, *steps: dict[str, Any], **more: object) -> AttemptSpec:
    return attempt(place, agent="fake", prompt=json.dumps(steps), **more)


def executor(agent: AcpAgent) -> LocalExecutor:
    return LocalExecutor({"fake": agent}, SystemClock())


class Seen:
    """What a run with the fake agent came to."""

    def __init__(self, place: Path, outcome: Outcome, told: list[News]) -> None:
        self.outcome = outcome
        self.texts = [one.text for one in told if one.kind == "text"]
        self.notices = [one.text for one in told if one.kind == "notice" and "No price" not in one.text]
        self.decisions = [one.data["decision"] for one in told if one.kind == "permission"]
        log = place / "log"
        self.received = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def asked(self, method: str) -> list[dict[str, Any]]:
        return [one.get("params", {}) for one in self.received if one.get("method") == method]

    @property
    def cause(self) -> Cause | None:
        return self.outcome.failure.cause if self.outcome.failure else None


async def run(place: Path, *steps: dict[str, Any], words: tuple[str, ...] = (), **more: object) -> Seen:
    told: list[News] = []
    spec = wanted(place, *steps, **more)
    outcome = await executor(bound(place, *words)).run(spec, told.append)
    assert not list_marked(spec.id)
    return Seen(place, outcome, told)


@pytest.mark.anyio
async def test_a_job_is_done_and_the_transcript_holds_every_frame(tmp_path: Path) -> None:
    work = tmp_path / "work"
    path = str(work / "deep" / "hello.txt")
    steps = [{"say": "I write."}, {"tool": "t1"}, {"write": {"path": path, "content": "hällo\r\n"}}, {"say": "Done."}]

    seen = await run(tmp_path, *steps)

    assert seen.outcome.ok
    assert (seen.outcome.session, seen.outcome.usage.input, seen.outcome.usage.output) == ("s-1", 10, 5)
    assert (work / "deep" / "hello.txt").read_bytes() == "hällo\r\n".encode()
    assert seen.texts == ["I write.", "{}", "Done."]
    assert seen.asked("session/new") == [{"cwd": str(work), "mcpServers": []}]
    assert json.loads(seen.asked("session/prompt")[0]["prompt"][0]["text"]) == steps
    assert seen.received[-1] == {"eof": True}
    (transcript,) = (tmp_path / "runs").rglob("stdout.log")
    frames = [json.loads(line) for line in transcript.read_bytes().splitlines()]
    asked = [one["frame"]["method"] for one in frames if one.get("bridge") == "sent"]
    assert asked == ["initialize", "session/new", "session/prompt"]
    assert [one["method"] for one in frames if "method" in one].count("session/update") == 5
    assert "I write." not in json.dumps([one for one in frames if "bridge" in one])


def place(path: str) -> dict[str, Any]:
    return {"locations": [{"path": path}]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("permission", "answers"),
    [
        (
            "edit",
            [
                ({"kind": "edit"}, "id-allow_once"),
                ({"kind": "edit", **place("inside.txt")}, "id-allow_once"),
                ({"kind": "execute"}, "id-allow_once"),
                ({"kind": "edit", "options": ["reject_once", "allow_always"]}, "id-allow_always"),
                ({"kind": "edit", "options": ["reject_once"]}, "cancelled"),
                ({"kind": "edit", **place("/etc/passwd")}, "id-reject_once"),
                ({"kind": "edit", **place("../outside")}, "id-reject_once"),
                ({"kind": "edit", **place("~/.profile")}, "id-reject_once"),
                ({"kind": "edit", "content": [{"type": "diff", "path": "/etc/passwd"}]}, "id-reject_once"),
                ({"kind": "edit", "rawInput": {"file_path": "/etc/passwd"}}, "id-reject_once"),
            ],
        ),
        ("full", [({"kind": "edit", **place("/etc/passwd")}, "id-allow_once")]),
        (
            "read",
            [
                ({"kind": "edit"}, "id-reject_once"),
                ({"kind": "execute"}, "id-reject_once"),
                ({}, "id-reject_once"),
                ({"kind": "read"}, "id-allow_once"),
                ({"kind": "read", **place("/etc/passwd")}, "id-reject_once"),
                ({"kind": "edit", "options": ["allow_once", "reject_always"]}, "id-reject_always"),
            ],
        ),
    ],
)
async def test_a_request_for_permission_is_answered_by_policy_and_place(
    tmp_path: Path, permission: str, answers: list[tuple[dict[str, Any], str]]
) -> None:
    steps = [{"ask": {"toolCallId": f"t{number}", **call}} for number, (call, _) in enumerate(answers)]

    seen = await run(tmp_path, *steps, permission=permission)

    assert seen.texts == [answer for _, answer in answers]
    assert seen.decisions == ["reject" if "reject" in answer else "allow" for answer in seen.texts]
    assert seen.outcome.ok


@pytest.mark.anyio
async def test_a_request_that_names_only_a_known_tool_call_is_judged_by_what_is_known(tmp_path: Path) -> None:
    known = {"ask": {"toolCallId": "t9", "kind": "edit", "locations": [{"path": "/etc/passwd"}]}}

    seen = await run(tmp_path, known, {"ask": {"toolCallId": "t9", "kind": "read"}}, permission="read")

    assert seen.texts == ["id-reject_once", "id-reject_once"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("permission", "answers"),
    [
        (
            "edit",
            [
                ("write", {"path": "{work}2/x.txt", "content": "x"}, "is not inside"),
                ("write", {"path": "{work}/../outside.txt", "content": "x"}, "is not inside"),
                ("write", {"path": "{work}/link/x.txt", "content": "x"}, "is not inside"),
                ("write", {"path": "{work}/loop", "content": "x"}, "is not inside"),
                ("write", {"path": "{work}/.git/hooks/pre-commit", "content": "x"}, "not allowed"),
                ("write", {"path": "{work}/x.txt", "content": 7}, "must be a text"),
                ("write", {"path": "{work}/sub", "content": "x"}, "cannot be written"),
                ("read", {"path": 7}, "is not inside"),
            ],
        ),
        (
            "full",
            [
                ("write", {"path": "{work}/../outside.txt", "content": "x"}, "is not inside"),
                ("read", {"path": "{work}/link/secret.txt"}, "is not inside"),
            ],
        ),
        (
            "read",
            [
                ("write", {"path": "{work}/x.txt", "content": "x"}, "not allowed"),
                ("read", {"path": "{work}/none.txt"}, "Resource not found"),
                ("read", {"path": "{work}/binary"}, "cannot be read as text"),
                ("read", {"path": "{work}/lines", "line": 2, "limit": 1}, '{"content": "two\\n"}'),
                ("read", {"path": "{work}/lines"}, '{"content": "one\\ntwo\\nthree"}'),
            ],
        ),
    ],
)
async def test_files_are_served_inside_the_folder_and_as_the_permission_allows(
    tmp_path: Path, permission: str, answers: list[tuple[str, dict[str, Any], str]]
) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    (work / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (work / "link").symlink_to(outside)
    (work / "loop").symlink_to(outside / "new.txt")
    (work / "lines").write_text("one\ntwo\nthree")
    (work / "binary").write_bytes(b"\xff\xfe")
    before = {*work.rglob("*"), *outside.rglob("*")}
    steps = json.loads(json.dumps([{word: given} for word, given, _ in answers]).replace("{work}", str(work)))

    seen = await run(tmp_path, *steps, permission=permission)

    assert len(seen.texts) == len(answers)
    for text, (_, _, said) in zip(seen.texts, answers, strict=True):
        assert said in text
    assert {*work.rglob("*"), *outside.rglob("*")} == before
    assert not (tmp_path / "outside.txt").exists()


@pytest.mark.anyio
async def test_terminals_and_unknown_requests_are_refused_politely(tmp_path: Path) -> None:
    seen = await run(tmp_path, {"call": "terminal/create"}, {"call": "elicitation/create"}, {"tool": "t"})

    errors = [one["error"]["code"] for one in seen.received if "error" in one]
    assert errors == [-32601, -32601]
    assert seen.asked("initialize")[0]["clientCapabilities"]["terminal"] is False
    assert seen.outcome.ok


@pytest.mark.anyio
async def test_noise_between_frames_does_no_harm(tmp_path: Path) -> None:
    half = [{"noise": '{"jsonrpc": "2.0", "id":'}, {"raw": [255, 254, 0, 10]}, {"flood": 3_000_000}]

    seen = await run(tmp_path, *half, {"say": "still here"}, words=("noisy",))

    assert seen.outcome.ok
    assert seen.texts == ["still here"]


@pytest.mark.anyio
async def test_a_large_prompt_reaches_the_agent_whole(tmp_path: Path) -> None:
    seen = await run(tmp_path, {"say": "ü" * 300_000})

    assert seen.asked("session/prompt")[0]["prompt"] == [{"type": "text", "text": json.dumps([{"say": "ü" * 300_000}])}]
    assert seen.texts[0].startswith("ü" * 10_000)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("steps", "words", "ending", "cause", "said"),
    [
        ([{"exit": 3}], (), Ending.ERROR, Cause.CRASH, "exit code 3. Its last words: these are my last words"),
        ([{"say": "x"}, {"kill": 9}], (), Ending.ERROR, Cause.CRASH, "signal 9"),
        ([{"error": {"code": 429, "message": "later"}}], (), Ending.ERROR, Cause.RATE_LIMIT, "later"),
        ([{"stop": "refusal"}], (), Ending.ERROR, Cause.BAD_REQUEST, "refuses"),
        ([{"tool": "t"}, {"usage": {}}], (), Ending.OK, None, ""),
        ([], (), Ending.INCOMPLETE, Cause.INCOMPLETE, "no model"),
        ([], ("login",), Ending.ERROR, Cause.AUTH, "Authentication required"),
        ([], ("v2",), Ending.ERROR, Cause.BAD_REQUEST, "version 2"),
    ],
)
async def test_how_a_turn_ends_is_what_the_attempt_says(
    tmp_path: Path, steps: list[dict[str, Any]], words: tuple[str, ...], ending: Ending, cause: Cause, said: str
) -> None:
    seen = await run(tmp_path, *steps, words=words)

    assert (seen.outcome.ending, seen.cause) == (ending, cause)
    assert (seen.outcome.exit_code == 0) == (ending in (Ending.OK, Ending.INCOMPLETE))
    assert said in (seen.outcome.failure.message if seen.outcome.failure else "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (("no-such-program-at-all",), Cause.NOT_INSTALLED),
        (("/etc/passwd",), Cause.ENVIRONMENT),
        (("true",), Cause.CRASH),
        (("echo", "usage: something else"), Cause.CRASH),
    ],
)
async def test_a_program_that_is_no_agent_is_a_failure_that_says_so(
    tmp_path: Path, command: tuple[str, ...], cause: Cause
) -> None:
    agent = AcpAgent(Binding(name="fake", command=command))

    outcome = await executor(agent).run(wanted(tmp_path), ignore)

    assert outcome.failure is not None
    assert outcome.failure.cause is cause


@pytest.mark.anyio
async def test_model_effort_and_mode_are_set_where_the_agent_offers_them(tmp_path: Path) -> None:
    seen = await run(tmp_path, {"tool": "t"}, model="big", effort="high", permission="full")

    assert [(one["configId"], one["value"]) for one in seen.asked("session/set_config_option")] == [
        ("model", "big"),
        ("effort", "high"),
    ]
    assert seen.asked("session/set_mode") == [{"sessionId": "s-1", "modeId": "yolo"}]
    assert seen.notices == []


@pytest.mark.anyio
async def test_a_model_that_the_agent_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    seen = await run(tmp_path, {"tool": "t"}, model="huge")

    assert seen.cause is Cause.INVALID_MODEL
    assert seen.outcome.failure is not None
    assert "small, big" in seen.outcome.failure.message
    assert seen.asked("session/prompt") == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("words", "method", "session", "notices"),
    [
        (("load",), "session/load", "s-old", 0),
        (("resume", "load"), "session/resume", "s-old", 0),
        ((), "", "s-1", 1),
        (("load", "forgetful"), "session/load", "s-1", 1),
    ],
)
async def test_an_earlier_session_is_gone_on_with_where_that_is_possible(
    tmp_path: Path, words: tuple[str, ...], method: str, session: str, notices: int
) -> None:
    seen = await run(tmp_path, {"say": "new"}, words=words, session="s-old")

    assert seen.outcome.ok
    assert (seen.outcome.session, len(seen.notices), seen.texts) == (session, notices, ["new"])
    assert [one["sessionId"] for one in seen.asked(method)] == (["s-old"] if method else [])
    assert seen.asked("session/prompt")[0]["sessionId"] == session


@pytest.mark.anyio
async def test_a_cancelled_turn_is_cancelled_in_the_protocol_first(tmp_path: Path) -> None:
    asks_too_late = {"hang": {"toolCallId": "t", "kind": "edit"}}
    spec = wanted(tmp_path, {"say": "waiting"}, asks_too_late, grace_s=20.0)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(executor(bound(tmp_path, "stubborn")).run, spec, ignore)
            await until_written(spec, b"waiting")
            group.cancel_scope.cancel()

    assert not list_marked(spec.id)
    received = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"method": "session/cancel", "params": {"sessionId": "s-1"}, "jsonrpc": "2.0"} in received
    assert {"outcome": "cancelled"} in [one["result"]["outcome"] for one in received if "result" in one]
    assert b'"decision": "reject"' in written(spec)
    assert b'"stopReason": "cancelled"' in written(spec)


@pytest.mark.anyio
@pytest.mark.parametrize("words", [("clingy",), ("clingy", "stubborn")])
async def test_an_agent_that_stays_after_its_turn_is_sent_away(tmp_path: Path, words: tuple[str, ...]) -> None:
    seen = await run(tmp_path, {"say": "done"}, words=words)

    assert seen.outcome.ok
    assert seen.outcome.swept == ()


@pytest.mark.anyio
async def test_an_agent_that_hears_nothing_is_ended_when_its_grace_is_over(tmp_path: Path) -> None:
    spec = wanted(tmp_path, {"daemon": 1}, {"say": "waiting"}, {"deaf": True}, timeout_s=1.0, grace_s=0.2)

    outcome = await executor(bound(tmp_path)).run(spec, ignore)

    assert outcome.ending is Ending.TIMEOUT
    assert not list_marked(spec.id)


@pytest.mark.anyio
@pytest.mark.parametrize("steps", [[{"daemon": 1}, {"tool": "t"}], [{"daemon": 1}, {"exit": 1}]])
async def test_what_an_agent_leaves_running_is_ended_with_it(tmp_path: Path, steps: list[dict[str, Any]]) -> None:
    seen = await run(tmp_path, *steps)

    assert seen.outcome.ok is ("tool" in steps[1])
    assert len(seen.outcome.swept) == 1


@pytest.mark.anyio
async def test_when_the_bridge_is_killed_no_agent_is_left(tmp_path: Path) -> None:
    spec = wanted(tmp_path, {"daemon": 1}, {"say": "waiting"}, {"deaf": True})
    outcomes: list[Outcome] = []

    async def work() -> None:
        outcomes.append(await executor(bound(tmp_path)).run(spec, ignore))

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await until_written(spec, b"waiting")
        # Its shim shows the same command; the bridge itself is the shim's child.
        shown = [psutil.Process(one.pid) for one in list_marked(spec.id) if "-B" in one.command]
        (bridge,) = (one for one in shown if one.ppid() in {other.pid for other in shown})
        os.kill(bridge.pid, signal.SIGKILL)

    assert outcomes[0].ending is Ending.ERROR
    assert outcomes[0].signal == signal.SIGKILL
    assert not list_marked(spec.id)


@pytest.mark.anyio
async def test_another_executor_reads_the_outcome_of_a_turn_that_has_ended(tmp_path: Path) -> None:
    agent = bound(tmp_path)
    spec = wanted(tmp_path, {"say": "hi"})
    first = await executor(agent).run(spec, ignore)

    second = await executor(agent).adopt(spec, ignore)

    assert (second.ending, second.usage, second.session) == (first.ending, first.usage, first.session)
    assert second.ok
