"""Gates: every interleaving of a small run, for each autonomy, with stops and deaths of the owner at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import pytest

from muster.model.attempts import Cause
from muster.model.findings import Verdict
from muster.model.gates import Autonomy, Boundary, Stage
from muster.model.journal import events as ev
from muster.model.plan import JOIN, Changes, OnFailure, Task
from muster.model.policy import RunPolicy, Schedule
from muster.model.running.state import TaskStatus, replace
from tests.simulation.invariants import place
from tests.simulation.outcomes import Menu
from tests.simulation.simulation import BASE, Past, World, begin, moves, play, restarts

pytestmark = pytest.mark.slow

MAIN = place(Boundary.MAIN_MERGE, "main")
PLAN = place(Boundary.PLAN_READY, "plan")

CHAIN = (
    Task(id="t1", run="x"),
    Task(id="t2", run="x", needs=("t1",), on_failure=OnFailure.CONTINUE),
)
PAIR = (
    Task(id="t1", run="x", changes=Changes.ANY, verify=("v",), on_failure=OnFailure.SKIP_DEPENDENTS),
    Task(id="t2", run="x", on_failure=OnFailure.CONTINUE),
)
RETRIED = (
    Task(id="t1", run="x", attempts=2),
    Task(id="t2", run="x", needs=("t1",), changes=Changes.NONE),
)
FORK = (
    Task(id="t1", run="x"),
    Task(id="t2", run="x", on_failure=OnFailure.CONTINUE),
    Task(id="t3", run="x", needs=("t1",), changes=Changes.NONE),
)

# One death of the owner and one stop, wherever they hurt, and one yes after a failure.
HARSH = Menu(
    audit=(Cause.AUDIT,),
    merge=(Cause.CONFLICT,),
    main_blocks=True,
    grants=1,
    stops_run=True,
    stops_task=True,
    restarts=1,
)
# Steps that were cancelled and come to their end all the same, in any order.
LATE = Menu(audit=(Cause.AUDIT,), verify_fails=True, grants=1, stops_run=True, late=True)
# A process that does not exist, a tool that is not allowed: nothing that people are asked about.
RETRYING = Menu(work=(Cause.AUTH,), audit=(Cause.EMPTY_RESULT,), grants=1, stops_run=True, restarts=1)
# Orders of starting and merging only.
QUICK = Menu(audit=(Cause.AUDIT,), grants=1, stops_run=True)

RUNS = {
    "chain": (CHAIN, HARSH, Schedule.WAVES, 1500),
    "pair": (PAIR, LATE, Schedule.WAVES, 800),
    "eager": (FORK, QUICK, Schedule.EAGER, 400),
    "retried": (RETRIED, RETRYING, Schedule.WAVES, 400),
}

# The chain has every move that the others have but for their schedule and their retries; those take their time.
EACH_RUN = [pytest.param(name, marks=pytest.mark.campaign) if name in ("pair", "eager") else name for name in RUNS]

Check = Callable[[World, Past, ev.Event], None]


class Explored(NamedTuple):
    """How many worlds a run can come to, how it can end, and at which boundaries it asked."""

    worlds: int
    ends: Counter[str]
    asked: set[str]


def explore(world: World, check: Check) -> Explored:
    """Play every move in every world once; ``check`` sees each entry with what was proven before it."""
    known, front = {key(world)}, [world]
    ends, asked = Counter[str](), set[str]()
    while front:
        here = front.pop()
        asked.update(here.past.seen.asked.values())
        following = list(moves(here))
        if not following:
            ends[here.state.state] += 1
        for after in (play(here, move) for move in following):
            for one in (after, *restarts(after)):
                for past in one.trail:
                    assert past.newest is not None
                    check(one, past, past.newest[0].event)
                mark = key(one)
                if mark not in known:
                    known.add(mark)
                    front.append(one)
    return Explored(len(known), ends, asked)


def key(world: World) -> bytes:
    """What the future of a world depends on, and what was proven on the way to it."""
    seen = world.past.seen
    parts = (
        replace(world.state, seq=0, last_at=None),
        replace(seen, approved=frozenset(), denied=frozenset()),
        sorted(seen.approved),
        sorted(seen.denied),
        world.flights,
        (world.integration, world.main, world.now, world.heard, world.menu.restarts),
    )
    return blake2b(msgspec.msgpack.encode(parts), digest_size=16).digest()


def all_of(name: str, autonomy: Autonomy, check: Check) -> Explored:
    tasks, menu, schedule, least = RUNS[name]
    policy = RunPolicy(autonomy=autonomy, schedule=schedule, max_parallel=2)

    explored = explore(begin(tasks, policy, menu), check)

    print(f"{name}, {autonomy.value}: {explored}")
    assert explored.worlds > least
    assert {"complete", "cancelled"} <= set(explored.ends)
    return explored


def main_moves_only_when_allowed(world: World, past: Past, event: ev.Event) -> None:
    """The promise of all promises; what allowed it is read from the entries, not from the fold."""
    moves_main = isinstance(event, ev.MainMergeStarted | ev.MainMerged)
    if moves_main or world.main != BASE:
        assert past.seen.main_allowed
        assert MAIN not in past.seen.denied
    if isinstance(event, ev.AutonomyTransition) and event.after is Stage.MAIN_MERGED:
        assert past.state.main_commit == world.main
    if isinstance(event, ev.RunStateChanged) and event.state in ("cancelled", "error"):
        assert world.main == BASE


@pytest.mark.parametrize("name", RUNS)
def test_an_open_run_asks_nothing_and_records_what_allowed_the_merge(name: str) -> None:
    def check(world: World, past: Past, event: ev.Event) -> None:
        main_moves_only_when_allowed(world, past, event)
        assert not isinstance(event, ev.GateAsked)
        if isinstance(event, ev.GatePassed):
            assert (event.boundary, event.by) == (Boundary.MAIN_MERGE, "autonomy open")

    assert all_of(name, Autonomy.OPEN, check).asked == set()


@pytest.mark.parametrize("name", EACH_RUN)
def test_an_adaptive_run_asks_about_failed_work_and_the_merge_and_nothing_else(name: str) -> None:
    def check(world: World, past: Past, event: ev.Event) -> None:
        main_moves_only_when_allowed(world, past, event)
        a_person_decided(past, event)
        assert not isinstance(event, ev.GatePassed)
        if isinstance(event, ev.GateAsked):
            assert event.boundary in (Boundary.MANIFEST_AUDIT_FAILED, Boundary.MAIN_MERGE)

    asked = all_of(name, Autonomy.ADAPTIVE, check).asked

    failed = {place(Boundary.MANIFEST_AUDIT_FAILED, task.id) for task in RUNS[name][0][:1]}
    assert {MAIN, *failed} <= asked


@pytest.mark.parametrize("name", EACH_RUN)
def test_a_closed_run_passes_no_boundary_without_a_yes(name: str) -> None:
    def check(world: World, past: Past, event: ev.Event) -> None:
        main_moves_only_when_allowed(world, past, event)
        a_person_decided(past, event)
        assert not isinstance(event, ev.GatePassed)
        if isinstance(event, ev.AutonomyTransition) and event.after is Stage.APPROVED:
            assert PLAN in past.seen.approved
        if isinstance(event, ev.TaskQueued) and event.wave > 1 and past.state.policy.schedule is Schedule.WAVES:
            assert place(Boundary.WAVE_DONE, f"wave {event.wave - 1}") in past.seen.approved

    asked = all_of(name, Autonomy.CLOSED, check).asked

    assert {PLAN, MAIN} <= asked
    assert (place(Boundary.WAVE_DONE, "wave 1") in asked) == (name in ("chain", "retried"))


def a_person_decided(past: Past, event: ev.Event) -> None:
    """Work that fails its audit is given up only after a no, and main moves only after a yes."""
    if isinstance(event, ev.MainMergeStarted):
        assert MAIN in past.seen.approved
    if isinstance(event, ev.DeadLetterAdded) and event.reason != "manual" and not past.state.stopping:
        assert event.failure is not None
        gate = place(Boundary.MANIFEST_AUDIT_FAILED, event.task)
        asked_about = event.failure.cause is not Cause.AUTH
        assert (gate in past.seen.denied) == asked_about


ONE = (Task(id="t1", run="x", on_failure=OnFailure.CONTINUE),)
VERDICTS = (Verdict.ALLOW, Verdict.WARN, Verdict.BLOCK, Verdict.INCONCLUSIVE)
JUDGED = Menu(verdicts=VERDICTS, stops_run=True, restarts=1, late=True)


@pytest.mark.parametrize("autonomy", Autonomy)
@pytest.mark.parametrize("fixer", ["", "scripted"])
def test_a_reviewed_run_moves_main_only_after_a_verdict_on_exactly_that_work(autonomy: Autonomy, fixer: str) -> None:
    sent_back, ended_blocked = set[int](), set[str]()

    def check(world: World, past: Past, event: ev.Event) -> None:
        main_moves_only_when_allowed(world, past, event)
        if isinstance(event, ev.ReviewFinished) and [each.type for each in past.entries].count(event.type) == 1:
            assert set(past.state.phases) == {"review"}
        if isinstance(event, ev.MainMergeStarted | ev.TaskPlanned | ev.GateAsked):
            assert "review" not in past.state.phases, "its phase ends before anything follows from a review"
        if isinstance(event, ev.TaskPlanned) and past.state.reviewed is not None:
            assert past.state.reviewed.verdict == "BLOCK"
            sent_back.add(past.state.reviewed.round)
        if isinstance(event, ev.GateAsked) and event.boundary is Boundary.REVIEW_VERDICT:
            assert autonomy is not Autonomy.OPEN
        if isinstance(event, ev.RunStateChanged) and event.state == "error" and past.state.reviewed is not None:
            ended_blocked.add(past.state.reviewed.verdict)

    policy = RunPolicy(autonomy=autonomy, max_parallel=2, review=True, review_rounds=2, fixer=fixer)
    explored = explore(begin(ONE, policy, JUDGED), check)

    print(f"{autonomy.value}, fixer {fixer!r}: {explored}")
    assert {"complete", "cancelled"} <= set(explored.ends)
    assert sent_back == ({1} if fixer else set()), "the last round sends nothing back"
    assert ended_blocked == ({"BLOCK", "INCONCLUSIVE"} if autonomy is Autonomy.OPEN else set())
    asked = {where for where in explored.asked if where.startswith(Boundary.REVIEW_VERDICT.value)}
    assert bool(asked) == (autonomy is not Autonomy.OPEN)


PLANNED = (
    Task(id="plan", agent="p", phase="plan", produces="plan", attempts=2),
    Task(id="blockers", phase="plan", milestone="plan-critic-blocker", needs=("plan",), reads=("plan",)),
    Task(id="ready", phase="plan", milestone="plan-ready", needs=("blockers",)),
    Task(id="all", milestone=JOIN, needs=("ready",), reads=("plan",)),
)
BLOCKERS, READY = place(Boundary.PLAN_CRITIC_BLOCKER, "blockers"), place(Boundary.PLAN_READY, "ready")


@pytest.mark.parametrize("autonomy", Autonomy)
def test_what_an_agent_has_planned_starts_only_behind_the_gates_of_its_plan(autonomy: Autonomy) -> None:
    def check(world: World, past: Past, event: ev.Event) -> None:
        main_moves_only_when_allowed(world, past, event)
        if isinstance(event, ev.AttemptStarted) and event.task == "new":
            objected = bool(past.state.objections("plan"))
            assert BLOCKERS in past.seen.approved or not objected or autonomy is Autonomy.OPEN
            assert READY in past.seen.approved or autonomy is not Autonomy.CLOSED
            assert not {BLOCKERS, READY} & past.seen.denied
        if isinstance(event, ev.TaskSucceeded) and event.task == "all":
            assert past.state.tasks["new"].status is TaskStatus.DONE

    schedule = Schedule.EAGER if autonomy is Autonomy.ADAPTIVE else Schedule.WAVES
    # Either stops of single tasks or deaths of the owner, since both together make too many worlds.
    stops = autonomy is Autonomy.OPEN
    menu = Menu(stops_run=True, stops_task=stops, grants=0, restarts=0 if stops else 1)
    explored = explore(begin(PLANNED, RunPolicy(autonomy=autonomy, schedule=schedule), menu, workflow="w"), check)

    print(f"planned, {autonomy.value}, {schedule.value}: {explored}")
    assert {"complete", "cancelled", "error"} <= set(explored.ends)
    wanted = {Autonomy.OPEN: set(), Autonomy.ADAPTIVE: {BLOCKERS}, Autonomy.CLOSED: {BLOCKERS, READY}}
    assert {BLOCKERS, READY} & explored.asked == wanted[autonomy]
