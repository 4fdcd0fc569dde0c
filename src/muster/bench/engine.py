"""What Muster adds to running commands: time, CPU and bytes per task, beside a bare asyncio loop."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from muster.executors.local import LocalExecutor
from muster.model.plan import Changes, Plan, Task
from muster.model.record import Record
from muster.model.running.state import replace
from muster.process.git import Git
from muster.stores.sqlite.store import SqliteStore
from muster.testing import demo_project
from muster.wiring.driving import drive
from muster.wiring.kit import open_project
from muster.wiring.starting import start_run
from muster.workspaces.status import STATUS

# One worktree takes from 5 to 60 ms, as the disk likes.
_WORKTREES = 9


class Figures(Record, frozen=True):
    """One measured run: per-task figures in milliseconds and KiB.

    ``plain_ms`` is the bare loop plus what plain git takes for one worktree per task, made, looked at and removed.
    """

    tasks: int
    parallel: int
    kind: str
    failed: int
    wall_ms: float
    bare_ms: float
    spawn_ms: float
    git_ms: float
    git_calls: float
    store_ms: float
    rest_ms: float
    own_cpu_ms: float
    child_cpu_ms: float
    own_kib: float
    all_kib: float
    limit_ms: float
    plain_ms: float


class _Meter:
    """How long the calls of a method took together, and how many there were."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self.names: Counter[str] = Counter()

    def reset(self) -> None:
        self.seconds, self.calls = 0.0, 0
        self.names.clear()


@contextmanager
def _metered(owner: type, name: str) -> Iterator[_Meter]:
    """Measure a coroutine method of a class while the block runs."""
    meter, method = _Meter(), getattr(owner, name)

    async def timed(*args: Any, **kwargs: Any) -> Any:
        meter.calls += 1
        meter.names[next((arg for arg in args if isinstance(arg, str)), "")] += 1
        start = time.perf_counter()
        try:
            return await method(*args, **kwargs)
        finally:
            meter.seconds += time.perf_counter() - start

    setattr(owner, name, timed)
    try:
        yield meter
    finally:
        setattr(owner, name, method)


async def measure(tasks: int, parallel: int, kind: str) -> Figures:
    """Run ``tasks`` commands that do nothing (kinds none and any) or write a file (write), and take the figures."""
    command = "true" if kind != "write" else 'echo x > "file-$MUSTER_TASK"'
    with tempfile.TemporaryDirectory(prefix="muster-bench-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        await repository(folder)
        bare_s = await _bare(folder, tasks, parallel, ["sh", "-c", command])
        look_s = await _bare(folder, tasks, parallel, ["git", *STATUS]) / tasks
        add_s, remove_s = await _worktree(folder)
        figures = await _measured(folder, tasks, parallel, kind, command, bare_s, look_s, add_s)
        plain_ms = figures.bare_ms + (look_s + add_s + remove_s) * 1000
        return replace(figures, plain_ms=plain_ms)


async def _measured(
    folder: Path, tasks: int, parallel: int, kind: str, command: str, bare_s: float, look_s: float, add_s: float
) -> Figures:
    changes = {"any": Changes.ANY, "none": Changes.NONE, "write": Changes.REQUIRED}[kind]
    plan = Plan(
        slug="bench",
        tasks=tuple(Task(id=f"T{number}", run=command, changes=changes) for number in range(1, tasks + 1)),
    )
    with (
        _metered(LocalExecutor, "run") as spawn,
        _metered(Git, "__call__") as git,
        _metered(SqliteStore, "append") as store,
    ):
        flags = {"--gates": ("run.gates", "open"), "--max-parallel": ("run.max_parallel", parallel)}
        async with open_project(folder, flags) as kit:
            journal = await start_run(kit, plan)
            for meter in (spawn, git, store):
                meter.reset()
            cpu, child, own, written = own_cpu(), cpu_of_children(), _written_by_threads(), _written()
            start = time.perf_counter()
            state = await drive(kit, journal, None)
            wall = time.perf_counter() - start
            cpu, child = own_cpu() - cpu, cpu_of_children() - child
            own, written = _written_by_threads() - own, _written() - written
    failed = sum(1 for entry in state.tasks.values() if entry.status.value != "done")
    each = 1000 / tasks
    # What as many git processes take without us: looks in a bare loop, worktrees one after the other, as git wants it.
    adds = git.names["read-tree"]
    git_ms = ((git.calls - adds) * look_s + adds * add_s) * each
    # Tasks run at the same time, so a part's share of the wall time is its sum over the slots.
    spawn_ms, store_ms = spawn.seconds * each / parallel, store.seconds * each / parallel
    return Figures(
        tasks=tasks,
        parallel=parallel,
        kind=kind,
        failed=failed,
        wall_ms=wall * each,
        bare_ms=bare_s * each,
        spawn_ms=spawn_ms,
        git_ms=git_ms,
        git_calls=git.calls / tasks,
        store_ms=store_ms,
        rest_ms=max(0.0, wall * each - spawn_ms - git_ms - store_ms),
        own_cpu_ms=cpu * each,
        child_cpu_ms=child * each,
        own_kib=own / 1024 / tasks,
        all_kib=written / 1024 / tasks,
        limit_ms=1.5 * bare_s * each + git_ms,
        plain_ms=0.0,
    )


async def _bare(folder: Path, tasks: int, parallel: int, command: Sequence[str]) -> float:
    """The same processes started by a loop that does nothing else; seconds."""
    slots = asyncio.Semaphore(parallel)
    git = command[0] == "git"
    place = folder if git else folder / "bare"
    place.mkdir(exist_ok=True)

    async def one(number: int) -> None:
        async with slots:
            env = {**os.environ, "MUSTER_TASK": f"T{number}"}
            # The bare alternative is what this file is about.
            start = asyncio.create_subprocess_exec  # noqa: TID251
            process = await start(*command, cwd=place, env=env, stdout=asyncio.subprocess.DEVNULL)
            await process.wait()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(one(number))
    seconds = time.perf_counter() - begun
    if not git:
        shutil.rmtree(place)
    return seconds


async def _worktree(folder: Path) -> tuple[float, float]:
    """Worktrees of the repository, made and removed by plain git; median seconds for making and for removing one."""
    place = folder / "bare"
    adds, removes = [], []
    for _ in range(_WORKTREES):
        begun = time.perf_counter()
        await demo_project.git(folder, "worktree", "add", "--quiet", "--detach", str(place))
        made = time.perf_counter()
        await demo_project.git(folder, "worktree", "remove", str(place))
        adds.append(made - begun)
        removes.append(time.perf_counter() - made)
    return median(adds), median(removes)


async def repository(folder: Path) -> None:
    """Make a repository of 200 files with one commit."""
    for number in range(200):
        place = folder / f"src/package{number % 10}/module{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"VALUE = {number}\n" * 20, encoding="utf-8")
    await demo_project.begin(folder, "Start")


def own_cpu() -> float:
    """Processor seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_of_children() -> float:
    """Processor seconds of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _written() -> int:
    """Bytes this process and its ended children caused to be written to disks; 0 where the system does not tell."""
    return _write_bytes(Path("/proc/self/io"))


def _written_by_threads() -> int:
    """The part of `_written` that living threads of this process wrote: journal, attempt folders, notes."""
    return sum(_write_bytes(thread / "io") for thread in Path("/proc/self/task").glob("*"))


def _write_bytes(place: Path) -> int:
    try:
        lines = place.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes:")), 0)
