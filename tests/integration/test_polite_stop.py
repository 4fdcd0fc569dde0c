"""Stopping a program that can say what it used when it is interrupted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Ending
from muster.ports import News
from muster.process import Command, supervise
from tests.contracts.executor_contract import attempt, nothing_is_left, until, until_written
from tests.contracts.speaking import speaking

pytestmark = pytest.mark.anyio
SCRIPT = [{"usage": {"input": 100, "output": 10, "cost_usd": 0.5}}, {"say": "here"}, {"run": "sleep 300"}]
DEAF = """\
import signal
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, lambda *_: Path("asked").touch())
Path("here").touch()
while True:
    signal.pause()
"""


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


async def test_who_is_in_a_hurry_waits_for_no_polite_stop(tmp_path: Path) -> None:
    spec = attempt(tmp_path, grace_s=600)
    command = Command(
        argv=(sys.executable, "-c", DEAF),
        cwd=spec.workdir,
        env={"PATH": os.environ["PATH"]},
        marker=spec.id,
        stdout=tmp_path / "stdout",
        record=tmp_path / "process",
        polite=True,
    )
    grace_s = [600.0]

    async def hurry() -> None:
        await until(lambda: (spec.workdir / "asked").exists())
        grace_s[0] = 0.0

    async with anyio.create_task_group() as group:
        group.start_soon(hurry)
        await supervise(command, lambda _: until(lambda: (spec.workdir / "here").exists()), lambda: grace_s[0])

    assert nothing_is_left(spec)
