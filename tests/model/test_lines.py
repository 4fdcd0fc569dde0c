"""What people who watch are told of what agents warn of."""

from __future__ import annotations

from datetime import UTC, datetime

from muster.engine.hearing import heard
from muster.model.journal.events import AgentNoticed
from muster.ports import News
from muster.reports.lines import Narrator

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_warning_is_said_once_for_each_task_and_in_one_line() -> None:
    narrator = Narrator()
    waits = [AgentNoticed(task=task, attempt=1, text="waits: less than 512 MiB are free\nmore") for task in "abab"]

    lines = [narrator.line(event, NOW) for event in waits]

    assert lines == [f"  ~ {task}: waits: less than 512 MiB are free …" for task in "ab"] + ["", ""]


def test_only_what_went_wrong_is_a_warning() -> None:
    assert heard("a", 1, News(kind="notice", ok=False, text="rate limit"), "") == AgentNoticed("a", 1, "rate limit")
    assert heard("a", 1, News(kind="notice", text="compacted"), "") is None
    assert heard("a", 1, News(kind="notice", ok=False), "") is None
