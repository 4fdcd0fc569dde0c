"""Several real processes on one journal file, some of them killed."""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from muster.model.journal.entries import Entry, first_broken
from muster.model.journal.events import TaskSkipped
from muster.stores.sqlite import SqliteStore

PROCESS = Path(__file__).with_name("store_process.py")
RUN = "01kdvd1c00mcs3w8k9gemjdtmd"


def command(path: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(PROCESS), str(path), *arguments]


def start(path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(path, *arguments), stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


async def entries_of(path: Path, run: str = RUN) -> tuple[Entry, ...]:
    store = await SqliteStore.open(path)
    try:
        assert first_broken(await store.read(run)) is None
        return await store.read(run)
    finally:
        await store.close()


def written_by(entries: Sequence[Entry], writer: str) -> list[str]:
    events = [entry.event for entry in entries]
    return [event.reason for event in events if isinstance(event, TaskSkipped) and event.task == writer]


@pytest.mark.anyio
@pytest.mark.parametrize("appends", [250, pytest.param(1000, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])])
async def test_four_processes_that_append_to_one_run_lose_and_repeat_nothing(tmp_path: Path, appends: int) -> None:
    path = tmp_path / "muster.db"
    writers = [start(path, "append", RUN, f"writer {n}", str(appends)) for n in range(4)]

    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]

    entries = await entries_of(path)
    assert [entry.seq for entry in entries] == list(range(1, 4 * appends + 1))
    assert sorted({entry.pos for entry in entries}) == [entry.pos for entry in entries]
    for number in range(4):
        assert written_by(entries, f"writer {number}") == [str(n) for n in range(appends)]


@pytest.mark.anyio
@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=[pytest.mark.campaign, pytest.mark.timeout(600)])])
async def test_a_writer_that_is_killed_at_any_moment_loses_nothing_it_acknowledged(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "muster.db"
    moments = random.Random(20260102)
    for _ in range(kills):
        writer = start(path, "acknowledge", RUN)
        assert writer.stdout
        acknowledged = [int(writer.stdout.readline())]
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(moments.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        acknowledged += map(int, rest.split())

        entries = await entries_of(path)

        assert writer.returncode == -signal.SIGKILL
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert len(entries) >= acknowledged[-1]
        assert acknowledged == sorted(set(acknowledged))


@pytest.mark.anyio
async def test_many_processes_may_be_the_first_to_open_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "state" / "muster.db"
    writers = [start(path, "append", f"run {n}", "writer", "1") for n in range(6)]

    assert [writer.wait() for writer in writers] == [0] * 6

    store = await SqliteStore.open(path)
    assert sorted(head.run for head in await store.runs()) == [f"run {n}" for n in range(6)]
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["muster.db"]


@pytest.mark.anyio
async def test_a_message_from_another_process_wakes_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    store = await SqliteStore.open(path)
    try:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                seen: list[str] = []

                async def wait() -> None:
                    seen.extend(message.id for message in await store.await_pending(RUN))

                group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await anyio.run_process(command(path, "post", RUN, "stop-1"))
    finally:
        await store.close()

    assert seen == ["stop-1"]


@pytest.mark.anyio
async def test_a_follower_sees_what_another_process_appends(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    store = await SqliteStore.open(path)
    followed: list[Entry] = []

    async def keep(entry: Entry) -> bool:
        followed.append(entry)
        return len(followed) < 30

    try:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(store.follow, 0, keep)
                await anyio.run_process(command(path, "append", RUN, "writer", "30"))
    finally:
        await store.close()

    assert [entry.seq for entry in followed] == list(range(1, 31))


# A mount of our own is the only way to meet a full or read-only disk whoever runs the tests, root included.
MOUNT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]


def can_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    probe = [*MOUNT, "mount -t tmpfs none /tmp"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not can_mount(), reason="may not mount a file system of its own here")


@needs_mounts
def test_a_full_disk_is_named_spoils_nothing_and_the_writer_goes_on_when_there_is_space(tmp_path: Path) -> None:
    script = """
        mount -t tmpfs -o size=900k none "$0"
        head -c 300000 /dev/zero > "$0/ballast"
        { while [ ! -e "$0/refused" ]; do sleep 0.02; done; rm "$0/ballast" "$0/refused"; echo go; } |
            "$1" "$2" "$0/muster.db" fill run |
            while read -r line; do echo "$line"; case "$line" in Environment*) : > "$0/refused";; esac; done
        "$1" "$2" "$0/muster.db" count run
    """

    result = subprocess.run(
        [*MOUNT, script, str(tmp_path), sys.executable, str(PROCESS)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    begun, refused, again, count = result.stdout.splitlines()
    name, seq, *words = refused.split()
    assert (begun, name) == ("begun", "EnvironmentProblem"), result.stderr
    assert "The disk is full" in " ".join(words)
    assert int(seq) > 0
    assert int(seq) % 4 == 0
    assert again == f"again {int(seq) + 1}"
    assert count == str(int(seq) + 1)


@needs_mounts
def test_a_journal_on_a_read_only_disk_can_be_read_and_a_write_says_why_not(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    assert subprocess.run(command(path, "append", RUN, "writer", "3"), check=True).returncode == 0
    script = """
        mount --bind "$0" "$0"
        mount -o remount,ro,bind "$0"
        "$1" "$2" "$0/muster.db" count "$3"
        "$1" "$2" "$0/muster.db" append "$3" writer 1
    """

    result = subprocess.run(
        [*MOUNT, script, str(tmp_path), sys.executable, str(PROCESS), RUN], capture_output=True, text=True, check=False
    )

    count, refusal = result.stdout.splitlines()
    assert count == "3", result.stderr
    assert refusal.startswith("EnvironmentProblem")
    assert "read-only" in refusal
    assert result.returncode == 8


def test_a_disk_that_fails_is_named_and_nothing_half_is_left(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    limited = ["sh", "-c", 'ulimit -f 400; exec "$0" "$@"', *command(path, "fill", RUN)]

    result = subprocess.run(limited, capture_output=True, text=True, check=False, input="go\n")

    begun, refused = result.stdout.splitlines()[:2]
    name, seq, *words = refused.split()
    assert (begun, name) == ("begun", "EnvironmentProblem"), result.stderr
    assert "disk" in " ".join(words)
    assert int(seq) % 4 == 0
    assert subprocess.run(command(path, "count", RUN), capture_output=True, text=True).stdout.strip() == seq
