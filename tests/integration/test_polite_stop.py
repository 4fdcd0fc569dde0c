"""Stopping a program that can say what it used when it is interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Ending
from muster.ports import News
from tests.contracts.executor_contract import attempt, nothing_is_left, until_written
from tests.contracts.speaking import speaking

pytestmark = pytest.mark.anyio
SCRIPT = [{"usage": {"input": 100, "output": 10, "cost_usd": 0.5}}, {"say": "here"}, {"run": "sleep 300"}]


async def test_an_attempt_at_its_deadline_is_asked_first_and_says_what_it_used(tmp_path: Path) -> None:
    spec = attempt(tmp_path, agent="claude", prompt=json.dumps(SCRIPT), timeout_s=1.5)

    outcome = await LocalExecutor({"claude": speaking("claude")}, SystemClock()).run(spec, lambda _: None)

    assert outcome.ending is Ending.TIMEOUT
    assert (outcome.usage.input, outcome.usage.cost_usd) == (100, 0.5)
    assert outcome.exit_code == 0
    assert nothing_is_left(spec)


async def test_what_a_stopped_attempt_used_is_told_before_it_is_over(tmp_path: Path) -> None:
    spec = attempt(tmp_path, agent="claude", prompt=json.dumps(SCRIPT))
    told: list[News] = []

    async with anyio.create_task_group() as group:
        group.start_soon(LocalExecutor({"claude": speaking("claude")}, SystemClock()).run, spec, told.append)
        await until_written(spec, b"here")
        group.cancel_scope.cancel()

    assert [one.usage.cost_usd for one in told if one.usage is not None] == [0.5]
    assert nothing_is_left(spec)


async def test_a_program_that_does_not_answer_an_interrupt_is_ended_all_the_same(tmp_path: Path) -> None:
    deaf = [{"run": "trap '' INT TERM; echo here > here; sleep 300"}]
    spec = attempt(tmp_path, agent="opencode", prompt=json.dumps(deaf), timeout_s=1.5, grace_s=0.3)

    outcome = await LocalExecutor({"opencode": speaking("opencode")}, SystemClock()).run(spec, lambda _: None)

    assert outcome.ending is Ending.TIMEOUT
    assert nothing_is_left(spec)
