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


def test_the_doctor_lets_each_agent_do_something_when_asked_to(site: Site) -> None:
    bind(site, "claude")
    install(site, codex='case "$1" in login) exit 0;; --version) echo codex-cli 0.169.0;; *) exit 3;; esac')

    def told(*more: str) -> list[tuple[str, str, str]]:
        findings = site.muster("doctor", "--json", *more).json["findings"]
        return [(one["level"], one["message"], one.get("fix", "")) for one in findings if one["check"] == "live"]

    quiet, asked = told(), told("--live")

    assert quiet == []
    codex, talker = asked
    assert talker == ("ok", "talker did a short task: 110 tokens of scripted, $0.0000 reported", "")
    assert (codex[0], codex[2]) == ("warn", "muster agent test codex")
    assert "codex did not do a short task: success: crash" in codex[1]


def test_what_is_not_there_is_named_with_the_command_that_mends_it(site: Site) -> None:
    unknown = [
        site.muster("agent", "test", "nobody"),
        site.muster("bench", "agent", "nobody", "--prompt", "Go."),
    ]
    site.env["PATH"] = "/usr/bin:/bin"
    missing = site.muster("agent", "test", "opencode")

    for ran in unknown:
        assert ran.code == 2
        assert "There is no agent 'nobody'; known: " in ran.err
    assert missing.code == 8
    assert "npm install -g opencode-ai" in missing.err


def test_what_muster_adds_is_measured_beside_the_same_program_by_hand(site: Site) -> None:
    shown = site.muster("bench", "agent", "--tasks", "2")
    (figures,) = site.muster("bench", "agent", "--tasks", "2", "--prompt", "- sleep: 0.5", "--json").json["agent"]

    assert (figures["tasks"], figures["failed"]) == (2, 0)
    assert figures["added_wall_ms"] == pytest.approx(figures["run_wall_ms"] - figures["hand_wall_ms"])
    assert min(figures[f"{where}_cpu_ms"] for where in ("hand", "fresh", "run")) > 0
    assert 0 < figures["beside_wall_ms"] < figures["run_wall_ms"] - 500, "how long the program slept is not in it"
    assert "BESIDE WALL MS" in shown.out


def install(site: Site, **programs: str) -> None:
    """Have these programs, as scripts of a shell, and no other agent."""
    (site.root / "bin").mkdir()
    for name, script in programs.items():
        (site.root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (site.root / "bin" / name).chmod(0o755)
    site.env["PATH"] = f"{site.root}/bin:/usr/bin:/bin"


def agents_found(site: Site) -> dict[str, tuple[str, str, str]]:
    """What the doctor says about each agent: its level, its state and what mends it."""
    findings = site.muster("doctor", "--json").json["findings"]
    told = [one for one in findings if one["check"] == "agents"]
    return {one["message"].split()[0]: (one["level"], one["message"], one.get("fix", "")) for one in told}


def test_without_any_agent_a_person_is_told_what_works_and_what_to_install(site: Site) -> None:
    site.env["PATH"] = "/usr/bin:/bin"
    plan = site.root / "plan.md"
    plan.write_text("# P\n\n## A\n```yaml\nid: T1\nagent: claude\nprompt: Do it.\n```\n")

    found = agents_found(site)
    listed = site.muster("agent", "ls", "--json").json["agents"]
    ran = site.muster("run", "--plan", str(plan), "--gates", "open")

    ((level, message, fix),) = found.values()
    assert (level, fix) == ("warn", "npm install -g @anthropic-ai/claude-code")
    assert "Command tasks work without one" in message
    assert "claude, codex, gemini" in message
    assert {one["name"] for one in listed if one["found"]} == {"command", "scripted"}
    assert ran.code == 8
    assert "npm install -g @anthropic-ai/claude-code" in ran.err
    assert "agents.default" in ran.err
    assert site.muster("ls", "--json").json["runs"] == []


def test_each_agent_is_shown_with_its_version_its_login_and_what_mends_it(site: Site) -> None:
    programs = {
        "claude": 'case "$1" in auth) echo \'{"loggedIn": false}\';; *) echo "2.1.328 (Claude Code)";; esac',
        "codex": 'case "$1" in login) exit 0;; *) echo codex-cli 0.169.0;; esac',
        "gemini": "exit 3",
    }
    install(site, **programs)

    found = agents_found(site)
    listed = {one["name"]: one for one in site.muster("agent", "ls", "--json").json["agents"]}

    assert found["claude"][0] == "warn"
    assert "2.1.328" in found["claude"][1]
    assert "not logged in" in found["claude"][1]
    assert found["claude"][2] == "claude auth login"
    assert (found["codex"][0], found["codex"][2]) == ("ok", "")
    assert "0.169.0" in found["codex"][1]
    assert found["gemini"][0] == "warn"
    assert found["pi"][2] == "npm install -g @earendil-works/pi-coding-agent"
    assert (listed["claude"]["version"], listed["claude"]["auth"]) == ("2.1.328", "missing")
    assert listed["codex"]["auth"] == "ok"
    assert {"resume", "preassigned session", "interrupt", "cost"} == set(listed["claude"]["capabilities"])
    assert listed["pi"]["found"] is False
