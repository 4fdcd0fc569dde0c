"""Claude Code as a program: how it is found and started, and what reaches it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muster.agents.claude import ClaudeAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Usage
from muster.model.errors import InputError
from muster.ports import Binding, News
from tests.contracts.agent_contract import spec_for
from tests.contracts.captured import DATA, tokens
from tests.contracts.executor_contract import attempt


def test_a_launch_says_all_that_was_asked_for() -> None:
    launch = ClaudeAgent().launch(spec_for(model="opus", effort="high", max_cost_usd=1.5))
    again = ClaudeAgent().launch(spec_for(id="run:T1:2"))
    resumed = ClaudeAgent().launch(spec_for(session="abc", max_cost_usd=1.0, spent=Usage(cost_usd=0.25)))

    argv = " ".join(launch.argv)
    assert argv.startswith("claude -p --output-format stream-json --verbose --permission-mode acceptEdits --model opus")
    assert f"--effort high --max-budget-usd 1.5 --session-id {launch.session}" in argv
    assert launch.session != again.session
    assert launch.env["CLAUDE_CODE_MAX_RETRIES"] == "2"
    assert "ANTHROPIC_API_KEY" in launch.env_allow
    assert not {"HOME", "CLAUDE_CONFIG_DIR"} & set(launch.env)
    assert resumed.session == "abc"
    assert "--resume abc" in " ".join(resumed.argv)
    assert "--max-budget-usd 1 " in " ".join(resumed.argv)
    assert "--session-id" not in resumed.argv


def test_an_operator_binds_another_program_and_names() -> None:
    bound = ClaudeAgent(Binding(name="mine", command=("npx", "claude"), env_allow=("MY_KEY",), models={"opus": "o-9"}))

    launch = bound.launch(spec_for(model="opus"))

    assert bound.name == "mine"
    assert launch.argv[:3] == ("npx", "claude", "-p")
    assert "o-9" in launch.argv
    assert "MY_KEY" in launch.env_allow


@pytest.mark.parametrize(
    ("permission", "flags"),
    [("read", "--permission-mode plan"), ("edit", "acceptEdits"), ("full", "--dangerously-skip-permissions")],
)
def test_a_permission_becomes_flags(permission: str, flags: str) -> None:
    argv = " ".join(ClaudeAgent().launch(spec_for(permission=permission)).argv)

    assert flags in argv
    assert ("dangerously" in argv) == (permission == "full")


@pytest.mark.parametrize(
    "asked",
    [{"permission": "all"}, {"model": "--dangerously-skip-permissions"}, {"effort": "-x"}, {"session": "--print"}],
)
def test_what_cannot_be_kept_or_could_be_an_option_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(InputError):
        ClaudeAgent().launch(spec_for(**asked))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "auth"),
    [
        ("echo '{\"loggedIn\": true}'", "ok"),
        ("echo '{\"loggedIn\": false}'; exit 1", "missing"),
        ("echo '{\"loggedIn\": [1]}'", "unknown"),
        ("echo unknown command; exit 1", "unknown"),
    ],
)
async def test_it_is_found_with_version_and_login(tmp_path: Path, status: str, auth: str) -> None:
    program = tmp_path / "claude"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "2.1.328 (Claude Code)" && exit\n{status}\n')
    program.chmod(0o755)

    detected = await ClaudeAgent(Binding(name="claude", command=(str(program),))).detect()

    assert (detected.found, detected.version, detected.auth) == (True, "2.1.328", auth)
    assert ("claude auth login" in detected.hint) == (auth == "missing")


@pytest.mark.anyio
async def test_the_program_gets_its_prompt_and_its_own_key_and_no_other_variable(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    stream = DATA / "claude" / "job.stdout"
    program.write_text(f"#!/bin/sh\nenv >env.txt\ncat >prompt.txt\ncat '{stream}'\n")
    program.chmod(0o755)
    agents = {"claude": ClaudeAgent(Binding(name="claude", command=(str(program),), env_allow=("MINE",)))}
    environ = {"PATH": os.defpath, "ANTHROPIC_API_KEY": "key-for-claude", "OPENAI_API_KEY": "not-for-it", "MINE": "1"}
    spec = attempt(tmp_path, agent="claude", prompt="Do it.")
    told: list[News] = []

    outcome = await LocalExecutor(agents, SystemClock(), environ=environ).run(spec, told.append)

    seen = dict(line.split("=", 1) for line in (spec.workdir / "env.txt").read_text().splitlines() if "=" in line)
    assert outcome.ok
    assert tokens(outcome.usage) == (2000, 3000, 0, 250, 0)
    assert (spec.workdir / "prompt.txt").read_text() == "Do it."
    assert (seen["ANTHROPIC_API_KEY"], seen["MINE"], seen["CLAUDE_CODE_MAX_RETRIES"]) == ("key-for-claude", "1", "2")
    assert "OPENAI_API_KEY" not in seen
    assert "HOME" not in seen
    assert [one.tool for one in told if one.kind == "tool_started"] == ["Read", "Write", "Edit", "Bash"]


@pytest.mark.anyio
@pytest.mark.parametrize("collector", ["", "http://127.0.0.1:4318"])
async def test_its_own_telemetry_is_turned_on_where_a_collector_is_let_in_and_never_gets_our_credentials(
    tmp_path: Path, collector: str
) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\nenv >env.txt\n")
    program.chmod(0o755)
    agent = ClaudeAgent(Binding(name="claude", command=(str(program),), env_allow=("OTEL_*",)))
    environ = {"PATH": os.environ["PATH"], "OTEL_EXPORTER_OTLP_HEADERS": "k=v", "MUSTER_OTEL_HEADERS": "k=v"}
    if collector:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
    executor = LocalExecutor({"claude": agent}, SystemClock(), environ=environ)
    spec = attempt(tmp_path, agent="claude", prompt="x")

    await executor.run(spec, lambda _: None)

    lines = (spec.workdir / "env.txt").read_text().splitlines()
    assert [line for line in lines if "HEADERS" in line] == []
    assert ("CLAUDE_CODE_ENABLE_TELEMETRY=1" in lines, "OTEL_TRACES_EXPORTER=otlp" in lines) == (bool(collector),) * 2
    assert any(line.startswith("TRACEPARENT=00-") for line in lines)
