"""What the world does during a run: clocks jump, folders vanish, branches move, plans make no sense."""

from __future__ import annotations

import random
import shutil

import pytest

from tests.campaign.support import FAULTY, OPEN, announced, statuses, traced
from tests.journeys.site import Site, adds, task


def random_plan(seed: int, size: int) -> list[str]:
    """Tasks that need some of those before them, a few of which fail."""
    chance = random.Random(seed)
    tasks = []
    for number in range(size):
        needs = [f"T{other}" for other in range(number) if chance.random() < 0.3]
        fails = chance.random() < 0.15
        run = "exit 1" if fails else f"echo {number} > {number}.txt"
        on_failure = chance.choice(["stop", "skip-dependents", "continue"])
        tasks.append(task(f"T{number}", run, needs=needs, on_failure=on_failure, attempts=chance.randint(1, 2)))
    chance.shuffle(tasks)
    return tasks


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(3, 30))])
def test_mode_19_a_random_plan_always_ends_and_a_circle_is_refused(site: Site, seed: int) -> None:
    """Plans of random shape, in which tasks fail at random; and one whose tasks need each other in a circle.

    Work: each task is done, failed or skipped, none is left in between; only what was done is merged.
    Processes: none is left when the run ends.
    Money: the circle costs nothing.
    """
    site.plan(task("a", "true", needs=["c"]), task("b", "true", needs=["a"]), task("c", "true", needs=["b"]))
    refused = site.muster(*OPEN, "--json")
    site.plan(*random_plan(seed, 9))

    ran = site.muster(*OPEN, "--schedule", random.Random(seed).choice(["waves", "eager"]))

    assert refused.code == 2
    assert "circle" in refused.out or "cycle" in refused.out, refused
    assert ran.code in (0, 1), ran
    assert site.show()["status"] in ("complete", "failed", "error")
    assert set(statuses(site).values()) <= {"done", "failed", "skipped", "cancelled", "queued"}


@pytest.mark.parametrize("seconds", [-86_400, -1, 3_600, 86_400 * 40])
def test_mode_26_a_clock_that_jumps_costs_no_work(site: Site, seconds: int) -> None:
    """The wall clock goes a day back, an hour on, or forty days on, in the middle of a run.

    Work: all of it is merged; the journal keeps its order.
    Processes: no deadline fires because of the jump: durations come from a clock that cannot be set.
    Money: no attempt is repeated.
    """
    site.plan(
        adds("first"),
        traced(site, "flaky", 'test "$MUSTER_ATTEMPT_NUMBER" = 2 && echo x > flaky.txt', attempts=2, needs=["first"]),
        adds("last", needs=["flaky"]),
    )

    ran = site.start(f"clock@7:{seconds}", *OPEN, program=FAULTY).end()

    assert ran.code == 0, ran
    assert announced(site) == ["first:1", "flaky:1", "flaky:2", "last:1"]
    assert site.tree() == ["a.txt", "b.txt", "first.txt", "flaky.txt", "last.txt"]


def test_mode_27_what_vanishes_or_moves_under_a_run_is_noticed_and_never_overwritten(site: Site) -> None:
    """During the run its worktree is removed, its integration ref is moved, and the user commits to main.

    Work: the user's commit stays; what cannot be merged any more is said, with the command that helps.
    Processes: all end.
    Money: the task without a folder is charged once and tried again if its attempts allow.
    """
    meeting, again = site.meeting(), site.meeting("again")
    first = f'if [ "$MUSTER_ATTEMPT_NUMBER" = 1 ]; then {meeting.command}; else {again.command}; fi'
    site.plan(traced(site, "slow", f"{first}; echo x > slow.txt", attempts=2))
    running = site.start(*OPEN)
    pid = meeting.reached()
    mine = site.commit("The user goes on", {"users.txt": "mine\n"})
    shutil.rmtree(site.git("worktree", "list", "--porcelain").split("worktree ")[2].splitlines()[0])
    meeting.leave()
    again.reached()
    again.leave()

    ended = running.end()

    assert pid
    assert ended.code == 0, ended
    assert statuses(site) == {"slow": "done"}
    assert site.tree() == ["a.txt", "b.txt", "slow.txt", "users.txt"]
    assert site.git("merge-base", "--is-ancestor", mine, "main") == ""


def test_mode_27_an_integration_ref_that_somebody_moved_stops_the_run_and_is_left_where_it_is(site: Site) -> None:
    """The user moves the ref that the run collects its work on.

    Work: the ref is not forced back; the tasks' own refs still have the work.
    Processes: all end.
    Money: nothing is tried again against a moved ref.
    """
    meeting = site.meeting()
    site.plan(adds("first"), task("slow", f"{meeting.command}; echo x > slow.txt", needs=["first"]))
    running = site.start(*OPEN)
    meeting.reached()
    (run,) = [one["id"] if "id" in one else one["run"] for one in site.muster("ls", "--json").json["runs"]]
    site.git("update-ref", f"refs/muster/{run}/integration", "main")
    meeting.leave()

    ended = running.end()

    assert ended.code == 6, ended
    assert site.head(f"refs/muster/{run}/integration") == site.head("main")
    assert site.git("for-each-ref", f"refs/muster/{run}/slow/")
    assert site.tree() == ["a.txt", "b.txt"]
