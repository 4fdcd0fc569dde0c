"""What Muster adds to an agent's work: the same program with the same prompt, by hand and as a task of a run."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from muster.bench.engine import cpu_of_children, own_cpu, repository
from muster.executors.environment import inherited
from muster.model.errors import EnvironmentProblem
from muster.model.plan import Changes, Plan, Task
from muster.model.record import Record
from muster.ports import Agent, AttemptSpec
from muster.process import run
from muster.testing import demo_project
from muster.wiring.driving import drive
from muster.wiring.kit import open_project
from muster.wiring.parts import agent_of
from muster.wiring.starting import start_run

# What a task may cost beside the agent itself.
WALL_BUDGET_MS, CPU_BUDGET_MS = 150.0, 60.0
WRITES = '- write: {path: "made-{number}.txt", text: "made"}\n- say: done\n'


class Figures(Record, frozen=True):
    """Milliseconds per task: by hand, in a run, and what the run adds; ``failed`` counts tasks that were not done.

    By hand is always in one folder, as a person works; ``fresh`` is by hand in a new
    worktree each time, as a run does it: what a program does once for each folder is in it.
    ``beside`` is what the run took beside its attempts: a program that is slow at times is not in it.
    """

    agent: str
    tasks: int
    failed: int
    hand_wall_ms: float
    fresh_wall_ms: float
    run_wall_ms: float
    hand_cpu_ms: float
    fresh_cpu_ms: float
    run_cpu_ms: float
    added_wall_ms: float
    added_cpu_ms: float
    beside_wall_ms: float


async def measure(name: str, tasks: int, *, model: str = "", prompt: str = "") -> Figures:
    """Let the agent work ``tasks`` times by hand and as often in a run, one after the other.

    ``{number}`` in the prompt is another number each time. Half of the work by hand comes
    before the run and half after it, so that a machine that warms up favours neither.
    """
    folder = Path(tempfile.mkdtemp(prefix="muster-bench-"))
    words = prompt or WRITES
    try:
        await repository(folder)
        flags = {
            "--gates": ("run.gates", "open"),
            "--max-parallel": ("run.max_parallel", 1),
            "--schedule": ("run.schedule", "eager"),
        }
        async with open_project(folder, flags) as kit:
            able = agent_of(kit.resolved.settings.agents, name)
            spec = AttemptSpec(
                id="bench:T0:1",
                run="bench",
                task="T0",
                number=1,
                agent=name,
                workdir=folder,
                folder=folder / ".muster" / "bench",
                model=model,
                permission="full" if "full" in able.capabilities.permissions else "edit",
            )
            prompts = [words.replace("{number}", str(number)) for number in range(tasks)]
            hand, fresh, ours = _Spent(), _Spent(), _Spent()
            for prompt in prompts[: tasks // 2]:
                await _by_hand(able, spec, prompt, hand, fresh)
            chosen = f"{name}:{model}" if model else name
            plan = Plan(
                slug="bench",
                tasks=tuple(
                    Task(id=f"T{number}", agent=chosen, prompt=prompt, changes=Changes.ANY)
                    for number, prompt in enumerate(prompts)
                ),
            )
            journal = await start_run(kit, plan)
            with ours.counted():
                state = await drive(kit, journal, None)
            for prompt in prompts[tasks // 2 :]:
                await _by_hand(able, spec, prompt, hand, fresh)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    each = 1000 / tasks
    outcomes = [attempt.outcome for entry in state.tasks.values() for attempt in entry.attempts]
    attempts_s = sum(outcome.duration_ms for outcome in outcomes if outcome) / 1000
    return Figures(
        agent=name,
        tasks=tasks,
        failed=sum(1 for entry in state.tasks.values() if entry.status.value != "done"),
        hand_wall_ms=hand.wall_s * each,
        fresh_wall_ms=fresh.wall_s * each,
        run_wall_ms=ours.wall_s * each,
        hand_cpu_ms=hand.cpu_s * each,
        fresh_cpu_ms=fresh.cpu_s * each,
        run_cpu_ms=ours.cpu_s * each,
        added_wall_ms=(ours.wall_s - hand.wall_s) * each,
        added_cpu_ms=(ours.cpu_s - hand.cpu_s) * each,
        beside_wall_ms=(ours.wall_s - attempts_s) * each,
    )


class _Spent:
    """Wall time, and the processor time of this process and of all that it started."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what passes in the block."""
        wall_s, cpu_s = time.perf_counter(), own_cpu() + cpu_of_children()
        yield
        self.wall_s += time.perf_counter() - wall_s
        self.cpu_s += own_cpu() + cpu_of_children() - cpu_s


async def _by_hand(agent: Agent, spec: AttemptSpec, prompt: str, hand: _Spent, fresh: _Spent) -> None:
    """Let it work where it worked before, and then in a worktree that it has never seen."""
    repository = spec.workdir
    await _alone(agent, spec, prompt, hand)
    # So that a run may end on it.
    await demo_project.git(repository, "reset", "-q", "--hard")
    await demo_project.git(repository, "clean", "-fdq")
    worktree = repository / ".muster" / f"by-hand-{time.monotonic_ns()}"
    await demo_project.git(repository, "worktree", "add", "-q", "--detach", str(worktree))
    await _alone(agent, replace(spec, workdir=worktree), prompt, fresh)
    await demo_project.git(repository, "worktree", "remove", "--force", str(worktree))


async def _alone(agent: Agent, spec: AttemptSpec, prompt: str, spent: _Spent) -> None:
    """Start the program as the adapter says, with nothing around it."""
    launch = agent.launch(replace(spec, prompt=prompt, id=f"bench:{time.monotonic_ns()}:1"))
    for name, data in launch.files.items():
        place = spec.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    env = {**launch.defaults, **inherited(os.environ, launch.env_allow), **launch.env}
    with spent.counted():
        done = await run(launch.argv, cwd=spec.workdir, env=env, stdin=launch.stdin)
    if done.code:
        said = (done.stderr or done.stdout).decode(errors="replace")[-300:]
        raise EnvironmentProblem(f"{agent.name} ended with exit code {done.code} by hand: {said}")
