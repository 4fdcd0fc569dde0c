"""The agents' programs under Muster's own executor: what they did and used, and how it was judged."""

from __future__ import annotations

import json

import anyio
import pytest

from muster.model.attempts import Cause, Ending, Usage
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from tests.live.model_script import HELLO, JOB, READY
from tests.live.model_wires import OUTPUT, REASONING
from tests.live.programs import KEY
from tests.live.stand import README, Stand

pytestmark = [pytest.mark.live_cli, pytest.mark.anyio, pytest.mark.timeout(240)]


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
    answers = (len(JOB), len(stand.model.asked))
    assert counted(outcome.usage) in [stand.cli.used(number) for number in answers]
    assert outcome.usage.reasoning in [0, REASONING, *(REASONING * number for number in answers)]
    assert stand.cli.reported in outcome.usage.model
    assert (outcome.usage.cost_source == "reported") == stand.cli.reports_cost
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

    outcome = await stand.play(f"do the scripted thing [[s:job]] [[fault:{fault}]]", timeout_s=stand.cli.patience_s)

    assert any(one.fault == fault for one in stand.model.asked)
    assert outcome.failure is not None, outcome
    assert 0 < len(outcome.failure.message) <= 600
    if stand.cli.dialect == "acp":
        # The protocol has no words for why a provider failed, and the retries of a program are not ours to lower.
        assert outcome.ending is not Ending.OK
        return
    assert outcome.ending in (Ending.ERROR, Ending.INCOMPLETE), outcome
    assert outcome.failure.cause in causes, outcome
    assert is_retryable(RetryPolicy(), outcome.failure) is retryable


@pytest.mark.parametrize("fault", ["500", "cut"])
async def test_a_job_that_breaks_off_in_the_middle_is_not_ok_though_files_were_written(
    stand: Stand, fault: str
) -> None:
    outcome = await stand.play(f"do the scripted thing [[s:job]] [[fault:{fault}@2]]", timeout_s=stand.cli.patience_s)

    assert outcome.ending in (Ending.ERROR, Ending.INCOMPLETE), outcome
    assert (stand.repo / "hello.txt").exists()
    assert not (stand.repo / "shell.txt").exists()
    assert outcome.usage.output >= (OUTPUT if stand.cli.tells_usage_of_failures else 0)


async def test_one_failed_answer_is_got_over_without_a_new_attempt(stand: Stand) -> None:
    outcome = await stand.play("do the scripted thing [[s:job]] [[fault:500@1x1]]")

    assert outcome.ending is Ending.OK, outcome
    assert (stand.repo / "shell.txt").exists()


async def test_a_model_that_falls_silent_is_stopped_at_the_deadline(stand: Stand) -> None:
    outcome = await stand.play("do the scripted thing [[s:job]] [[fault:stall]]", timeout_s=25.0)

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
    assert counted(second.usage) in (stand.cli.used(1), stand.cli.used(len(stand.model.asked) - before))
    (asked,) = stand.model.of("text")
    went_on = second.session == first.session
    assert went_on or not stand.cli.resumes
    assert ("[[s:job]]" in json.dumps(asked.body)) == went_on
    if stand.cli.reports_cost:
        assert second.usage.cost_usd is not None
        assert first.usage.cost_usd is not None
        assert 0 < second.usage.cost_usd < first.usage.cost_usd


async def test_a_limit_of_money_is_the_attempts_own_though_its_session_spent_before(stand: Stand) -> None:
    if stand.cli.name != "claude":
        pytest.skip("only Claude Code takes a limit of money")
    first = await stand.play("do the scripted thing [[s:job]]")
    assert first.usage.cost_usd is not None

    prompt, limit_usd = "again [[s:job]]", first.usage.cost_usd / 2
    second = await stand.play(prompt, 2, session=first.session, spent=first.usage, max_cost_usd=limit_usd)

    assert second.failure is not None, second
    assert second.failure.cause is Cause.LIMIT_BUDGET
    assert second.usage.cost_usd is not None
    assert limit_usd <= second.usage.cost_usd < first.usage.cost_usd


async def test_no_variable_that_was_not_allowed_reaches_a_command_and_no_secret_is_written(stand: Stand) -> None:
    outcome = await stand.play("[[s:run]] [[run:env > env.txt; echo seen $ANTHROPIC_API_KEY $GEMINI_API_KEY]]")

    assert outcome.ending is Ending.OK, outcome
    seen = (stand.repo / "env.txt").read_text()
    assert f"MUSTER_ATTEMPT={stand.run}:T1:1\n" in seen
    assert "CANARY_TOKEN" not in seen
    assert KEY not in stand.transcript()
