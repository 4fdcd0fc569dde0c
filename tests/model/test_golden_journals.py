"""Journals of every release are read for ever, byte for byte."""

import importlib.util
from pathlib import Path

import msgspec
import pytest

from muster.model.gates import Stage
from muster.model.journal.entries import Entry, decode_event, encode_event, event_types, first_broken
from muster.model.running.evolve import fold
from muster.model.running.state import TaskStatus
from muster.reports.views import run_view
from scripts.events_schema import breaks, events_schema

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"
JOURNALS = sorted(GOLDEN.glob("journal-*.jsonl"))
# The hash of the last entry that was frozen; whoever adds entries adds a line and leaves the others.
FROZEN = {("journal-v1.jsonl", 63): "0af1ea2f0f8a252d93ee9913f8cde746cedaaf5d45b388f3fe6487e2c00386d9"}


def lines_of(journal: Path) -> list[bytes]:
    return journal.read_bytes().splitlines()


def entries_of(journal: Path) -> list[Entry]:
    return [msgspec.json.decode(line, type=Entry) for line in lines_of(journal)]


@pytest.fixture(params=JOURNALS, ids=lambda path: path.name)
def journal(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_golden_journal_is_the_one_that_was_frozen() -> None:
    found = {(name, seq): entries_of(GOLDEN / name)[seq - 1].hash for name, seq in FROZEN}

    assert found == FROZEN


def test_the_chain_of_a_golden_journal_holds(journal: Path) -> None:
    assert first_broken(entries_of(journal)) is None


def test_the_entries_of_a_golden_journal_are_written_as_they_were_read(journal: Path) -> None:
    assert [msgspec.json.encode(entry) for entry in entries_of(journal)] == lines_of(journal)


def test_the_events_of_a_golden_journal_lose_nothing_when_they_are_read(journal: Path) -> None:
    for entry in entries_of(journal):
        if b"of a later release" not in bytes(entry.data):
            assert encode_event(decode_event(entry.type, entry.data)) == bytes(entry.data), entry.type


def test_a_golden_journal_folds_to_the_end_of_its_run(journal: Path) -> None:
    entries = entries_of(journal)

    state = fold(entries[0].run, entries)

    assert (state.state, state.stage, state.undone) == ("complete", Stage.MAIN_MERGED, True)
    assert {name: task.status for name, task in state.tasks.items()} == {
        "T0": TaskStatus.DONE,
        "T1": TaskStatus.DONE,
        "T2": TaskStatus.CANCELLED,
        "T3": TaskStatus.SKIPPED,
    }
    assert run_view(state, live=False)["unknown_entries"] == 1


def test_every_known_type_of_event_is_in_a_golden_journal() -> None:
    told = {entry.type for journal in JOURNALS for entry in entries_of(journal)}

    assert event_types().keys() <= told, "add it to the end of STORY in tests/golden/make_v1.py and run that"


def test_the_story_of_a_golden_journal_tells_of_every_field() -> None:
    spec = importlib.util.spec_from_file_location("make_v1", GOLDEN / "make_v1.py")
    assert spec
    assert spec.loader
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)

    assert sorted(make.unseen()) == []


def test_what_the_last_release_wrote_can_be_read() -> None:
    # A release copies docs/reference/events.schema.json there.
    released = msgspec.json.decode((GOLDEN / "events.schema.last.json").read_bytes())

    assert breaks(released, events_schema()) == ()


def test_taking_something_from_a_published_schema_is_refused() -> None:
    published, current = events_schema(), events_schema()
    parts = current["$defs"]
    del parts["TaskSucceeded"]
    del parts["TaskMerged"]["properties"]["onto"]
    parts["TaskSkipped"]["required"].append("mood")
    parts["TaskFailed"]["properties"]["task"] = {"type": "integer"}
    parts["Cause"]["enum"].remove("exit")
    parts["AgentUsed"]["properties"]["cost_usd"] = {"type": "number", "default": None}
    parts["TaskAudited"]["properties"]["changed"]["default"] = True
    current["allOf"] = [rule for rule in current["allOf"] if "run.cancel" not in str(rule)]

    assert set(breaks(published, current)) == {
        "run.cancel is gone",
        "TaskSucceeded is gone",
        "TaskMerged.onto is gone",
        "TaskSkipped: mood is newly required",
        "TaskFailed.task changed",
        "Cause: 'exit' is gone",
        "AgentUsed.cost_usd changed",
        "TaskAudited.changed changed",
    }


def test_adding_something_to_a_published_schema_is_allowed() -> None:
    published, current = events_schema(), events_schema()
    parts = current["$defs"]
    parts["MoonLanded"] = {"type": "object", "properties": {"crew": {"type": "string"}}, "required": ["crew"]}
    current["allOf"].append(
        {
            "if": {"properties": {"type": {"const": "moon.landed"}}},
            "then": {"properties": {"data": {"$ref": "#/$defs/MoonLanded"}}},
        }
    )
    parts["TaskSucceeded"]["properties"]["mood"] = {"type": "string", "default": ""}
    parts["Cause"]["enum"].append("bored")
    parts["TaskFailed"]["properties"]["task"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}

    assert breaks(published, current) == ()
