"""What agents' programs tell of themselves when they are told where: it arrives, in the run's trace, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.model.attempts import Ending, Usage
from muster.model.journal.correlation import Correlation
from muster.telemetry.receiver import Receiver
from tests.live.model_script import JOB
from tests.live.model_server import ModelServer
from tests.live.model_wires import OUTPUT
from tests.live.programs import CLIS
from tests.live.stand import Stand

pytestmark = [pytest.mark.live_cli, pytest.mark.anyio, pytest.mark.timeout(240)]
# Program to the spans of a job that it makes: of an answer of its model, and of a tool.
SPANS = {"codex": ("handle_responses", "execute_tool exec_command"), "claude": ("claude_code.llm_request", "")}
SECRETS = ("a-secret-of-the-operator-0815", "hello from the scripted model", "do the scripted thing")


class Listening(Receiver):
    """Takes telemetry and remembers what programs said last of what they used."""

    usage = Usage()

    def dismiss(self, attempt: str) -> Usage:
        self.usage = used if (used := super().dismiss(attempt)) != Usage() else self.usage
        return used


@pytest.fixture
def receiver() -> Iterator[Listening]:
    receiver = Listening({})
    receiver.start()
    yield receiver
    receiver.close()


@pytest.mark.parametrize("name", SPANS)
async def test_its_spans_arrive_in_the_runs_trace_and_tell_what_its_stream_tells(
    name: str, model: ModelServer, receiver: Listening, tmp_path: Path
) -> None:
    stand = Stand(CLIS[name], model, tmp_path, receiver=receiver)
    attempt = Correlation(run=stand.run, task="T1", attempt=1)
    answer, tool = SPANS[name]

    outcome = await stand.play("do the scripted thing [[s:job]]")

    assert outcome.ok, outcome
    spans = receiver.take_spans()
    count = Counter(span.name for span in spans)
    assert count[answer] >= len(JOB)
    assert not tool or count[tool] == 4
    assert {span.trace for span in spans} == {attempt.trace}
    assert attempt.span in {span.parent for span in spans}
    assert not any(secret in repr(spans) for secret in SECRETS)
    told, known = receiver.usage, outcome.usage
    assert (told.input, told.cache_read, told.output) == (known.input, known.cache_read, known.output)


async def test_what_a_codex_that_ran_out_of_time_used_is_known_though_it_says_so_at_its_end_only(
    model: ModelServer, receiver: Listening, tmp_path: Path
) -> None:
    stand = Stand(CLIS["codex"], model, tmp_path, receiver=receiver)

    # Its spans are sent every 5 s.
    outcome = await stand.play("do the scripted thing [[s:job]] [[fault:stall@2]]", timeout_s=15)

    assert (outcome.ending, outcome.usage.output) == (Ending.TIMEOUT, 2 * OUTPUT)


async def test_a_codex_that_goes_on_in_its_session_is_traced_too(
    model: ModelServer, receiver: Listening, tmp_path: Path
) -> None:
    stand = Stand(CLIS["codex"], model, tmp_path, receiver=receiver)
    first = await stand.play("do the scripted thing [[s:text]]")
    receiver.take_spans()

    second = await stand.play("go on [[s:text]]", 2, session=first.session)

    assert second.ok, second
    assert "handle_responses" in {span.name for span in receiver.take_spans()}
