"""Agents in whole runs: the scripted program speaks the dialect of a real one, so no account is needed."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.contracts.speaking import DIALECTS, PROGRAM
from tests.journeys.site import Site, task

RUN = ("run", "--plan", "plan.md", "--gates", "open", "--json")
USED = {"usage": {"input": 100, "output": 10, "cost_usd": 0.5}}


def bind(site: Site, dialect: str, **more: Any) -> None:
    """Give the operator an agent `talker` that speaks this dialect, and a place for its sessions."""
    sessions = site.root / "sessions"
    sessions.mkdir()
    site.env["SCRIPTED_SESSIONS"] = str(sessions)
    settings = {
        "dialect": dialect,
        "command": [*PROGRAM, dialect],
        "env_allow": ["SCRIPTED_SESSIONS"],
        "models": {"opus": "scripted/m"},
        **more,
    }
    config = site.home / ".config" / "muster" / "config.toml"
    config.parent.mkdir(parents=True)
    lines = [f"{key} = {_toml(value)}" for key, value in settings.items()]
    config.write_text("\n".join(["[agents.talker]", *lines, ""]))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {json.dumps(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def asks(site: Site, script: Any, *, agent: str = "talker", **manifest: Any) -> None:
    """Write a plan whose one task is this script."""
    prompt = script if isinstance(script, str) else json.dumps(script)
    text = task("T1", "", agent=agent, prompt=prompt, **manifest)
    site.plan(text.replace('run: ""\n', ""))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_attempt_that_is_sent_back_goes_on_in_its_session_and_folder_and_pays_once(site: Site, dialect: str) -> None:
    bind(site, dialect)
    first = [{"write": {"path": "one.txt", "text": "1"}}, USED, {"say": "done"}]
    second = [{"write": {"path": "two.txt", "text": "2"}}, USED, {"say": "now it is"}]
    asks(site, {"attempts": {1: first, 2: second}}, attempts=2, verify=["test -f one.txt", "test -f two.txt"])

    ran = site.muster(*RUN)

    assert ran.code == 0, ran
    assert site.tree() == ["a.txt", "b.txt", "one.txt", "two.txt"]
    started, ended = site.of("task.attempt_started"), site.of("task.attempt_ended")
    assert [one.get("session", "") for one in started] == ["", ended[0]["outcome"]["session"]]
    assert ended[1]["outcome"]["session"] == ended[0]["outcome"]["session"]
    assert [one["outcome"]["usage"]["input"] for one in ended] == [100, 100]
    assert [one["outcome"]["usage"]["output"] for one in ended] == [10, 10]
    if dialect not in ("codex", "gemini"):
        assert [one["outcome"]["usage"]["cost_usd"] for one in ended] == [0.5, 0.5]
    assert site.of("work.salvaged") == []


def test_a_session_that_is_gone_costs_no_attempt_and_the_next_begins_in_a_clean_folder(site: Site) -> None:
    bind(site, "claude", env_allow=[])
    first = [{"write": {"path": "one.txt", "text": "1"}}]
    third = [{"run": "test ! -e one.txt"}, {"write": {"path": "two.txt", "text": "2"}}]
    asks(site, {"attempts": {1: first, 3: third}}, attempts=2, expected_paths=["two.txt"])

    ran = site.muster(*RUN)

    assert ran.code == 0, ran
    assert site.tree() == ["a.txt", "b.txt", "two.txt"]
    causes = [one["outcome"].get("failure", {}).get("cause") for one in site.of("task.attempt_ended")]
    assert causes == [None, "session-lost", None]
    assert [bool(one.get("session")) for one in site.of("task.attempt_started")] == [False, True, False]


def test_an_agent_that_was_killed_with_its_orchestrator_goes_on_in_its_session(site: Site) -> None:
    bind(site, "codex")
    meeting = site.meeting()
    first = [{"write": {"path": "one.txt", "text": "1"}}, {"run": meeting.command}]
    asks(site, {"attempts": {1: first, 2: [{"append": {"path": "one.txt", "text": "2"}}]}}, attempts=1)
    running = site.start(*RUN)
    meeting.reached()
    site.wait_for("agent.session_opened")
    running.kill()
    for pid in site.left():
        os.kill(pid, signal.SIGKILL)

    ran = site.muster("continue", "--yes", "--json")

    assert ran.code == 0, ran
    assert site.git("show", "main:one.txt") == "12"
    assert site.of("task.attempt_started")[1]["session"] == site.of("agent.session_opened")[0]["session"]


def test_an_agent_that_works_is_told_something_and_goes_on_with_it_in_its_session(site: Site) -> None:
    bind(site, "claude")
    meeting = site.meeting()
    first = [{"write": {"path": "one.txt", "text": "1"}}, {"run": meeting.command}]
    asks(site, {"attempts": {1: first, 2: [{"write": {"path": "two.txt", "text": "2"}}]}}, attempts=1)
    running = site.start(*RUN)
    meeting.reached()
    site.wait_for("agent.session_opened")

    told = site.muster("send", "@last/T1", "Write two.txt, too.")
    ran = running.end()

    assert (told.code, told.out) == (0, "T1 goes on with your words.\n")
    assert ran.code == 0, ran
    assert site.tree() == ["a.txt", "b.txt", "one.txt", "two.txt"]
    first, second = site.of("task.attempt_started")
    assert second["session"] == site.of("agent.session_opened")[0]["session"]
    prompts = [path.read_text() for path in sorted(site.top.glob(".muster/state/runs/*/T1*/stdin.log"))]
    assert ["Write two.txt, too." in prompt for prompt in prompts] == [False, True]


def test_nobody_is_told_anything_who_could_not_hear_it(site: Site) -> None:
    meeting = site.meeting()
    asks(site, [{"run": meeting.command}], agent="scripted", changes="any")
    running = site.start(*RUN)
    meeting.reached()

    refused, unknown = site.muster("send", "@last/T1", "stop"), site.muster("send", "@last/T9", "stop")
    meeting.leave()
    assert running.end().code == 0

    assert refused.code == 4
    assert "'scripted' cannot be told anything while it works" in refused.err
    assert "tasks: T1" in unknown.err
    assert "nobody works on T1 now" in site.muster("send", "@last/T1", "more").err


def test_what_an_agent_asked_leave_for_and_what_it_was_told_is_in_the_journal(site: Site) -> None:
    program = site.root / "program"
    denied = {"type": "result", "subtype": "success", "is_error": False, "permission_denials": [{"tool_name": "Bash"}]}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(denied)}'\n")
    program.chmod(0o755)
    bind(site, "claude", command=[str(program)])
    asks(site, [], changes="any")

    assert site.muster(*RUN).code == 0

    assert [(one["tool"], one["decision"]) for one in site.of("agent.permission_asked")] == [("Bash", "deny")]


def written(site: Site) -> dict[str, bytes]:
    """Every byte below the repository, git's own objects unpacked."""
    found = {str(path): path.read_bytes() for path in site.top.rglob("*") if path.is_file() and not path.is_symlink()}
    objects = site.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines()
    commits = [line.split()[0] for line in objects if line.endswith("commit")]
    return found | {one: site.git("cat-file", "-p", one).encode() for one in commits}


def disguised(script: Any, *secrets: str) -> str:
    """The script, in which JSON's escapes keep the secrets from standing as they are: a plan may be written down."""
    text = json.dumps(script)
    for secret in secrets:
        text = text.replace(secret, f"\\u{ord(secret[0]):04x}{secret[1:]}")
    return text


@pytest.mark.parametrize("dialect", [*DIALECTS, "scripted"])
def test_only_allowed_variables_reach_an_agent_and_no_secret_is_written_anywhere(site: Site, dialect: str) -> None:
    bind(site, dialect, env_allow=["SCRIPTED_SESSIONS", "GIVEN_TOKEN"])
    hidden, given, told = "hidden-canary-9f27ac41", "given-canary-5d0b77e2", "ghp_" + "c4n4ry" * 6
    site.env |= {"HIDDEN_TOKEN": hidden, "GIVEN_TOKEN": given, "STRANGE_SETTING": "x", "OPENAI_API_KEY_2": hidden}
    seen = site.root / "seen"
    script = [
        {"run": f"env > {seen}; echo it is {told} {hidden} {given}; echo {told} >&2"},
        {"say": f"the key is {told} and {given} and {hidden}"},
        {"think": f"{told} {given} {hidden}"},
        {"write": {"path": "work.txt", "text": "work"}},
        {"run": f"echo it failed with {told} {given} {hidden} && false"},
    ]
    asks(site, disguised(script, hidden, given, told), agent="scripted" if dialect == "scripted" else "talker")

    ran = site.muster(*RUN)

    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert ran.code != 0, ran
    assert ("GIVEN_TOKEN" in names) == (dialect != "scripted")
    assert not names & {"HIDDEN_TOKEN", "STRANGE_SETTING", "OPENAI_API_KEY_2"}
    assert site.of("agent.said")
    shown = {name: site.muster(*name.split()).out.encode() for name in ("events --jsonl", "report", "log @last/T1")}
    for secret in (hidden, given, told):
        found = {**written(site), **shown, "output": (ran.out + ran.err).encode()}
        assert [name for name, data in found.items() if secret.encode() in data] == []
