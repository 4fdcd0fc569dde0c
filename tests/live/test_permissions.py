"""What agents may do, with which model and effort, and what they say without a key."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from muster.model.attempts import Cause, Ending
from muster.model.policy import RetryPolicy
from muster.model.running.retry import is_retryable
from tests.live.model_script import HELLO
from tests.live.model_server import Asked, ModelServer
from tests.live.programs import KEY, Cli
from tests.live.stand import README, Stand

pytestmark = [pytest.mark.live_cli, pytest.mark.anyio, pytest.mark.timeout(120)]


async def test_with_permission_edit_files_are_written_unattended(stand: Stand) -> None:
    outcome = await stand.play("do the scripted thing [[s:files]]", permission="edit", timeout_s=60.0)

    assert outcome.ending is Ending.OK, outcome
    assert (stand.repo / "hello.txt").read_text() == HELLO
    assert (stand.repo / "README.md").read_text() == README.replace("old", "new")


async def test_with_permission_edit_nothing_is_written_outside_of_the_worktree(stand: Stand, tmp_path: Path) -> None:
    if stand.cli.name == "pi":
        pytest.skip("pi has no sandbox: what may write may write everywhere")
    outside = tmp_path / "outside"
    outside.mkdir()

    await stand.play(f"[[s:outside]] [[path:{outside}/hello.txt]]", permission="edit", timeout_s=60.0)

    assert list(outside.iterdir()) == []
    assert stand.model.of("outside")


async def test_with_permission_read_nothing_is_changed_and_nobody_is_waited_for(stand: Stand) -> None:
    if stand.cli.name == "opencode-acp":
        pytest.skip("OpenCode asks nobody before it runs a command; the audit finds what it wrote")
    outcome = await stand.play("do the scripted thing [[s:job]]", permission="read", timeout_s=60.0)

    assert outcome.ending is not Ending.TIMEOUT
    assert (stand.repo / "README.md").read_text() == README
    assert sorted(path.name for path in stand.repo.iterdir()) == [".git", "README.md"]
    assert stand.model.of("job")


async def test_without_tools_for_the_shell_no_command_runs_though_the_permission_is_full(stand: Stand) -> None:
    if "shell" not in stand.agent.capabilities.tools:
        pytest.skip("its shell cannot be taken from it, and Muster says so before the start")

    await stand.play("do the scripted thing [[s:job]]", without=("shell",), timeout_s=60.0)

    assert (stand.repo / "hello.txt").read_text() == HELLO
    assert not (stand.repo / "shell.txt").exists()


async def test_without_tools_for_the_web_and_for_agents_the_model_is_offered_none(stand: Stand) -> None:
    if "web" not in stand.agent.capabilities.tools:
        pytest.skip("nothing can be taken from it, and Muster says so before the start")

    await stand.play("[[s:text]]", timeout_s=60.0)
    outcome = await stand.play("[[s:text]]", 2, without=("web", "agents"), timeout_s=60.0)

    assert outcome.ending is Ending.OK, outcome
    before, after = (offered(asked) for asked in stand.model.of("text"))
    assert [tool for tool in after if "web" in tool or "agent" in tool or tool == "task"] == []
    assert before > after or stand.cli.name == "pi", (before, after)


async def test_after_its_last_turn_an_agent_is_stopped(stand: Stand) -> None:
    if not stand.agent.capabilities.turns:
        pytest.skip("nobody can count its turns, and Muster says so")

    outcome = await stand.play("do the scripted thing [[s:job]]", max_turns=2, timeout_s=60.0)

    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.LIMIT_TURNS
    # Who counts what is told sees the next answer when it has begun, and a model may be fast.
    assert stand.agent.capabilities.turns == "told" or (stand.repo / "README.md").read_text() == README


def offered(asked: Asked) -> set[str]:
    """All tools that the model could call, also those that its provider has."""
    own = (one.get("name") or one.get("type") for one in asked.body["tools"])
    return {tool.lower() for tool in (*asked.tools, *own) if tool}


async def test_an_effort_reaches_the_model(stand: Stand) -> None:
    if not stand.cli.has_efforts:
        pytest.skip("to this program the scripted model has no efforts")

    outcome = await stand.play("[[s:text]]", effort="high")

    assert outcome.ending is Ending.OK, outcome
    (asked,) = stand.model.of("text")
    said = asked.body.get("reasoning") or asked.body.get("output_config")
    assert said is not None
    assert said["effort"] == "high"


async def test_a_program_without_a_key_is_never_ok_and_not_tried_again(
    cli: Cli, model: ModelServer, tmp_path: Path
) -> None:
    keys = tuple(name for name, value in cli.env(model.url).items() if value == KEY)
    stand = Stand(cli, model, tmp_path, without=keys)

    outcome = await stand.play("do the scripted thing [[s:job]]", timeout_s=60.0)

    assert outcome.failure is not None, outcome
    assert not is_retryable(RetryPolicy(), outcome.failure) or cli.dialect == "acp", outcome
    assert (stand.repo / "README.md").read_text() == README


async def test_why_a_program_does_not_start_is_told_in_its_own_words(
    cli: Cli, model: ModelServer, tmp_path: Path
) -> None:
    if cli.name != "claude" or os.geteuid():
        pytest.skip("only Claude Code refuses root when nothing says that it is in a sandbox")
    stand = Stand(cli, model, tmp_path, without=("IS_SANDBOX",))

    outcome = await stand.play("do the scripted thing [[s:job]]", timeout_s=60.0)

    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.ENVIRONMENT
    assert "root" in outcome.failure.message


async def test_a_program_is_found_with_its_version(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stand.cli.settle(stand.root / "home", stand.model.url).items():
        monkeypatch.setenv(name, value)

    # It is given less than two seconds, and on a busy machine that is not always enough.
    for _ in range(20):
        detected = await stand.agent.detect()
        if detected.version or stand.cli.dialect == "acp":
            break

    assert detected.found
    if stand.cli.dialect == "acp":
        return
    assert detected.version in stand.cli.program().version
    assert detected.version
    # Codex knows of its own logins only, and not that another provider has a key of its own.
    assert detected.auth in ("ok", "unknown") or stand.cli.name == "codex"
    assert KEY not in json.dumps([detected.path, detected.hint])
