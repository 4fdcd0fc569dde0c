"""Programs are started, waited for and ended by who they are, and never mistaken for others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from muster.model.errors import EnvironmentProblem
from muster.ports import Swept
from muster.process import (
    Command,
    facts,
    is_alive,
    list_marked,
    run,
    run_now,
    start_time,
    supervise,
    sweep_marker,
    take_over,
    this_owner,
)
from muster.process.facts import Facts, Portable, ProcFs
from muster.process.identity import covers, send
from muster.process.shim import note_orphan, read_record, recorded
from muster.process.table import table

# Higher than any pid that Linux gives out.
NO_PID = 2**22 + 1
ENV = {"PATH": os.environ["PATH"]}


def sleeper(**more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"], start_new_session=True, env={**ENV, **more})


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.mark.anyio
async def test_a_program_gets_all_its_input_and_gives_all_its_output_however_long(tmp_path: Path) -> None:
    data = os.urandom(20_000_000)

    done = await run(["sh", "-c", "tee copy; cat copy >&2"], cwd=tmp_path, env=ENV, stdin=data)

    assert done.ok
    assert done.stdout == data
    assert done.stderr == data


@pytest.mark.anyio
async def test_a_script_that_opens_its_error_stream_by_name_is_heard(tmp_path: Path) -> None:
    done = await run(["sh", "-c", "echo said > /dev/stderr; echo more >&2"], cwd=tmp_path, env=ENV)

    assert done.stderr == b"said\nmore\n"


@pytest.mark.anyio
async def test_a_program_sees_exactly_the_environment_and_the_folder_it_is_given(tmp_path: Path) -> None:
    done = await run(["/usr/bin/env"], cwd=tmp_path, env={"A": "b"})
    where = await run(["pwd"], cwd=tmp_path, env=ENV)

    assert done.stdout == b"A=b\n"
    assert where.stdout.decode().strip() == str(tmp_path)


@pytest.mark.anyio
async def test_an_exit_code_is_given_as_it_is_and_raises_only_when_asked(tmp_path: Path) -> None:
    done = await run(["sh", "-c", "echo no >&2; exit 3"], cwd=tmp_path, env=ENV)
    killed = await run(["sh", "-c", "kill -9 $$"], cwd=tmp_path, env=ENV)

    assert (done.code, done.stderr, killed.code) == (3, b"no\n", -signal.SIGKILL)
    with pytest.raises(EnvironmentProblem, match="no"):
        await run(["sh", "-c", "echo no >&2; exit 3"], cwd=tmp_path, env=ENV, check=True)


@pytest.mark.anyio
async def test_a_program_that_cannot_start_is_a_problem_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no-such-program"):
        await run(["no-such-program"], cwd=tmp_path, env=ENV)
    with pytest.raises(EnvironmentProblem, match="gone is not there"):
        await run(["true"], cwd=tmp_path / "gone", env=ENV)
    with pytest.raises(EnvironmentProblem, match="too long"):
        run_now(["true", "x" * 3_000_000], cwd=tmp_path, env=ENV)


@pytest.mark.anyio
async def test_a_cancelled_program_is_gone_with_its_group_when_the_cancellation_returns(tmp_path: Path) -> None:
    with anyio.move_on_after(0.5):
        await run(
            ["sh", "-c", "sleep 300 & echo $! > pid; wait"], cwd=tmp_path, env={**ENV, "MUSTER_ATTEMPT": "short:1"}
        )

    assert (tmp_path / "pid").exists()
    for _ in range(500):
        if not list_marked("short:1"):
            break
        await anyio.sleep(0.01)
    assert not list_marked("short:1")


@pytest.mark.anyio
async def test_a_program_out_of_time_is_a_problem_and_does_not_go_on(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="did not end within"):
        await run(["sleep", "300"], cwd=tmp_path, env={**ENV, "MUSTER_ATTEMPT": "short:2"}, timeout_s=0.1)
    with pytest.raises(EnvironmentProblem, match="did not end within"):
        run_now(["sleep", "300"], cwd=tmp_path, env={**ENV, "MUSTER_ATTEMPT": "short:2"}, timeout_s=0.1)

    assert not list_marked("short:2")


@pytest.mark.anyio
async def test_a_program_that_prints_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.process.short.OUTPUT_LIMIT", 100_000)

    with pytest.raises(EnvironmentProblem, match="printed more than"):
        await run(["yes"], cwd=tmp_path, env=ENV)


def test_a_program_runs_without_an_event_loop(tmp_path: Path) -> None:
    done = run_now(["cat"], cwd=tmp_path, env=ENV, stdin=b"hello")

    assert (done.code, done.stdout) == (0, b"hello")


@pytest.mark.parametrize("system", [ProcFs(), Portable()])
def test_a_process_is_itself_by_pid_and_start_time(system: facts.System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "system", system)
    process = sleeper(MUSTER_ATTEMPT="identity:1")
    started = start_time(process.pid)

    alive, other = is_alive(process.pid, started), is_alive(process.pid, started + 1)
    marked = list_marked("identity")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    zombie = is_alive(process.pid, started)
    process.wait()

    assert (alive, other, zombie) == (True, False, False)
    assert [(one.pid, one.started, one.marker, one.command) for one in marked] == [
        (process.pid, started, "identity:1", "sleep 300")
    ]
    assert start_time(process.pid) == 0.0


def test_this_process_owns_runs_under_an_id_that_stays() -> None:
    owner = this_owner()

    assert owner == this_owner()
    assert owner.pid == os.getpid()
    assert is_alive(owner.pid, owner.pid_started)


def test_a_signal_never_reaches_another_process_with_the_same_pid() -> None:
    process = sleeper()
    try:
        seen = facts.system.facts(process.pid)
        assert seen is not None
        earlier = Facts(pid=seen.pid, parent=seen.parent, session=seen.session, started=seen.started - 1)

        assert not send(earlier, signal.SIGKILL)
        assert process.poll() is None
        assert send(seen, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        end(process)


@pytest.mark.anyio
async def test_a_sweep_without_a_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="marker"):
        await sweep_marker("")


@pytest.mark.anyio
async def test_a_sweep_finds_processes_of_whoever_started_them() -> None:
    named, other = sleeper(MUSTER_ATTEMPT="swept:T1:1"), sleeper(MUSTER_ATTEMPT="swept:T10:1")
    try:
        swept = await sweep_marker("swept:T1")

        assert swept == Swept(pids=(named.pid,))
        assert named.wait() == -signal.SIGKILL
        assert other.poll() is None
    finally:
        end(named)
        end(other)


def test_a_marker_covers_what_belongs_to_it() -> None:
    assert covers("", "r:T1:1")
    assert covers("r:", "r:T1:1")
    assert covers("r:T1", "r:T1:1:merge:2")
    assert not covers("r:T", "r:T1:1")


@pytest.mark.parametrize(
    ("text", "code", "number"),
    [
        ("", None, None),
        ("at 1.5\n", None, None),
        ("at 1.5\npid 7\n", None, None),
        ("pid 7\nexit 1", None, None),
        ("pid 7\nexit 143\n", 143, None),
        ("pid 7\nTerminated\nexit 143\n", None, 15),
        ("pid 7\nshim: line 7: 9 Killed  ( exec )\nexit 137\n", None, 9),
        ("pid 7\nsome words\nexit 2\n", 2, None),
        ("\x00\xff\n\n", None, None),
        ("pid 7\norphan 9 12.5\nexit 143\norphan x\n", 143, None),
    ],
)
def test_a_record_says_no_more_than_was_written(
    tmp_path: Path, text: str, code: int | None, number: int | None
) -> None:
    (tmp_path / "record").write_text(text)

    record = read_record(tmp_path / "record")

    assert (record.code, record.signal) == (code, number)


def test_an_orphan_is_noted_with_the_very_number_that_identifies_it(tmp_path: Path) -> None:
    record = tmp_path / "record"
    orphans = [facts.Facts(pid=9, parent=1, session=9, started=started) for started in (0.07, 9999e9 + 9e8)]

    for orphan in orphans:
        note_orphan(record, orphan)

    assert read_record(record).orphans == tuple((one.pid, one.started) for one in orphans)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
@pytest.mark.parametrize(("ending", "expected"), [("exit 143", (143, None)), ("kill -TERM $$", (None, 15))])
def test_each_shell_tells_an_exit_code_from_a_signal(
    tmp_path: Path, shell: str, ending: str, expected: tuple[int | None, int | None]
) -> None:
    import shutil

    if not shutil.which(shell.split()[0]):
        pytest.skip(f"{shell} is not installed")
    argv = recorded(("sh", "-c", f"{ending}; sleep 5"), tmp_path / "record")

    done = run_now([*shell.split(), *argv[1:]], cwd=tmp_path, env=ENV)

    record = read_record(tmp_path / "record")
    assert done.code == 143
    assert (record.code, record.signal) == expected
    assert record.leader is not None
    assert record.leader.pid == record.pid


@pytest.mark.anyio
async def test_where_orphans_are_not_handed_to_us_they_are_found_by_their_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "system", Portable())
    monkeypatch.setattr(table, "_reaper", False)
    daemon = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\ntime.sleep(300)"
    command = Command(
        argv=("sh", "-c", '"$0" -c "$1"; sleep 0.2; echo done', sys.executable, daemon),
        cwd=tmp_path,
        env=ENV,
        marker="portable:1",
        stdout=tmp_path / "out",
    )

    ended = await supervise(command, lambda supervised: supervised.wait(), lambda: 1.0)

    assert ended.code == 0
    assert len(ended.swept) == 1
    assert not list_marked("portable:1")


@pytest.mark.anyio
async def test_a_wiped_child_in_the_session_of_a_dead_owners_attempt_is_swept(tmp_path: Path) -> None:
    argv = recorded(("sh", "-c", "env -i sleep 300 & echo $! > pid; exit 0"), tmp_path / "record")
    run_now(argv, cwd=tmp_path, env={**ENV, "MUSTER_ATTEMPT": "session:1"})
    left = int((tmp_path / "pid").read_text())
    started = start_time(left)

    ended = await take_over("session:1", tmp_path / "record", lambda supervised: supervised.wait(), lambda: 1.0)

    assert ended.code == 0
    assert ended.swept == (left,)
    assert not is_alive(left, started)


@pytest.mark.anyio
async def test_an_attempt_that_forks_while_it_is_killed_is_gone_in_the_end(tmp_path: Path) -> None:
    bomb = 'trap "" TERM; f() { sh -c "setsid sleep 300" & sleep 0.01; }; while :; do f; done'
    command = Command(argv=("sh", "-c", bomb), cwd=tmp_path, env=ENV, marker="forks:1", stdout=tmp_path / "out")

    with anyio.move_on_after(0.5):
        await supervise(command, lambda supervised: supervised.wait(), lambda: 0.1)

    assert not list_marked("forks:1")


def test_looking_for_strays_opens_no_more_files_than_it_closes(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(20):
        run_now(["true"], cwd=tmp_path, env=ENV)
        table.strays("none:1")
    time.sleep(0)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


class OneThatStays(ProcFs):
    """The processes of this machine and one more, which is in a call that nothing interrupts."""

    stays = Facts(pid=NO_PID, parent=1, session=NO_PID, started=1.0)

    def pids(self) -> Iterator[int]:
        yield from super().pids()
        yield NO_PID

    def facts(self, pid: int) -> Facts | None:
        return self.stays if pid == NO_PID else super().facts(pid)

    def marker(self, pid: int) -> str | None:
        return "r:stuck:1" if pid == NO_PID else super().marker(pid)


@pytest.mark.anyio
async def test_a_sweep_says_which_processes_outlived_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "system", OneThatStays())
    monkeypatch.setattr(sys.modules[supervise.__module__], "_KILL_LIMIT_S", 0.3)
    mortal = sleeper(MUSTER_ATTEMPT="r:stuck:1")

    swept = await sweep_marker("r:stuck")

    assert (swept.pids, swept.left) == ((mortal.pid,), (NO_PID,))
    assert mortal.wait() == -signal.SIGKILL
