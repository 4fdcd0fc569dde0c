"""What may leave this machine: what is on a list, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.journal.entries import event_types
from muster.model.journal.events import PlanAccepted, UnknownEvent
from muster.model.redaction import Redactor, names_a_secret
from muster.model.views.disclosure import FIELDS, LABELS, disclosed, disclosed_event
from tests.integration.metrics_examples import counter, histogram, snapshot

# Fields that hold what people or agents wrote, or say where things are on the machine.
PRIVATE = {"text", "why", "reason", "question", "detail", "hint", "message", "failure", "paths", "receipts", "problems"}
PRIVATE |= {"commit", "base", "tree", "target", "onto", "ref", "kept", "salvage", "source_path", "title", "values"}


def test_every_type_of_event_has_its_line_in_the_list() -> None:
    assert set(FIELDS) == set(event_types())


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_only_fields_that_exist_and_hold_no_words_of_people_are_on_the_list(name: str) -> None:
    fields = {field.name for field in msgspec.structs.fields(event_types()[name])}

    assert FIELDS[name] <= fields
    # The reason of a skipped reaction is one of a closed set.
    assert FIELDS[name] & PRIVATE <= ({"reason"} if name == "reaction.skip" else set())


def test_an_event_of_an_unknown_type_says_nothing() -> None:
    assert disclosed_event(UnknownEvent(type="future.thing", data={"text": "x"}), Redactor()) == {}


def test_no_label_on_the_list_names_a_secret() -> None:
    assert [name for name in LABELS if names_a_secret(name)] == []


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=8), max_size=5))
def test_of_any_labels_only_values_of_listed_names_are_told(labels: dict[str, str]) -> None:
    told = disclosed(snapshot(counter("crew.a.b", (tuple(labels.items()), 1))), Redactor())

    [point] = told.families[0].points
    assert [name for name, _ in point.labels] == list(labels)
    assert all(value == "***" for name, value in point.labels if name not in LABELS)


def test_histograms_that_are_no_longer_told_apart_become_one() -> None:
    one, two = histogram(labels=(("path", "/a"),)), histogram(labels=(("path", "/b"),))
    both = msgspec.structs.replace(one, histograms=one.histograms + two.histograms)

    [point] = disclosed(snapshot(both), Redactor()).families[0].histograms

    assert (point.labels, point.count, point.counts) == ((("path", "***"),), 8, (4, 2, 0, 2))


def test_the_accepted_plan_tells_its_name_and_not_where_it_came_from() -> None:
    assert FIELDS[PlanAccepted.type] == {"slug", "profile"}
