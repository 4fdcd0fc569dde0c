"""Silence: when it is only told, and when it is not even that."""

from __future__ import annotations

import sys

import pytest

from tests.campaign.support import FAULTY, OPEN, announced, statuses
from tests.journeys.site import Site, adds, task

# Faster than this a busy machine does not get around to every tick.
RATE = 120


def busy(seconds: float) -> str:
    """A command that says nothing and computes for so many real seconds."""
    return f"{sys.executable} -c 'import time; e = time.time() + {seconds}\nwhile time.time() < e: sum(range(9999))'"


@pytest.mark.campaign
def test_mode_13_a_silent_turn_of_twenty_minutes_is_quiet_and_not_dead(site: Site) -> None:
    """A task says nothing for twenty minutes of the clock, while its processes are at work.

    Work: it is waited for and merged; people are told that it is quiet.
    Processes: none is ended for its silence alone.
    Money: the one attempt is all that is paid for.
    """
    site.plan(task("slow", f"{busy(10.5)}; echo x > slow.txt", timeout="2h"))

    ran = site.start(f"fast@1:{RATE}", *OPEN, program=FAULTY).end()

    assert ran.code == 0, ran
    assert statuses(site) == {"slow": "done"}
    assert announced(site) == ["slow:1"]
    assert {one["after"] for one in site.of("heartbeat.level_changed")} <= {"warn", "healthy"}
    assert site.of("deadletter.added") == []


def test_mode_14_a_run_that_has_ended_never_raises_an_alert_again(site: Site) -> None:
    """A run with a dead letter has ended; minutes of the clock later another run of the project is at work.

    Work: the ended run stays as it was, entry for entry.
    Processes: it has none.
    Money: it costs nothing.
    """
    site.plan(task("doomed", "exit 1", on_failure="continue"))
    assert site.muster(*OPEN).code == 1
    (ended,) = [one["run"] for one in site.muster("ls", "--json").json["runs"]]
    before = site.events(ended)
    told = site.top / ".muster/state/notifications.jsonl"
    lines = told.read_text().count("\n") if told.exists() else 0

    site.plan(task("slow", f"{busy(1.5)}; echo x > slow.txt", timeout="9h"), adds("quick"))
    assert site.start(f"fast@1:{RATE}", *OPEN, program=FAULTY).end().code == 0

    assert site.events(ended) == before
    later = told.read_text().splitlines()[lines:] if told.exists() else []
    assert [line for line in later if ended in line] == []
