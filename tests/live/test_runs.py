"""Whole runs: `muster run` with real agents, from the plan to the merge, through failures, stops and kills."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.journeys.site import Ran, Site, task
from tests.live.conftest import PATIENCE_S
from tests.live.model_script import HELLO, JOB
from tests.live.model_server import ModelServer
from tests.live.programs import Cli

pytestmark = [pytest.mark.live_cli, pytest.mark.timeout(240)]
NO_REASONS = "ACP has no words for why a provider failed"
RUN = ("run", "--plan", "plan.md", "--gates", "open", "--json")


def asks(site: Site, cli: Cli, prompt: str, **manifest: Any) -> None:
    """Write a plan whose one task is for the agent."""
    site.plan(task("T1", "", agent=f"{cli.name}:{cli.model}", prompt=prompt, **manifest).replace('run: ""\n', ""))


def outcome(site: Site) -> Any:
    """What is kept of the one attempt's end."""
    (ended,) = site.of("task.attempt_ended")
    return ended["outcome"]


def done(ran: Ran) -> bool:
    return ran.code == 0 and ran.json["tasks"][0]["status"] == "done"


def test_a_job_is_merged_and_the_journal_says_what_it_took(site: Site, cli: Cli, model: ModelServer) -> None:
    asks(
        site,
        cli,
        "do the scripted thing [[s:job]]",
        expected_paths=["hello.txt", "shell.txt"],
        must_contain=[{"path": "README.md", "text": "new line"}],
        verify=["grep -q shell-ran shell.txt"],
    )

    ran = site.muster(*RUN)

    assert done(ran), ran
    assert site.tree() == ["README.md", "hello.txt", "shell.txt"]
    assert site.git("show", "main:hello.txt") == HELLO.strip()
    usage = outcome(site)["usage"]
    told = tuple(usage.get(name, 0) for name in ("input", "cache_read", "output"))
    assert told in [cli.used(number) for number in (len(JOB), len(model.asked))]
    assert cli.reported in usage.get("model", "")
    assert outcome(site)["session"]
    assert site.of("agent.used")[-1]["output"] == usage["output"]
    assert len(site.of("agent.tool_called")) == 4
    # It worked in the task's own worktree and nowhere else.
    (workdir,) = {one.workdir for one in model.of("job")}
    assert "/.muster/worktrees/" in workdir


def test_the_model_that_a_task_names_is_written_down(site: Site, cli: Cli) -> None:
    asks(site, cli, "do the scripted thing [[s:text]]", changes="any")

    assert done(site.muster(*RUN))

    assert site.of("task.attempt_started")[0]["model"] == cli.model


def test_what_an_agent_says_without_having_done_it_is_not_merged(site: Site, cli: Cli) -> None:
    asks(site, cli, "do the scripted thing [[s:lie]]", expected_paths=["hello.txt"])

    ran = site.muster(*RUN)

    assert not done(ran)
    assert outcome(site)["ending"] == "ok"
    assert site.tree() == ["README.md"]


def test_an_attempt_that_is_sent_back_goes_on_in_its_session_and_pays_for_what_is_new(
    site: Site, cli: Cli, model: ModelServer
) -> None:
    asks(site, cli, "do the scripted thing [[s:lie]]", expected_paths=["hello.txt"], attempts=2)

    ran = site.muster(*RUN)

    assert not done(ran)
    started, ended = site.of("task.attempt_started"), site.of("task.attempt_ended")
    sessions = [one["outcome"]["session"] for one in ended]
    assert [one.get("session", "") for one in started] == ["", sessions[0]]
    went_on = sessions[0] == sessions[1]
    assert went_on or not cli.resumes
    told = [tuple(one["outcome"]["usage"].get(name, 0) for name in ("input", "cache_read", "output")) for one in ended]
    assert told[1] in (cli.used(1), cli.used(len(model.asked) - 1))
    assert "go on where the attempt before stopped" in json.dumps(model.of("lie")[-1].body)
    assert json.dumps(model.of("lie")[-1].body).count("[[s:lie]]") == 1 + went_on


def test_words_reach_an_agent_that_works(site: Site, cli: Cli, model: ModelServer) -> None:
    if not cli.resumes:
        pytest.skip("it does not find its session again")
    meeting = site.meeting()
    asks(site, cli, f"[[s:run]] [[run:{meeting.command}]]", changes="any")
    running = site.start(*RUN)
    meeting.reached()
    site.wait_for("agent.session_opened")

    told = site.muster("send", "@last/T1", "Leave it. [[s:text]]")
    ran = running.end()

    assert told.code == 0, told
    assert done(ran), ran
    assert len(site.of("task.attempt_started")) == 2
    assert "Leave it." in json.dumps(model.of("text")[-1].body)


@pytest.mark.parametrize(("fault", "cause"), [("401", "auth"), ("404", "invalid_model")])
def test_what_no_retry_can_mend_is_not_tried_again(site: Site, cli: Cli, fault: str, cause: str) -> None:
    if cli.dialect == "acp":
        pytest.skip(NO_REASONS)
    asks(site, cli, f"do the scripted thing [[s:job]] [[fault:{fault}]]", attempts=3)

    ran = site.muster(*RUN)

    assert not done(ran)
    assert outcome(site)["ending"] == "error"
    assert outcome(site)["failure"]["cause"] == cause
    assert site.tree() == ["README.md"]


def test_a_provider_that_comes_back_is_tried_again_and_the_job_is_merged(
    site: Site, cli: Cli, model: ModelServer
) -> None:
    if cli.dialect == "acp":
        pytest.skip(NO_REASONS)
    asks(site, cli, "do the scripted thing [[s:job]] [[fault:429]]", attempts=2)

    running = site.start(*RUN)
    assert model.was_asked.wait(PATIENCE_S)
    site.wait_for("task.attempt_ended")
    model.heal()
    ran = running.end()

    assert done(ran), ran
    first, second = site.of("task.attempt_ended")
    assert first["outcome"]["failure"]["cause"] == "rate_limit"
    assert second["outcome"]["ending"] == "ok"
    assert site.tree() == ["README.md", "hello.txt", "shell.txt"]


def test_a_run_that_is_stopped_in_a_tool_leaves_no_process(site: Site, cli: Cli) -> None:
    meeting = site.meeting()
    asks(site, cli, f"[[s:run]] [[run:echo half > half.txt; {meeting.command}]]")
    running = site.start(*RUN)
    meeting.reached()

    stopped = site.muster("stop", "--json")

    assert (stopped.code, stopped.json["result"]) == (0, "cancelled")
    assert running.end().code == 7
    assert site.left() == {}
    (saved,) = site.muster("salvage", "ls", "--json").json["salvage"]
    assert site.git("show", f"{saved['ref']}:half.txt") == "half"


@pytest.mark.parametrize("outlives", [True, False], ids=["still-working", "finished-alone"])
def test_an_agent_that_outlived_a_killed_orchestrator_is_taken_over(
    site: Site, cli: Cli, model: ModelServer, outlives: bool
) -> None:
    meeting = site.meeting()
    asks(site, cli, f"[[s:run]] [[run:{meeting.command}; echo whole > whole.txt]]", attempts=1)
    running = site.start(*RUN)
    meeting.reached()
    running.kill()

    if not outlives:
        meeting.leave()
        wait_until_gone(site)
    continued = site.start("continue", "--yes", "--json")
    if outlives:
        site.wait_for("run.resumed")
        meeting.leave()
    ran = continued.end()

    assert done(ran), ran
    assert len(site.of("task.attempt_started")) == 1
    assert site.git("show", "main:whole.txt") == "whole"
    assert outcome(site)["usage"]["output"] in [cli.used(number)[2] for number in (2, len(model.asked))]


def wait_until_gone(site: Site) -> None:
    """Wait until nothing of the killed run lives any more."""
    deadline = time.monotonic() + 60
    while site.left():
        assert time.monotonic() < deadline, site.left()
        time.sleep(0.1)
