"""The agents' programs under Muster's own executor: what they did and used, and how it was judged."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest

from muster import plugins
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome, Usage
from muster.model.policy import RetryPolicy
from muster.model.retry import is_retryable
from muster.ports import AttemptSpec, Binding, News
from tests.live.model_script import HELLO, JOB, READY
from tests.live.model_server import ModelServer
from tests.live.model_wires import CACHED, INPUT, OUTPUT, REASONING
from tests.live.programs import KEY, Cli

pytestmark = [pytest.mark.live_cli, pytest.mark.anyio, pytest.mark.timeout(240)]
README = "# demo\nold line\nthird\n"


class Stand:
    """One program, bound as an operator would bind it, in a repository of its own."""

    def __init__(self, cli: Cli, model: ModelServer, root: Path) -> None:
        self.cli, self.model, self.root = cli, model, root
        self.repo = root / "repo"
        self.repo.mkdir()
        environ = {**cli.settle(root / "home", model.url), "CANARY_TOKEN": "a-secret-of-the-operator-0815"}
        subprocess.run(["git", "init", "-q", str(self.repo)], check=True, env=environ)
        (self.repo / "README.md").write_text(README)
        binding = Binding(name=cli.name, command=cli.command, env_allow=cli.env_allow)
        agent = plugins.find("muster.agents", cli.name)(binding)
        self.executor = LocalExecutor({cli.name: agent}, SystemClock(), environ=environ)
        self.news: list[News] = []

    def spec(self, prompt: str, number: int = 1, **more: object) -> AttemptSpec:
        base = AttemptSpec(
            id=f"{self.root.name}:T1:{number}",
            run=self.root.name,
            task="T1",
            number=number,
            agent=self.cli.name,
            workdir=self.repo,
            folder=self.root / "runs" / str(number),
            prompt=prompt,
            model=self.cli.model,
            permission="full",
            timeout_s=200.0,
        )
        return msgspec.structs.replace(base, **more)

    async def play(self, prompt: str, number: int = 1, **more: object) -> Outcome:
        """Run one attempt to its end; no process of it may be left."""
        outcome = await self.executor.run(self.spec(prompt, number, **more), self.news.append)
        assert self.left() == []
        return outcome

    def left(self) -> list[str]:
        """The living processes that work in the repository."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and str(self.root) in (process.cwd() or ""):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found

    def told(self, kind: str) -> list[News]:
        return [one for one in self.news if one.kind == kind]

    def transcript(self, number: int = 1) -> str:
        return "".join(
            path.read_text(errors="replace") for path in (self.root / "runs" / str(number)).rglob("*") if path.is_file()
        )


@pytest.fixture
def stand(cli: Cli, model: ModelServer, tmp_path: Path) -> Stand:
    return Stand(cli, model, tmp_path)


def used(answers: int) -> tuple[int, int, int]:
    """Input without cache, cached input and output of so many answers of the model."""
    return (INPUT - CACHED) * answers, CACHED * answers, OUTPUT * answers


def counted(usage: Usage) -> tuple[int, int, int]:
    return usage.input, usage.cache_read, usage.output


async def test_a_job_is_done_and_every_token_counted_once(stand: Stand) -> None:
    outcome = await stand.play("do the scripted thing [[s:job]]")

    assert (outcome.ending, outcome.failure, outcome.exit_code) == (Ending.OK, None, 0)
    assert (stand.repo / "hello.txt").read_text() == HELLO
    assert (stand.repo / "README.md").read_text() == README.replace("old", "new")
    assert (stand.repo / "shell.txt").read_text() == "shell-ran\n"
    assert [one.step for one in stand.model.of("job")] == list(range(len(JOB)))
    # What it asks on the side, such as a title, may be told or not.
    assert counted(outcome.usage) in (used(len(JOB)), used(len(stand.model.asked)))
    assert outcome.usage.reasoning in (0, REASONING * len(JOB))
    assert stand.cli.reported in outcome.usage.model
    assert (outcome.usage.cost_usd is not None) == stand.cli.reports_cost
    assert outcome.session
    assert len(stand.told("tool_started")) == len(stand.told("tool_ended")) == 4
    assert all(one.ok for one in stand.told("tool_ended"))
    assert READY in "\n".join(one.text for one in stand.told("text"))
    assert stand.model.unknown == []


FAULTS = {
    "401": ({Cause.AUTH}, False),
    "404": ({Cause.INVALID_MODEL}, False),
    "429": ({Cause.RATE_LIMIT}, True),
    "500": ({Cause.SERVER, Cause.OVERLOADED}, True),
    "cut": ({Cause.TRANSPORT, Cause.SERVER, Cause.INCOMPLETE}, True),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_provider_that_fails_for_ever_is_never_ok_and_named(stand: Stand, fault: str) -> None:
    causes, retryable = FAULTS[fault]

    outcome = await stand.play(f"do the scripted thing [[s:job]] [[fault:{fault}]]", timeout_s=100.0)

    assert outcome.ending in (Ending.ERROR, Ending.INCOMPLETE), outcome
    assert outcome.failure is not None
    assert outcome.failure.cause in causes, outcome
    assert is_retryable(RetryPolicy(), outcome.failure) is retryable
    assert 0 < len(outcome.failure.message) <= 600
    assert any(one.fault == fault for one in stand.model.asked)


@pytest.mark.parametrize("fault", ["500", "cut"])
async def test_a_job_that_breaks_off_in_the_middle_is_not_ok_though_files_were_written(
    stand: Stand, fault: str
) -> None:
    outcome = await stand.play(f"do the scripted thing [[s:job]] [[fault:{fault}@2]]")

    assert outcome.ending in (Ending.ERROR, Ending.INCOMPLETE), outcome
    assert (stand.repo / "hello.txt").exists()
    assert not (stand.repo / "shell.txt").exists()
    assert outcome.usage.output >= (OUTPUT if stand.cli.tells_usage_of_failures else 0)


async def test_one_failed_answer_is_got_over_without_a_new_attempt(stand: Stand) -> None:
    outcome = await stand.play("do the scripted thing [[s:job]] [[fault:500@1x1]]")

    assert outcome.ending is Ending.OK, outcome
    assert (stand.repo / "shell.txt").exists()


async def test_a_model_that_falls_silent_is_stopped_at_the_deadline(stand: Stand) -> None:
    outcome = await stand.play("do the scripted thing [[s:job]] [[fault:stall]]", timeout_s=12.0)

    assert outcome.ending is Ending.TIMEOUT
    assert any(one.fault == "stall" for one in stand.model.asked)


async def test_a_cancelled_attempt_leaves_no_process_not_even_of_its_tools(stand: Stand) -> None:
    started = stand.repo / "started.txt"
    # Claude Code refuses to run a sleep.
    prompt = "[[s:run]] [[run:tail -f /dev/null & echo $$ > started.txt; tail -f /dev/null]]"
    async with anyio.create_task_group() as group:
        group.start_soon(stand.executor.run, stand.spec(prompt), stand.news.append)
        with anyio.fail_after(60):
            while not started.exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.05)
        assert any("tail -f" in one for one in stand.left())
        group.cancel_scope.cancel()

    assert stand.left() == []


async def test_a_session_is_gone_on_with_and_only_what_is_new_is_counted(stand: Stand) -> None:
    first = await stand.play("do the scripted thing [[s:job]]")
    before = len(stand.model.asked)

    second = await stand.play("go on [[s:text]]", 2, session=first.session, spent=first.usage)

    assert second.ending is Ending.OK, second
    assert second.session == first.session
    assert counted(second.usage) in (used(1), used(len(stand.model.asked) - before))
    (asked,) = stand.model.of("text")
    assert "[[s:job]]" in json.dumps(asked.body)
    if stand.cli.reports_cost:
        assert second.usage.cost_usd is not None
        assert first.usage.cost_usd is not None
        assert 0 < second.usage.cost_usd < first.usage.cost_usd


async def test_no_variable_that_was_not_allowed_reaches_a_command_and_no_secret_is_written(stand: Stand) -> None:
    outcome = await stand.play("[[s:run]] [[run:env > env.txt; echo seen $ANTHROPIC_API_KEY $GEMINI_API_KEY]]")

    assert outcome.ending is Ending.OK, outcome
    seen = (stand.repo / "env.txt").read_text()
    assert f"MUSTER_ATTEMPT={stand.root.name}:T1:1\n" in seen
    assert "CANARY_TOKEN" not in seen
    assert KEY not in stand.transcript()
