"""The telemetry of a session: what it writes, that it ends, and that it never gets in the way."""

from __future__ import annotations

import gc
import gzip
import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from muster.model.plan import Changes, Plan, Task
from muster.model.redaction import Redactor
from muster.telemetry.registry import Registry
from muster.telemetry.replay import Rebuild
from muster.telemetry.session import TelemetrySession
from muster.telemetry.sink import Sink
from muster.testing.fake_clock import FakeClock
from muster.wiring.driving import drive
from muster.wiring.kit import open_project
from muster.wiring.starting import start_run
from tests.integration.git_project import GitProject
from tests.integration.metering import START, STORY, entries

DAY = 86_400
SECRET = "correct-horse-battery"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


def lines(place: Path) -> list[dict[str, Any]]:
    data = gzip.decompress(place.read_bytes()) if place.suffix == ".gz" else place.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def names(line: dict[str, Any]) -> list[str]:
    return [family["name"] for family in line["families"]]


def test_a_line_has_only_what_changed_and_the_first_of_an_hour_has_everything(tmp_path: Path, clock: FakeClock) -> None:
    registry = Registry(clock)
    counter = registry.counter("crew.task.count", "Tasks.", {"status": ()})
    registry.counter("crew.run.count", "Runs.")
    sink = Sink(tmp_path, Redactor())

    for status in ("done", "done", None, "failed"):
        if status is not None:
            counter.inc(status=status)
        clock.advance(60)
        sink.write(registry.snapshot())
    clock.advance(3600)
    sink.write(registry.snapshot())

    first, second, third, hourly = lines(tmp_path / "2026-01-02.jsonl")
    assert names(first) == names(hourly) == ["crew.run.count", "crew.task.count"]
    assert names(second) == names(third) == ["crew.task.count"]
    assert third["families"][0]["points"] == [{"labels": [["status", "failed"]], "value": 1.0}]
    assert [line.get("partial", False) for line in (first, second, third, hourly)] == [False, True, True, False]


def test_a_new_day_is_a_new_file_with_everything_and_the_day_before_is_compressed(
    tmp_path: Path, clock: FakeClock
) -> None:
    registry, sink = Registry(clock), Sink(tmp_path, Redactor())
    counter = registry.counter("crew.run.count", "Runs.")

    for _ in range(10):
        counter.inc()
        sink.write(registry.snapshot())
        clock.advance(DAY)

    kept = sorted(place.name for place in tmp_path.iterdir())
    assert kept == [*(f"2026-01-{day:02}.jsonl.gz" for day in range(5, 11)), "2026-01-11.jsonl"]
    assert [line["families"][0]["points"][0]["value"] for line in lines(tmp_path / "2026-01-07.jsonl.gz")] == [6]
    assert {oct(place.stat().st_mode & 0o777) for place in tmp_path.iterdir()} == {"0o600"}


def test_a_line_that_comes_late_joins_what_was_compressed(tmp_path: Path, clock: FakeClock) -> None:
    late = Registry(clock)
    late.counter("crew.run.count", "Runs.")
    Sink(tmp_path, Redactor()).write(late.snapshot())
    straggler = late.snapshot()
    clock.advance(DAY)
    Sink(tmp_path, Redactor()).write(late.snapshot())
    Sink(tmp_path, Redactor()).write(straggler)
    Sink(tmp_path, Redactor()).write(late.snapshot())

    assert len(lines(tmp_path / "2026-01-02.jsonl.gz")) == 2
    assert len(lines(tmp_path / "2026-01-03.jsonl")) == 2


def test_no_secret_is_written(tmp_path: Path, clock: FakeClock) -> None:
    registry = Registry(clock)
    counter = registry.counter("crew.task.count", "Tasks.", {"auth_token": (), "model": ()})
    counter.inc(auth_token="abc", model=f"model-{SECRET}")

    Sink(tmp_path, Redactor([SECRET])).write(registry.snapshot())

    (line,) = lines(tmp_path / "2026-01-02.jsonl")
    assert line["families"][0]["points"] == [{"labels": [["auth_token", "***"], ["model", "model-***"]], "value": 1.0}]


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path, clock: FakeClock) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "2026-01-02.jsonl").symlink_to(victim)

    registry = Registry(clock)
    registry.counter("crew.run.count", "Runs.")

    with pytest.raises(OSError, match="symbolic link"):
        Sink(folder, Redactor()).write(registry.snapshot())

    assert victim.read_text() == "mine"


@pytest.mark.anyio
async def test_a_session_writes_every_minute_and_once_more_at_its_end(tmp_path: Path, clock: FakeClock) -> None:
    session = TelemetrySession(clock, tmp_path, environ={})
    session.start(())

    async with anyio.create_task_group() as group:
        group.start_soon(session.keep)
        await clock.until_asleep()
        for part in (entries(STORY)[:6], entries(STORY)[6:10]):
            for entry in part:
                session.on_entry(entry, entry.event)
            clock.advance(60)
            await clock.until_asleep()
        group.cancel_scope.cancel()
    for entry in entries(STORY)[10:]:
        session.on_entry(entry, entry.event)
    session.close()

    written = lines(tmp_path / "2026-01-02.jsonl")
    assert len(written) == 3
    assert "crew.run.duration_ms" in names(written[-1])


@pytest.mark.anyio
async def test_three_sessions_leave_no_thread_and_no_file_open(tmp_path: Path, clock: FakeClock) -> None:
    await anyio.to_thread.run_sync(lambda: None)  # anyio keeps this thread for later calls
    process = psutil.Process()
    threads, files = set(threading.enumerate()), process.num_fds()

    for _ in range(3):
        session = TelemetrySession(clock, tmp_path, environ={})
        session.start(entries(STORY))
        async with anyio.create_task_group() as group:
            group.start_soon(session.keep)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await anyio.to_thread.run_sync(session.close)

        assert set(threading.enumerate()) == threads
        assert process.num_fds() == files
        clock.advance(1)

    assert len(lines(tmp_path / "2026-01-02.jsonl")) == 3


@pytest.mark.anyio
async def test_three_runs_driven_by_one_process_leave_no_thread_no_file_and_no_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = GitProject.create(tmp_path)
    monkeypatch.setenv("HOME", str(project.home))
    process, before = psutil.Process(), None

    async with open_project(project.top, {"--gates": ("run.gates", "open")}) as kit:
        for _ in range(4):
            plan = Plan(slug="s", tasks=(Task(id="T1", run="true", changes=Changes.NONE),))
            state = await drive(kit, await start_run(kit, plan), None)
            gc.collect()
            tasks = [task.name for task in anyio.get_running_tasks() if task.id != anyio.get_current_task().id]
            sessions = [one for one in gc.get_objects() if isinstance(one, TelemetrySession)]
            now = ({thread.name for thread in threading.enumerate()}, process.num_fds(), tasks)

            assert state.state == "complete"
            assert sessions == []
            # The first run starts threads that others work in as well: the store's, anyio's.
            assert before in (None, now)
            before = now

    assert len(lines(next((project.top / ".muster/state/metrics").iterdir()))) == 4


def test_what_goes_wrong_is_told_once_and_raises_nothing(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    session = TelemetrySession(clock, Path("/dev/null/metrics"), environ={})

    with caplog.at_level(logging.WARNING):
        session.start(entries(STORY))
        session.flush()
        session.flush()
        session.close()

    assert len(caplog.records) == 1
    assert "/dev/null" in caplog.text


def test_rebuilt_files_have_a_line_for_each_minute_with_entries_and_take_the_place_of_the_old(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "2020-01-01.jsonl.gz").write_bytes(b"old")
    (tmp_path / "2026-01-02.jsonl").write_bytes(b"old")
    anew = Rebuild(datetime(2026, 1, 2, tzinfo=UTC), tmp_path, Redactor())

    for entry in entries(STORY):
        anew.take_in(entry)
    anew.finish()

    assert [place.name for place in tmp_path.iterdir()] == ["2026-01-02.jsonl"]
    written = lines(tmp_path / "2026-01-02.jsonl")
    assert [line["taken"][11:] for line in written] == ["00:00:00Z", "03:04:28Z", "03:05:29Z"]
    assert "crew.run.duration_ms" in names(written[-1])
