"""The local executor: the contract, and what only real processes on this machine can show."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from muster.agents.opencode import OpenCodeAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.executors.scratch import scratch_path
from muster.model.attempts import Cause, Ending, Outcome
from muster.ports import Agent, AttemptSpec, Binding, Capabilities, CheckSpec, Detected, Exit, Launch, News
from tests.contracts.executor_contract import (
    AGENTS,
    DAEMON,
    WIPED_DAEMON,
    ExecutorContract,
    attempt,
    daemons,
    exists,
    ignore,
    nothing_is_left,
    scripted,
    settled,
    until_written,
    written,
)

SOURCE = Path(__file__).parents[2] / "src"


def make(agents: Mapping[str, Agent] = AGENTS, environ: Mapping[str, str] | None = None) -> LocalExecutor:
    return LocalExecutor(agents, SystemClock(), environ=environ)


class TestLocalExecutor(ExecutorContract):
    def make(self, agents: Mapping[str, Agent] = AGENTS) -> LocalExecutor:
        return make(agents)


HOST = """
import sys, anyio, msgspec
from muster.agents.command import CommandAgent
from muster.agents.scripted import ScriptedAgent
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.ports import AttemptSpec

async def main():
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=AttemptSpec, dec_hook=lambda kind, value: kind(value))
    executor = LocalExecutor({"command": CommandAgent(), "scripted": ScriptedAgent()}, SystemClock())
    await executor.run(spec, lambda news: None)

anyio.run(main)
"""


def host(spec: AttemptSpec) -> subprocess.Popen[bytes]:
    """Another process that runs the attempt."""
    import msgspec

    process = subprocess.Popen(
        [sys.executable, "-c", HOST], stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(spec, enc_hook=str))
    process.stdin.close()
    return process


def sleeper() -> subprocess.Popen[bytes]:
    """A process that has nothing to do with attempts."""
    return subprocess.Popen(["sleep", "300"], start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.mark.anyio
async def test_an_attempt_whose_owner_was_killed_is_adopted_with_its_exit_code_and_output(tmp_path: Path) -> None:
    spec = attempt(tmp_path, command="echo first; while [ ! -e go ]; do sleep 0.02; done; echo last; exit 5")
    owner = host(spec)
    await until_written(spec, b"first")
    kill(owner)
    outcomes: list[Outcome] = []

    executor = make()

    async def adopt() -> None:
        outcomes.append(await executor.adopt(spec, ignore))

    async with anyio.create_task_group() as group:
        group.start_soon(adopt)
        await anyio.sleep(0.1)
        (spec.workdir / "go").touch()
    executor.close()

    assert outcomes[0].ending is Ending.ERROR
    assert outcomes[0].exit_code == 5
    assert written(spec) == b"first\nlast\n"
    assert not scratch_path(spec.id).exists()


@pytest.mark.anyio
async def test_an_attempt_that_ended_after_its_owner_was_killed_is_read_and_its_daemon_is_swept(tmp_path: Path) -> None:
    spec = scripted(tmp_path, DAEMON, {"say": "now"}, {"sleep": 0.3}, {"write": {"path": "x", "text": "y"}})
    owner = host(spec)
    await until_written(spec, b'"now"')
    kill(owner)
    assert settled(lambda: b"exit 0" in (spec.folder / "process").read_bytes())
    told: list[News] = []

    outcome = await make().adopt(spec, told.append)

    assert outcome.ok
    assert "now" in [news.text for news in told]
    assert outcome.swept == tuple(daemons(spec))
    assert nothing_is_left(spec)


@pytest.mark.anyio
async def test_an_adopted_attempt_keeps_its_deadline(tmp_path: Path) -> None:
    spec = scripted(tmp_path, DAEMON, {"say": "now"}, "hang", timeout_s=1.0, grace_s=0.1)
    owner = host(spec)
    await until_written(spec, b'"now"')
    kill(owner)

    outcome = await make().adopt(spec, ignore)

    assert outcome.ending is Ending.TIMEOUT
    assert nothing_is_left(spec)


@pytest.mark.anyio
async def test_a_stop_of_an_adopted_attempt_leaves_nothing(tmp_path: Path) -> None:
    spec = scripted(tmp_path, DAEMON, "ignore_term", {"say": "now"}, "hang", grace_s=0.1)
    owner = host(spec)
    await until_written(spec, b'"now"')
    kill(owner)

    with anyio.move_on_after(0.3):
        await make().adopt(spec, ignore)

    assert daemons(spec)
    assert nothing_is_left(spec)


@pytest.mark.anyio
async def test_an_attempt_that_was_killed_with_its_owner_is_interrupted(tmp_path: Path) -> None:
    spec = attempt(tmp_path, command="echo $$; echo again >> count; sleep 300")
    owner = host(spec)
    await until_written(spec, b"\n")
    kill(owner)
    os.killpg(os.getpgid(int(written(spec))), signal.SIGKILL)
    assert settled(lambda: not exists(int(written(spec))))

    outcome = await make().adopt(spec, ignore)

    assert outcome.ending is Ending.INTERRUPTED
    assert nothing_is_left(spec)
    assert (spec.workdir / "count").read_text() == "again\n"


@pytest.mark.anyio
async def test_a_sweep_removes_the_temporary_folder_too(tmp_path: Path) -> None:
    spec = attempt(tmp_path, command="touch $TMPDIR/left; echo ready; sleep 300")
    owner = host(spec)
    await until_written(spec, b"ready")
    kill(owner)
    assert scratch_path(spec.id).exists()

    await make().sweep(spec.id)

    assert not scratch_path(spec.id).exists()


@pytest.mark.anyio
async def test_a_record_that_names_a_recycled_pid_hurts_nobody(tmp_path: Path) -> None:
    spec = attempt(tmp_path, command="true")
    stranger = sleeper()
    spec.folder.mkdir(parents=True)
    (spec.folder / "process").write_text(f"at 1.0\npid {stranger.pid}\n")
    try:
        outcome = await make().adopt(spec, ignore)

        assert outcome.ending is Ending.INTERRUPTED
        assert stranger.poll() is None
    finally:
        kill(stranger)


@pytest.mark.parametrize("presses", [1, 2, 4])
def test_nothing_is_left_however_often_control_c_is_pressed(tmp_path: Path, presses: int) -> None:
    spec = scripted(tmp_path, DAEMON, WIPED_DAEMON, "ignore_term", {"say": "now"}, "hang", grace_s=1.0)
    owner = host(spec)
    try:
        assert settled(lambda: b'"now"' in written(spec))
        for _ in range(presses):
            owner.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                owner.wait(0.05)
        owner.wait(30)
    finally:
        kill(owner)

    assert len(daemons(spec)) == 2
    assert nothing_is_left(spec)


@pytest.mark.anyio
@pytest.mark.parametrize("daemon", [DAEMON, WIPED_DAEMON])
async def test_two_native_cancellations_leave_nothing(tmp_path: Path, daemon: object) -> None:
    spec = scripted(tmp_path, daemon, "ignore_term", {"say": "now"}, "hang", grace_s=30.0)
    task = asyncio.get_running_loop().create_task(make().run(spec, ignore))
    await until_written(spec, b'"now"')

    task.cancel()
    await anyio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert daemons(spec)
    assert nothing_is_left(spec)


@pytest.mark.anyio
async def test_a_wiped_daemon_lives_no_longer_than_the_attempts_that_may_own_it(tmp_path: Path) -> None:
    executor = make()
    leaving = scripted(tmp_path, WIPED_DAEMON, task="T1")
    waiting = attempt(tmp_path, command="echo ready; while [ ! -e go ]; do sleep 0.02; done", task="T2")

    async with anyio.create_task_group() as group:
        group.start_soon(executor.run, waiting, ignore)
        await until_written(waiting, b"ready")
        assert (await executor.run(leaving, ignore)).ok
        (waiting.workdir / "go").touch()

    assert daemons(leaving)
    assert nothing_is_left(leaving)


@pytest.mark.anyio
async def test_a_wiped_child_that_its_dying_parent_leaves_is_known_to_be_of_the_stopped_attempt(tmp_path: Path) -> None:
    executor = make()
    stubborn = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done'"
    stopped = attempt(tmp_path, command=f"env -i setsid {stubborn} & wait", task="T1", grace_s=0.5)
    waiting = attempt(tmp_path, command="echo ready; sleep 300", task="T2", grace_s=0.1)

    async with anyio.create_task_group() as group:
        group.start_soon(executor.run, waiting, ignore)
        await until_written(waiting, b"ready")
        async with anyio.create_task_group() as inner:
            inner.start_soon(executor.run, stopped, ignore)
            await until_written(stopped, b"\n")
            inner.cancel_scope.cancel()
        alive = exists(int(written(stopped)))
        group.cancel_scope.cancel()

    assert not alive


@pytest.mark.anyio
async def test_processes_of_this_program_that_are_no_attempts_are_left_alone(tmp_path: Path) -> None:
    ours = sleeper()
    try:
        await make().run(scripted(tmp_path, DAEMON), ignore)
        with anyio.move_on_after(0.3):
            await make().run(attempt(tmp_path, task="T2", command="sleep 300"), ignore)

        assert ours.poll() is None
    finally:
        kill(ours)


class EchoAgent:
    """Copies its stdin to its stdout."""

    name = "echo"
    capabilities = Capabilities()

    def __init__(self, launch: Launch) -> None:
        self.started = launch

    async def detect(self) -> Detected:
        return Detected(found=True)

    def launch(self, spec: AttemptSpec) -> Launch:
        return self.started

    def parser(self, launch: Launch) -> EchoAgent:
        return self

    def feed(self, line: bytes) -> Iterable[News]:
        return (News(kind="text", text=line.decode("utf-8", "replace")),)

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        return Outcome(ending=Ending.OK if exit.code == 0 else Ending.ERROR)


@pytest.mark.anyio
async def test_a_prompt_reaches_the_agent_byte_for_byte(tmp_path: Path) -> None:
    prompt = bytes(range(256)) * 2000
    agent = EchoAgent(Launch(argv=("sh", "-c", "cat > got"), stdin=prompt))

    outcome = await make({"echo": agent}).run(attempt(tmp_path, agent="echo"), ignore)

    assert outcome.ok
    assert (tmp_path / "work" / "got").read_bytes() == prompt


class BrokenAgent(EchoAgent):
    """A dialect with a bug."""

    def feed(self, line: bytes) -> Iterable[News]:
        raise KeyError("feed")

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        raise KeyError("finish")


@pytest.mark.anyio
async def test_a_dialect_with_a_bug_is_an_outcome(tmp_path: Path) -> None:
    told: list[News] = []
    agent = BrokenAgent(Launch(argv=("echo", "hello")))

    outcome = await make({"echo": agent}).run(attempt(tmp_path, agent="echo"), told.append)

    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.AGENT_BUG
    assert [one.kind for one in told] == ["notice"]


@pytest.mark.anyio
async def test_a_program_that_cannot_be_started_is_an_outcome_that_says_why(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    missing = make({"echo": EchoAgent(Launch(argv=("no-such-program-here",)))})
    unable = make({"echo": EchoAgent(Launch(argv=(str(plain),)))})
    long = make({"echo": EchoAgent(Launch(argv=("true", "x" * 3_000_000)))})

    outcomes = [
        await executor.run(attempt(tmp_path, task=f"T{number}", agent="echo"), ignore)
        for number, executor in enumerate((missing, unable, long))
    ]

    assert [one.failure.cause for one in outcomes if one.failure] == [
        Cause.NOT_INSTALLED,
        Cause.ENVIRONMENT,
        Cause.ENVIRONMENT,
    ]
    assert "no-such-program-here" in str(outcomes[0].failure)


@pytest.mark.anyio
async def test_a_disk_that_takes_no_files_is_an_outcome(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")

    outcome = await make().run(attempt(tmp_path, command="true"), ignore)

    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.ENVIRONMENT


@pytest.mark.anyio
async def test_a_secret_in_our_environment_reaches_neither_the_command_nor_a_byte_that_is_kept(tmp_path: Path) -> None:
    canary = "canary-" + "7f3a9c51"
    environ = {**os.environ, "SOME_API_TOKEN": canary, "GIT_DIR": "/elsewhere", "MUSTER_PROJECT": "x"}
    executor = make(environ=environ)
    show = f"env; echo {canary[:9]}{canary[9:]}; printf 'token {canary}' >&2; env > $TMPDIR/env; cat $TMPDIR/env"
    told: list[News] = []

    spec = attempt(tmp_path, command=f"sh -c 'echo leaked $SOME_API_TOKEN'; {show}")
    await executor.run(spec, ignore)
    agent = scripted(tmp_path, {"say": f"I found {canary}"}, {"run": "env"}, task="T2")
    await executor.run(agent, told.append)
    check = CheckSpec(id="check:1", command=show, tree="t", workdir=tmp_path, folder=tmp_path / "runs" / "check")
    receipt = await executor.check(check)

    seen = written(spec).decode()
    assert "leaked\n" in seen
    assert not any(name in seen for name in ("SOME_API_TOKEN", "GIT_DIR", "MUSTER_PROJECT"))
    assert f"MUSTER_ATTEMPT={spec.id}" in seen
    assert canary not in repr(told) + receipt.tail
    kept = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert not [path for path in kept if canary.encode() in path.read_bytes()]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("environ", "content"), [({}, '{"snapshot": false}'), ({"OPENCODE_CONFIG_CONTENT": "{}"}, "{}")]
)
async def test_what_an_adapter_would_set_is_left_as_the_operator_has_set_it(
    tmp_path: Path, environ: dict[str, str], content: str
) -> None:
    agents = {"opencode": OpenCodeAgent(Binding(name="opencode", command=("sh", "-c", "env")))}
    spec = attempt(tmp_path, agent="opencode")

    await make(agents, {"PATH": os.defpath, **environ}).run(spec, ignore)

    assert f"\nOPENCODE_CONFIG_CONTENT={content}\n" in written(spec).decode()


@pytest.mark.anyio
async def test_everything_that_is_kept_is_for_this_user_alone(tmp_path: Path) -> None:
    spec = scripted(tmp_path, {"say": "hello"}, {"run": "stat -c %a $TMPDIR; echo x >&2"}, DAEMON)

    outcome = await make().run(spec, ignore)

    assert outcome.ok
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in spec.folder.iterdir()}
    assert set(modes) == {"stdout.log", "stdin.log", "stderr", "process", "answer.md"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(spec.folder.stat().st_mode) == 0o700
    assert b"700" in written(spec)


@pytest.mark.anyio
async def test_the_temporary_folder_is_short_private_and_gone_afterwards(tmp_path: Path) -> None:
    spec = attempt(tmp_path, command='mkdir "$TMPDIR/a"; touch "$TMPDIR/a/b"; chmod 500 "$TMPDIR/a"; echo "$TMPDIR"')

    await make().run(spec, ignore)

    place = Path(written(spec).decode().strip())
    assert place.parent == Path(tempfile.gettempdir())
    assert len(str(place)) < 60
    assert not place.exists()


@pytest.mark.anyio
async def test_a_file_that_grows_without_end_stops_the_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.executors.transcript.SIZE_LIMIT", 2_000_000)

    outcome = await make().run(attempt(tmp_path, command="yes"), ignore)

    assert outcome.ending is Ending.ERROR
    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.AGENT_BUG
    assert outcome.transcript is not None
    assert 2_000_000 <= outcome.transcript.size < 2_001_000


@pytest.mark.anyio
async def test_a_line_that_is_too_long_to_be_read_is_told_and_the_next_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.executors.tail.LONGEST_LINE", 1000)
    news: list[News] = []

    outcome = await make().run(scripted(tmp_path, {"say": "x" * 2000}, {"say": "after"}), news.append)

    assert outcome.ok
    assert [one.text for one in news if one.kind == "text"] == ["after"]
    (notice,) = [one for one in news if one.kind == "notice"]
    assert not notice.ok
    assert notice.text == "Lines of its output that were not read, as they have more than 32 MiB: 1"


@pytest.mark.anyio
async def test_raw_output_stays_when_it_is_asked_for(tmp_path: Path) -> None:
    secret = "sk-" + "abcd1234" * 4
    spec = attempt(tmp_path, command=f"echo {secret}", keep_raw=True)

    await make().run(spec, ignore)

    assert secret in (spec.folder / "stdout").read_text()
    assert secret not in (spec.folder / "stdout.log").read_text()


@pytest.mark.anyio
async def test_long_output_is_redacted_across_its_pieces(tmp_path: Path) -> None:
    secret = "s3cr3t-value-of-ours"
    command = f"i=0; while [ $i -lt 30000 ]; do echo 'line with {secret} in it'; i=$((i+1)); done"
    spec = attempt(tmp_path, command=command)

    await make(environ={**os.environ, "OUR_SECRET": secret}).run(spec, ignore)

    assert secret.encode() not in written(spec)
    assert written(spec).count(b"line with *** in it\n") == 30000


@pytest.mark.anyio
async def test_a_lingering_child_that_keeps_the_output_open_delays_nothing(tmp_path: Path) -> None:
    spec = attempt(tmp_path, command="(sleep 300; echo late) & echo done")

    with anyio.fail_after(20):
        outcome = await make().run(spec, ignore)

    assert outcome.ok
    assert outcome.swept
    assert written(spec) == b"done\n"


def test_a_script_may_be_given_for_each_attempt() -> None:
    from muster.agents.scripted_player import steps_of

    script = json.dumps({"attempts": {"1": ["hang"]}, "default": [{"say": "x"}]})

    assert steps_of(script, 1) == ["hang"]
    assert steps_of(script, 2) == [{"say": "x"}]
