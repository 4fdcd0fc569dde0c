"""A run's journal as spans: the run, its attempts and their tools."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import opentelemetry.semconv._incubating.attributes.gen_ai_attributes as official
import pytest

from muster.model.attempts import Cause, Ending, Failure, Outcome, Usage
from muster.model.journal import events as ev
from muster.model.journal.correlation import Correlation, correlation_of
from muster.model.journal.entries import Draft, Entry
from muster.model.redaction import Redactor
from muster.telemetry import genai
from muster.telemetry.spans import MOST_EVENTS, Kind, Span, spans_of
from muster.testing.memory_store import MemoryStore
from tests.contracts.store_support import NOW, RUN

GOLDEN = Path(__file__).parents[1] / "golden" / "journal-v1.jsonl"
CANARY = "hunter2-hunter2"
USED = Usage(input=10, cache_read=300, cache_write=50, output=7, reasoning=2, cost_usd=0.25, model="opus-5")


async def journal(*events: ev.Event) -> tuple[Entry, ...]:
    """Entries a second apart."""
    drafts = []
    for number, event in enumerate(events):
        belongs = correlation_of(Correlation(run=RUN), event)
        at = NOW + timedelta(seconds=number)
        drafts.append(Draft(event=event, at=at, trace=belongs.trace, span=belongs.span, parent=belongs.parent))
    return await MemoryStore().append(RUN, 0, drafts)


def started(task: str = "T1", attempt: int = 1) -> ev.AttemptStarted:
    return ev.AttemptStarted(task=task, attempt=attempt, base="b", agent="claude", model="opus")


def ended(outcome: Outcome, task: str = "T1", attempt: int = 1) -> ev.AttemptEnded:
    return ev.AttemptEnded(task=task, attempt=attempt, outcome=outcome)


def named(spans: tuple[Span, ...]) -> dict[str, Span]:
    return {span.name: span for span in spans}


@pytest.mark.anyio
async def test_a_run_holds_its_attempts_and_an_attempt_its_tools() -> None:
    entries = await journal(
        ev.RunStateChanged(state="start", run_id=RUN),
        started(),
        ev.AgentSaid(task="T1", attempt=1, text=f"my password={CANARY}"),
        ev.ToolCalled(task="T1", attempt=1, tool="Bash"),
        ev.ToolCalled(task="T1", attempt=1, tool="Edit", ok=False),
        ended(Outcome(ending=Ending.OK, usage=USED, session="s-1")),
        ev.RunStateChanged(state="complete", run_id=RUN, duration_ms=6000),
    )

    spans = named(spans_of(entries, Redactor([CANARY])))

    assert set(spans) == {"invoke_workflow", "invoke_agent claude", "execute_tool Bash", "execute_tool Edit"}
    run, agent, bash, edit = spans.values()
    root, attempt = Correlation(run=RUN), Correlation(run=RUN, task="T1", attempt=1)
    assert (run.span, run.parent, run.kind) == (root.span, "", Kind.INTERNAL)
    assert (agent.span, agent.parent, agent.kind) == (attempt.span, root.span, Kind.CLIENT)
    assert {bash.parent, edit.parent} == {attempt.span}
    assert len({span.span for span in spans.values()}) == 4
    assert {span.trace for span in spans.values()} == {root.trace}
    seconds = [((span.start - NOW).seconds, (span.end - NOW).seconds) for span in (run, agent, bash, edit)]
    assert seconds == [(0, 6), (1, 5), (2, 3), (3, 4)]
    assert [span.error for span in (run, agent, bash, edit)] == ["", "", "", "tool_error"]
    assert CANARY not in repr(spans)


@pytest.mark.anyio
async def test_an_attempt_says_what_it_used_in_the_words_of_the_conventions() -> None:
    spans = spans_of(await journal(started(), ended(Outcome(ending=Ending.OK, usage=USED, session="s-1"))), Redactor())

    told = named(spans)["invoke_agent claude"].attributes
    assert told["gen_ai.usage.input_tokens"] == 360, "tokens from and into the cache are input too"
    assert told["gen_ai.usage.cache_read.input_tokens"] == 300
    assert told["gen_ai.usage.cache_creation.input_tokens"] == 50
    assert told["gen_ai.usage.output_tokens"] == 7
    assert (told["gen_ai.request.model"], told["gen_ai.response.model"]) == ("opus", "opus-5")
    assert (told["gen_ai.agent.name"], told["gen_ai.provider.name"]) == ("claude", "anthropic")
    assert (told["gen_ai.operation.name"], told["gen_ai.conversation.id"]) == ("invoke_agent", "s-1")
    assert (told["muster.run"], told["muster.task"], told["muster.attempt"]) == (RUN, "T1", 1)


@pytest.mark.anyio
async def test_what_failed_says_its_class_and_what_is_open_ends_with_the_journal() -> None:
    failure = Failure(cause=Cause.RATE_LIMIT, message=f"slow down, {CANARY}")
    entries = await journal(
        started(),
        ended(Outcome(ending=Ending.ERROR, failure=failure)),
        started(attempt=2),
        ev.RunStateChanged(state="cancelled", run_id=RUN),
    )

    run, first, second = spans_of(entries, Redactor())

    assert (first.error, first.attributes["error.type"]) == ("rate_limit", "rate_limit")
    assert (second.error, second.end >= second.start, run.error) == ("", True, "cancelled")
    assert CANARY not in repr((run, first, second))


@pytest.mark.anyio
async def test_a_talkative_run_keeps_its_newest_events() -> None:
    entries = await journal(*(ev.TaskQueued(wave=number, tasks=()) for number in range(1, MOST_EVENTS + 11)))

    [run] = spans_of(entries, Redactor())

    assert [event.attributes["muster.wave"] for event in run.events] == list(range(11, MOST_EVENTS + 11))


def test_a_run_with_every_type_of_event_has_spans_that_fit_together() -> None:
    entries = [msgspec.json.decode(line, type=Entry) for line in GOLDEN.read_bytes().splitlines()]

    spans = spans_of(entries, Redactor())

    ids = {span.span for span in spans}
    assert len(ids) == len(spans) > 3
    assert [span.name for span in spans if not span.parent] == [spans[0].name]
    assert {span.parent for span in spans[1:]} <= ids
    assert all(span.start <= span.end for span in spans)
    assert spans_of(entries, Redactor()) == spans


def test_no_entries_are_no_spans() -> None:
    assert spans_of((), Redactor()) == ()


def test_our_names_are_those_of_the_official_conventions() -> None:
    known = {value for name, value in vars(official).items() if name.startswith("GEN_AI_")}
    operations = {member.value for member in official.GenAiOperationNameValues}

    ours = {value for value in vars(genai).values() if isinstance(value, str) and value.startswith("gen_ai.")}

    assert ours <= known
    assert {genai.INVOKE_WORKFLOW, genai.INVOKE_AGENT, genai.EXECUTE_TOOL} <= operations
