"""The agents that need no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muster.agents.command import CommandAgent
from muster.agents.opencode import OpenCodeAgent
from muster.agents.scripted import ScriptedAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome, Usage
from muster.ports import AttemptSpec, Binding, News
from muster.process import run_now
from tests.contracts.agent_contract import AgentContract
from tests.contracts.executor_contract import attempt


class TestCommandAgent(AgentContract):
    reads_prompt = False

    def agent(self) -> CommandAgent:
        return CommandAgent()

    def good_stream(self) -> list[bytes]:
        return []


class TestScriptedAgent(AgentContract):
    def agent(self) -> ScriptedAgent:
        return ScriptedAgent()

    def good_stream(self) -> list[bytes]:
        told = ({"type": "session", "id": "x"}, {"type": "text", "text": "hi"}, {"type": "result", "ok": True})
        return [json.dumps(one).encode() for one in told]


async def play(place: Path, script: str, *, number: int = 1) -> tuple[Outcome, list[News], AttemptSpec]:
    told: list[News] = []
    spec = attempt(place, agent="scripted", prompt=script, number=number)
    outcome = await LocalExecutor({"scripted": ScriptedAgent()}, SystemClock()).run(spec, told.append)
    return outcome, told, spec


@pytest.mark.anyio
async def test_a_script_works_on_files_and_commits(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    run_now(["git", "init", "-q"], cwd=work, env={"PATH": "/usr/bin:/bin"}, check=True)
    script = """
- think: what to do
- write: {path: src/a.txt, text: "one\\n"}
- append: {path: src/a.txt, text: "two\\n"}
- patch: {path: src/a.txt, old: one, new: uno}
- write: {path: gone.txt, text: ""}
- delete: gone.txt
- run: "echo made > made.txt"
- tool: {name: search, ok: false}
- usage: {input: 10, output: 5, cost_usd: 0.25}
- usage: {input: 1, output: 1, cost_usd: 0.25}
- commit: {message: "Add a"}
- say: done
"""

    outcome, told, spec = await play(tmp_path, script)

    assert outcome.ok
    assert outcome.usage == Usage(input=11, output=6, cost_usd=0.5, cost_source="reported", model="scripted")
    assert outcome.session == spec.id
    assert (work / "src" / "a.txt").read_text() == "uno\ntwo\n"
    assert sorted(path.name for path in work.iterdir()) == [".git", "made.txt", "src"]
    log = run_now(["git", "log", "--format=%s", "--name-only"], cwd=work, env={"PATH": "/usr/bin:/bin"})
    assert log.stdout.split() == [b"Add", b"a", b"made.txt", b"src/a.txt"]
    assert [one.tool for one in told if one.kind == "tool_ended" and not one.ok] == ["search"]
    assert ("thought", "what to do") in [(one.kind, one.text) for one in told]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "ending", "cause"),
    [
        ("- exit: 3", Ending.ERROR, Cause.CRASH),
        ("- exit: {code: 1, class: rate_limit, message: later}", Ending.ERROR, Cause.RATE_LIMIT),
        ("- exit: {code: 0, class: auth, message: who}", Ending.ERROR, Cause.AUTH),
        ("- exit: 0", Ending.INCOMPLETE, Cause.INCOMPLETE),
        ("- result: {ok: true}\n- exit: 143", Ending.CANCELLED, Cause.CANCELLED),
        ("- result: {ok: false, class: no_such_class}", Ending.ERROR, Cause.CRASH),
        ("- crash: {signal: SEGV}", Ending.ERROR, Cause.CRASH),
        ("- run: exit 4", Ending.ERROR, Cause.EXIT),
        ("- patch: {path: x, old: a, new: b}", Ending.ERROR, Cause.EXIT),
        ("- dance: wildly", Ending.ERROR, Cause.BAD_REQUEST),
        ("- write: {path: x}", Ending.ERROR, Cause.BAD_REQUEST),
        ("just words", Ending.ERROR, Cause.BAD_REQUEST),
        ("- [unclosed", Ending.ERROR, Cause.BAD_REQUEST),
        ("- lie: {text: all tests pass}\n- exit: 1", Ending.OK, None),
        ("", Ending.OK, None),
        ("- say: x\n---\nThe first attempt failed: {", Ending.OK, None),
    ],
)
async def test_how_a_script_ends_is_what_the_attempt_says(
    tmp_path: Path, script: str, ending: Ending, cause: Cause | None
) -> None:
    outcome, _, _ = await play(tmp_path, script)

    assert outcome.ending is ending
    assert (outcome.failure.cause if outcome.failure else None) is cause


@pytest.mark.anyio
async def test_each_attempt_can_have_its_own_steps(tmp_path: Path) -> None:
    script = "attempts: {1: [{exit: 1}]}\ndefault: [{say: fine}]"

    first, _, _ = await play(tmp_path, script)
    second, told, _ = await play(tmp_path, script, number=2)

    assert not first.ok
    assert second.ok
    assert "fine" in [one.text for one in told]


@pytest.mark.anyio
async def test_a_program_that_loops_for_ever_is_ended_long_before_its_time_is_up(tmp_path: Path) -> None:
    """OpenCode repeats an empty step without end when its stream is cut; the captured loop is written by a stand-in."""
    captured = Path(__file__).parents[1] / "data/agents/opencode/drop.stdout"
    endless = f"cat {captured}; exec sleep 300"
    agent = OpenCodeAgent(Binding(name="opencode", command=("/bin/sh", "-c", endless, "opencode")))
    spec = attempt(tmp_path, agent="opencode", prompt="do it", timeout_s=200.0)

    outcome = await LocalExecutor({"opencode": agent}, SystemClock()).run(spec, lambda _: None)

    assert outcome.ending is Ending.ERROR
    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.AGENT_BUG
    assert outcome.duration_ms < 100_000
