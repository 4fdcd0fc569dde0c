"""The telemetry that agents send of their own: who may send it, what is kept of it, and that nothing stays behind."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from muster.agents.codex import CodexAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Ending, Outcome, Usage
from muster.model.journal.correlation import Correlation
from muster.model.redaction import Redactor
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Exit, Launch, News
from muster.telemetry.received import MOST_KEPT, Account, from_json
from muster.telemetry.receiver import MOST_BODY_BYTES, Receiver
from muster.telemetry.spans import Span
from tests.contracts.executor_contract import attempt, until_written
from tests.integration import telling_agent

PROGRAM = Path(telling_agent.__file__)
CANARY = "canary-in-a-prompt"
ATTEMPT = Correlation(run="01r", task="T1", attempt=2)
SPENT = Usage(
    input=1000,
    cache_read=3000,
    cache_write=50,
    output=200,
    cost_usd=0.25,
    cost_source="reported",
    model=telling_agent.MODEL,
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver({"AGENT_TOKEN": "hunter2-hunter2"})
    receiver.start()
    yield receiver
    receiver.close()


def admitted(receiver: Receiver, belongs: Correlation = ATTEMPT) -> str:
    return receiver.admit(belongs.id, belongs)["OTEL_EXPORTER_OTLP_ENDPOINT"]


def post(endpoint: str, signal: str, body: Any, kind: str = "application/json", **headers: str) -> int:
    place = urlsplit(endpoint)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    data = body if isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body).encode()
    connection.request("POST", f"{place.path}/v1/{signal}", data, {"Content-Type": kind, **headers})
    with connection.getresponse() as response:
        response.read()
    connection.close()
    return response.status


def attributes(**values: Any) -> list[Any]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [{"key": name.replace("__", "."), "value": {kinds[type(one)]: one}} for name, one in values.items()]


def spans(*each: dict[str, Any], **resource: Any) -> dict[str, Any]:
    told = [{"startTimeUnixNano": "1000", "endTimeUnixNano": "2000", **one} for one in each]
    return {"resourceSpans": [{"resource": {"attributes": attributes(**resource)}, "scopeSpans": [{"spans": told}]}]}


def points(name: str, *each: dict[str, Any], temporality: int) -> dict[str, Any]:
    metric = {"name": name, "sum": {"aggregationTemporality": temporality, "dataPoints": each}}
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}


def records(*each: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": each}]}]}


def called(*, at: int, **values: Any) -> dict[str, Any]:
    told = {"event__name": "api_request", "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.5, **values}
    return {"timeUnixNano": at, "body": {"stringValue": CANARY}, "attributes": attributes(**told)}


def named(told: tuple[Span, ...]) -> dict[str, Span]:
    return {span.name: span for span in told}


def test_what_an_official_sdk_tells_is_cut_down_put_into_the_run_and_counted_once(receiver: Receiver) -> None:
    env = {**os.environ, **receiver.admit(ATTEMPT.id, ATTEMPT), **ATTEMPT.environment()}

    subprocess.run([sys.executable, str(PROGRAM), CANARY, "3"], env=env, check=True, timeout=50)

    assert receiver.dismiss(ATTEMPT.id) == SPENT, "cumulative counters that were told four times"
    kept = receiver.take_spans()
    told = named(kept)
    assert set(told) == {"claude_code.interaction", "claude_code.tool", f"chat {telling_agent.MODEL}"}
    turn, tool, chat = (
        told[name] for name in ("claude_code.interaction", "claude_code.tool", f"chat {telling_agent.MODEL}")
    )
    assert {span.trace for span in kept} == {ATTEMPT.trace}
    assert (turn.parent, chat.parent) == (ATTEMPT.span, turn.span)
    assert tool.parent == ATTEMPT.span, "its parent was noise, so it hangs below the attempt"
    assert (tool.error, tool.attributes["gen_ai.tool.name"], tool.attributes["muster.agent.duration_ms"]) == (
        "error",
        "Bash",
        12,
    )
    assert (chat.attributes["gen_ai.usage.input_tokens"], chat.attributes["gen_ai.usage.output_tokens"]) == (4050, 150)
    assert turn.attributes["muster.attempt"] == 2
    assert turn.start <= chat.start <= chat.end <= turn.end
    assert CANARY not in repr(kept)
    assert receiver.take_spans() == ()


def test_names_and_values_that_could_be_anything_are_left_out_and_secrets_masked(receiver: Receiver) -> None:
    endpoint = admitted(receiver)
    told = attributes(
        gen_ai__operation__name="chat", model="sk-abcdefghijklmnop1234", tool_name="cat /etc/shadow now", secret=CANARY
    )
    own = attributes(gen_ai__operation__name="execute_tool", gen_ai__tool__name="hunter2-hunter2")

    body = spans(
        {"spanId": "a", "name": CANARY, "attributes": told}, {"spanId": "b", "name": CANARY, "attributes": own}
    )
    assert post(endpoint, "traces", body) == 200

    receiver.dismiss(ATTEMPT.id)
    kept = receiver.take_spans()
    assert [span.name for span in kept] == ["chat ***", "execute_tool ***"]
    assert not any(word in repr(kept) for word in (CANARY, "sk-abc", "shadow", "hunter2"))


def test_an_id_that_an_agent_makes_up_takes_the_place_of_no_span_of_ours(receiver: Receiver) -> None:
    endpoint = admitted(receiver)
    body = spans({"spanId": ATTEMPT.span, "parentSpanId": "", "traceId": "f" * 32, "name": "claude_code.hook"})

    assert post(endpoint, "traces", body) == 200

    receiver.dismiss(ATTEMPT.id)
    [kept] = receiver.take_spans()
    assert (kept.trace, kept.parent) == (ATTEMPT.trace, ATTEMPT.span)
    assert kept.span not in (ATTEMPT.span, ATTEMPT.parent)


def test_whoever_names_another_attempt_is_not_believed(receiver: Receiver) -> None:
    endpoint, span = admitted(receiver), {"spanId": "a", "name": "claude_code.tool"}

    post(endpoint, "traces", spans(span, muster__run="01r", muster__task="T9", muster__attempt="2"))
    post(endpoint, "traces", spans({**span, "spanId": "b"}, muster__run="01r", muster__task="T1", muster__attempt="2"))

    receiver.dismiss(ATTEMPT.id)
    assert len(receiver.take_spans()) == 1


def test_the_same_numbers_by_three_ways_are_counted_once(receiver: Receiver) -> None:
    endpoint = admitted(receiver)
    point = {"attributes": attributes(type="input", model="m"), "asInt": "10", "timeUnixNano": "5"}
    call = {"spanId": "a", "name": "claude_code.llm_request", "attributes": attributes(input_tokens=30, model="m")}

    for _ in "sent", "sent again":
        post(endpoint, "metrics", points("claude_code.token.usage", point, temporality=1))
        post(endpoint, "metrics", points("claude_code.token.usage", {**point, "timeUnixNano": "6"}, temporality=1))
        post(endpoint, "logs", records(called(at=1, model="m"), called(at=2, model="m"), called(at=3, model="m")))
        post(endpoint, "traces", spans(call))

    used = receiver.dismiss(ATTEMPT.id)
    assert (used.input, used.output, used.cost_usd, used.model) == (30, 15, 1.5, "m"), "the records know most"
    assert receiver.dismiss(ATTEMPT.id) == Usage()


def test_only_an_attempt_that_runs_can_send_and_only_to_its_own_address(receiver: Receiver) -> None:
    endpoint, body = admitted(receiver), records(called(at=1))
    place = urlsplit(endpoint)
    root = f"http://{place.netloc}"

    wrong = [
        post(f"{root}/{'x' * 32}", "logs", body),
        post(root, "logs", body),
        post(endpoint, "profiles", body),
        post(f"{endpoint}/..", "logs", body),
    ]
    receiver.dismiss(ATTEMPT.id)

    assert [*wrong, post(endpoint, "logs", body)] == [404] * 5
    assert place.hostname == "127.0.0.1"
    assert admitted(receiver) != endpoint


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_a_mebibyte_is_read_and_a_bigger_one_refused(receiver: Receiver, chunked: bool) -> None:
    endpoint, body = admitted(receiver), json.dumps(records(called(at=1))).encode()

    def sent(size: int) -> int:
        data = body + b" " * (size - len(body))
        pieces = iter([data[at : at + 50_000] for at in range(0, size, 50_000)])
        return post(endpoint, "logs", pieces if chunked else data)

    assert [sent(MOST_BODY_BYTES), sent(MOST_BODY_BYTES + 1)] == [200, 413]
    assert receiver.dismiss(ATTEMPT.id).input == 10


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe\x00", b'{"resourceLogs": 1}', b"[" * 100_000, b'{"resourceLogs":' * 50_000],
)
def test_garbage_is_refused_and_the_next_request_taken(receiver: Receiver, kind: str, body: bytes) -> None:
    endpoint = admitted(receiver)

    # No bytes at all are an empty message of protobuf.
    assert post(endpoint, "logs", body, kind) == (200 if not body and "protobuf" in kind else 400)
    assert post(endpoint, "logs", records(called(at=1))) == 200
    assert receiver.dismiss(ATTEMPT.id).input == 10


def test_what_cannot_be_read_is_said_so(receiver: Receiver) -> None:
    endpoint = admitted(receiver)

    assert post(endpoint, "logs", b"x", "text/plain") == 415
    assert post(endpoint, "logs", b"x", **{"Content-Encoding": "gzip"}) == 415
    assert post(endpoint, "logs", b"", **{"Content-Length": "-5"}) == 400
    with socket.create_connection(urlsplit(endpoint).netloc.split(":")) as raw:
        raw.sendall(b"POST /x/v1/logs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n")
        assert b" 400 " in raw.recv(1000).partition(b"\r\n")[0]


@given(st.lists(st.one_of(st.text(), st.integers().map(str), st.floats().map(str)), max_size=4))
def test_numbers_are_never_negative_nor_endless(values: list[str]) -> None:
    account = Account(ATTEMPT, Redactor())
    account.take(
        from_json(json.dumps(records(*(called(at=1, input_tokens=one, cost_usd=one) for one in values))).encode())
    )

    used = account.used()

    assert 0 <= used.input <= 4 * 10**12
    assert 0 <= (used.cost_usd or 0.0) <= 4 * 10**12


def test_an_agent_without_end_is_kept_up_to_a_bound(receiver: Receiver) -> None:
    endpoint = admitted(receiver)

    for begin in range(0, MOST_KEPT + 500, 500):
        each = ({"spanId": str(number), "name": "claude_code.tool"} for number in range(begin, begin + 500))
        assert post(endpoint, "traces", spans(*each)) == 200

    receiver.dismiss(ATTEMPT.id)
    assert len(receiver.take_spans()) == MOST_KEPT


def test_three_starts_and_stops_leave_no_thread_and_no_file_open_whoever_still_hangs_on() -> None:
    receiver = Receiver({})
    before, files = set(threading.enumerate()), psutil.Process().num_fds()
    for _ in range(3):
        receiver.start()
        endpoint = admitted(receiver)
        silent = socket.create_connection(urlsplit(endpoint).netloc.split(":"))
        assert post(endpoint, "logs", records(called(at=1))) == 200
        assert len(threading.enumerate()) > len(before)
        receiver.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(urlsplit(endpoint).netloc.split(":"))
        silent.close()
        assert receiver.dismiss(ATTEMPT.id).input == 10
        assert receiver.admit(ATTEMPT.id, ATTEMPT) == {}

    assert set(threading.enumerate()) <= before
    assert psutil.Process().num_fds() <= files


class Telling:
    """An agent whose program tells of itself; ``reports`` is whether its stream says what it used too."""

    name = "telling"
    capabilities = Capabilities()

    def __init__(self, *, reports: bool, traced: bool = True, script: str = "") -> None:
        self._reports, self._traced, self._script = reports, traced, script

    async def detect(self) -> Detected:
        return Detected(found=True)

    def launch(self, spec: AttemptSpec) -> Launch:
        script = self._script or f'env > env.txt; "{sys.executable}" "{PROGRAM}" {CANARY} 1; echo done'
        traced = {"TELLS": "1"} if self._traced else {}
        return Launch(argv=("/bin/sh", "-c", script), traced=traced, env_allow=("OTEL_*",))

    def parser(self, launch: Launch) -> Telling:
        return self

    def feed(self, line: bytes) -> Iterator[News]:
        if self._reports:
            yield News(kind="usage", usage=self._usage())

    def finish(self, ended: Exit, tail: bytes) -> Outcome:
        return Outcome(ending=Ending.OK, usage=self._usage() if self._reports else Usage())

    def _usage(self) -> Usage:
        return Usage(input=7, cost_usd=0.125, cost_source="reported")


ENVIRON = {
    "PATH": os.environ["PATH"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/v1/traces",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
}


@pytest.mark.anyio
@pytest.mark.parametrize("reports", [False, True])
async def test_what_an_agent_used_comes_from_its_telemetry_only_where_its_stream_says_nothing(
    tmp_path: Path, receiver: Receiver, reports: bool
) -> None:
    executor = LocalExecutor({"telling": Telling(reports=reports)}, SystemClock(), environ=ENVIRON, receiver=receiver)
    spec = attempt(tmp_path, agent="telling", env_allow=("OTEL_EXPORTER_OTLP_HEADERS",))

    outcome = await executor.run(spec, lambda _: None)

    assert (outcome.usage.input, outcome.usage.cost_usd) == ((7, 0.125) if reports else (1000, 0.25))
    seen = (spec.workdir / "env.txt").read_text()
    assert "collector.example" not in seen
    assert "HEADERS" not in seen
    assert len(receiver.take_spans()) == 3


@pytest.mark.anyio
async def test_what_a_stopped_agent_used_by_its_telemetry_is_told_before_it_is_gone(
    tmp_path: Path, receiver: Receiver
) -> None:
    script = f'"{sys.executable}" "{PROGRAM}" {CANARY} 1; echo told; sleep 60'
    executor = LocalExecutor(
        {"telling": Telling(reports=False, script=script)}, SystemClock(), environ=ENVIRON, receiver=receiver
    )
    spec, told = attempt(tmp_path, agent="telling"), list[News]()

    async with anyio.create_task_group() as group:
        group.start_soon(executor.run, spec, told.append)
        await until_written(spec, b"told")
        group.cancel_scope.cancel()

    assert [news.usage for news in told] == [SPENT]


@pytest.mark.anyio
async def test_an_agent_that_continues_no_trace_is_left_with_the_users_collector(
    tmp_path: Path, receiver: Receiver
) -> None:
    agent = Telling(reports=False, traced=False, script="env > env.txt")
    spec = attempt(tmp_path, agent="telling")

    await LocalExecutor({"telling": agent}, SystemClock(), environ=ENVIRON, receiver=receiver).run(spec, lambda _: None)

    assert "OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example\n" in (spec.workdir / "env.txt").read_text()


@pytest.mark.anyio
@pytest.mark.parametrize("collector", ["none", "the user's", "ours"])
async def test_codex_is_told_to_trace_itself_where_there_is_a_collector_and_where_that_is_by_its_environment_alone(
    tmp_path: Path, receiver: Receiver, collector: str
) -> None:
    program = tmp_path / "codex"
    program.write_text('#!/bin/sh\necho "$*" >argv.txt\nenv >env.txt\n')
    program.chmod(0o755)
    agent = CodexAgent(Binding(name="codex", command=(str(program),), env_allow=("OTEL_*",)))
    environ = ENVIRON if collector == "the user's" else {"PATH": ENVIRON["PATH"]}
    listens = receiver if collector == "ours" else None
    executor = LocalExecutor({"codex": agent}, SystemClock(), environ=environ, receiver=listens)
    spec = attempt(tmp_path, agent="codex", prompt="x")

    await executor.run(spec, lambda _: None)

    traced = " - -c otel.trace_exporter={otlp-http={endpoint="
    assert (traced in (spec.workdir / "argv.txt").read_text()) == (collector != "none")
    seen = dict(line.split("=", 1) for line in (spec.workdir / "env.txt").read_text().splitlines())
    place = seen.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    assert place.startswith(
        {"none": "", "ours": "http://127.0.0.1:", "the user's": "https://collector.example"}[collector]
    )
    assert ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE" in seen, bool(place)) == (collector != "none",) * 2


def test_of_what_codex_tells_turns_calls_and_tools_are_kept_and_its_answers_counted_once(receiver: Receiver) -> None:
    endpoint = admitted(receiver)
    used = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.cache_read.input_tokens": 600}
    used |= {"gen_ai.usage.output_tokens": 50, "codex.usage.reasoning_output_tokens": 10}
    tool = {"codex.tool.phase": "dispatch", "tool_name": "exec_command", "call_id": CANARY}
    body = spans(
        {"spanId": "a", "name": "session_task.turn", "attributes": attributes(model="gpt-5.5", cwd=CANARY)},
        {"spanId": "b", "parentSpanId": "a", "name": "exec_command", "attributes": attributes(**tool)},
        {"spanId": "c", "name": "handle_responses", "attributes": attributes(**used)},
        {"spanId": "d", "name": "handle_responses", "attributes": attributes(**{"from": "output_item_added"})},
        {"spanId": "e", "name": "fs.read_file", "attributes": attributes(path=CANARY)},
    )

    for _ in "sent", "sent again":
        assert post(endpoint, "traces", body) == 200

    assert receiver.dismiss(ATTEMPT.id) == Usage(input=400, cache_read=600, output=50, reasoning=10)
    told = receiver.take_spans()
    assert sorted(named(told)) == ["execute_tool exec_command", "handle_responses", "session_task.turn"]
    assert named(told)["execute_tool exec_command"].parent == named(told)["session_task.turn"].span
    assert named(told)["handle_responses"].attributes["gen_ai.usage.input_tokens"] == 1000
    assert CANARY not in repr(told)


def test_the_official_messages_and_json_are_kept_alike(receiver: Receiver) -> None:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.span_id, span.name, span.start_time_unix_nano, span.end_time_unix_nano = (
        b"12345678",
        "claude_code.tool",
        1000,
        2000,
    )
    span.attributes.add(key="tool_name").value.string_value = "Edit"
    shape = spans({"spanId": "x", "name": "claude_code.tool", "attributes": attributes(tool_name="Edit")})

    endpoint = admitted(receiver)
    assert post(endpoint, "traces", message.SerializeToString(), "application/x-protobuf") == 200
    assert post(endpoint, "traces", shape) == 200

    receiver.dismiss(ATTEMPT.id)
    one, two = receiver.take_spans()
    assert (one.name, one.start, one.end, one.attributes) == (two.name, two.start, two.end, two.attributes)
