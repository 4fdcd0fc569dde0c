"""`muster agent test`: the conformance kit, on agents that need no account."""

from __future__ import annotations

from typing import Any

import pytest

from tests.journeys.site import Site
from tests.journeys.test_agents import bind


def examined(site: Site, name: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ran = site.muster("agent", "test", name, "--timeout", "20", "--json")
    return ran.code, {check["name"]: check for check in ran.json["checks"]}


def test_the_scripted_agent_keeps_all_but_what_it_cannot_do(site: Site) -> None:
    code, checks = examined(site, "scripted")

    assert code == 0, checks
    results = {name: check["result"] for name, check in checks.items()}
    # It has no session to go on with, and obeys its script whatever it may do.
    assert results.pop("resume") == "skipped"
    assert results.pop("permission") == "weak"
    assert set(results) == {"success", "usage", "failure", "polite stop", "kill", "orphans", "protocol"}
    assert set(results.values()) == {"ok"}
    assert "1 left-over" in checks["orphans"]["detail"]


def test_an_agent_with_sessions_is_examined_for_them(site: Site) -> None:
    bind(site, "claude")

    code, checks = examined(site, "talker")

    assert code == 0, checks
    assert checks["resume"]["result"] == "ok"
    assert "110 tokens more" in checks["resume"]["detail"]


@pytest.mark.parametrize(
    ("program", "result", "says"),
    [
        ("exit 3", "failed", "crash"),
        ('echo \'{"type": "result", "subtype": "success", "is_error": false}\'', "failed", "the file is not"),
    ],
)
def test_an_agent_that_fails_or_lies_is_found_out(site: Site, program: str, result: str, says: str) -> None:
    script = site.root / "program"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    bind(site, "claude", command=[str(script)])

    code, checks = examined(site, "talker")

    assert code == 1
    assert checks["success"]["result"] == result
    assert says in checks["success"]["detail"]


def test_what_is_not_there_is_named_with_the_command_that_mends_it(site: Site) -> None:
    unknown = site.muster("agent", "test", "nobody")
    site.env["PATH"] = "/usr/bin:/bin"
    missing = site.muster("agent", "test", "opencode")

    assert unknown.code != 0
    assert "There is no agent 'nobody'" in unknown.err
    assert missing.code == 8
    assert "npm install -g opencode-ai" in missing.err


def test_what_muster_adds_is_measured_beside_the_same_program_by_hand(site: Site) -> None:
    figures = site.muster("bench", "agent", "--tasks", "2", "--json").json

    assert (figures["tasks"], figures["failed"]) == (2, 0)
    assert figures["added_wall_ms"] == pytest.approx(figures["run_wall_ms"] - figures["hand_wall_ms"])
    assert min(figures[f"{where}_cpu_ms"] for where in ("hand", "fresh", "run")) > 0
