"""The scripted program in each dialect, through the real adapters and the real executor."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome, Usage
from muster.ports import AttemptSpec, News
from tests.contracts.executor_contract import attempt
from tests.contracts.speaking import DIALECTS, speaking

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", DIALECTS)]
WORK = [{"say": "I begin"}, {"write": {"path": "a.txt", "text": "a"}}, {"usage": {"input": 100, "output": 10}}]


async def play(place: Path, dialect: str, *steps: object, **more: object) -> tuple[Outcome, list[News], AttemptSpec]:
    sessions = place / "sessions"
    sessions.mkdir(exist_ok=True)
    executor = LocalExecutor(
        {dialect: speaking(dialect)}, SystemClock(), environ={**os.environ, "SCRIPTED_SESSIONS": str(sessions)}
    )
    told: list[News] = []
    spec = attempt(place, agent=dialect, prompt=json.dumps(list(steps)), **more)
    outcome = await executor.run(spec, told.append)
    executor.close()
    return outcome, told, spec


async def test_work_is_told_counted_and_ok(tmp_path: Path, dialect: str) -> None:
    outcome, told, spec = await play(tmp_path, dialect, *WORK, {"say": "done"})

    assert outcome.ending is Ending.OK, outcome
    assert (outcome.usage.input, outcome.usage.output) == (100, 10)
    assert outcome.session
    assert (spec.workdir / "a.txt").read_text() == "a"
    assert "write" in [one.tool for one in told if one.kind == "tool_started"] or dialect in ("codex", "acp")
    assert [one.ok for one in told if one.kind == "tool_ended"] == [True]
    assert "I begin" in [one.text for one in told if one.kind == "text"]


@pytest.mark.parametrize(("word", "cause"), [("auth", Cause.AUTH), ("rate_limit", Cause.RATE_LIMIT)])
async def test_what_fails_is_never_ok_whatever_the_exit_code(
    tmp_path: Path, dialect: str, word: str, cause: Cause
) -> None:
    outcome, _, _ = await play(tmp_path, dialect, *WORK, {"exit": {"code": 0, "class": word, "message": "no"}})

    assert outcome.ending is Ending.ERROR, outcome
    assert outcome.failure is not None
    assert outcome.failure.cause is cause


async def test_what_an_agent_does_not_price_is_priced_by_its_model_and_never_counted_as_free(
    tmp_path: Path, dialect: str
) -> None:
    known, told, _ = await play(tmp_path, dialect, *WORK, {"say": "done"}, model="claude-sonnet-4-5")
    if dialect in ("acp", "codex", "opencode"):
        # They do not say which model worked, so the one that was asked for counts.
        assert known.usage.cost_usd == pytest.approx(100 * 3e-6 + 10 * 15e-6)
        assert known.usage.cost_source == "priced"
        assert [one.usage.cost_source for one in told if one.usage is not None][-1] == "priced"
    elif dialect == "claude":
        assert (known.usage.cost_usd, known.usage.cost_source) == (0.0, "reported")
    else:
        # Its own word is another model, of which nobody knows a price.
        assert (known.usage.cost_usd, known.usage.cost_source) == (None, "none")
        assert any("No price is known for scripted" in one.text for one in told if one.kind == "notice")


async def test_a_session_is_gone_on_with_and_nothing_is_counted_twice(tmp_path: Path, dialect: str) -> None:
    priced = {"usage": {"input": 100, "output": 10, "cost_usd": 0.5}}
    first, _, _ = await play(tmp_path, dialect, priced, {"say": "one"})
    second, _, _ = await play(
        tmp_path, dialect, priced, {"say": "two"}, number=2, session=first.session, spent=first.usage
    )
    lost, _, _ = await play(
        tmp_path, dialect, priced, {"say": "three"}, number=3, session="0198c0de-1111-4222-8333-444455556666"
    )

    assert second.session == first.session
    assert msgspec.structs.replace(second.usage, model="") == msgspec.structs.replace(first.usage, model="")
    assert first.usage.cost_usd == (None if dialect in ("codex", "gemini") else 0.5)
    if dialect in ("acp", "pi"):
        # They begin a new session by themselves.
        assert lost.ending is Ending.OK, lost
    else:
        assert lost.failure is not None
        assert (lost.failure.cause, lost.usage) == (Cause.SESSION_LOST, Usage())
