"""Who may write to a run, and what happens to those who may no longer."""

from __future__ import annotations

import os
import signal
from collections import Counter

import psutil

from tests.campaign.support import FAULTY, OPEN, announced, sql, starts, statuses, traced
from tests.journeys.site import Site, adds, task


def test_mode_03_a_suspended_owner_that_was_replaced_cannot_write(site: Site) -> None:
    """The owner is suspended in the middle of an append until its lease is over and another process took the run.

    Work: the second owner finishes it; what the first one still wants to write is refused.
    Processes: the first one ends by itself as soon as it wakes up.
    Money: no attempt is started twice.
    """
    site.plan(traced(site, "first", "echo 1 > 1.txt"), traced(site, "second", "echo 2 > 2.txt", needs=["first"]))
    suspended = site.start("stop@6", *OPEN, program=FAULTY)
    process = psutil.Process(suspended.pid)
    while process.status() != psutil.STATUS_STOPPED:
        os.sched_yield()
    for child in process.children(recursive=True):
        child.wait(timeout=30)

    early = site.muster("continue", "--yes")
    # A minute later, by the clock of somebody else, the lease is over.
    late = site.start("clock@0:60", "continue", "--yes", program=FAULTY).end()
    suspended.send(signal.SIGCONT)
    woken = suspended.end()

    assert (early.code, late.code, woken.code) == (75, 0, 75), (early, late, woken)
    assert "another" in woken.err.lower() or "lease" in woken.err.lower(), woken
    assert Counter(starts(site)).most_common(1)[0][1] == 1
    assert Counter(announced(site)).most_common(1)[0][1] == 1
    assert set(statuses(site).values()) == {"done"}
    assert site.muster("doctor").code in (0, 8)


def test_mode_04_the_lock_of_a_dead_owner_binds_nobody_even_when_its_pid_lives_again(site: Site) -> None:
    """The owner dies right after taking the run; its pid is later that of a stranger.

    Work: the next `muster continue` takes the run over and finishes it.
    Processes: the stranger is neither waited for nor signalled.
    Money: nothing was started by the dead owner.
    """
    site.plan(adds("x"))
    assert site.start("kill@2", *OPEN, program=FAULTY).process.wait(30) == -signal.SIGKILL
    stranger = site.start(program=("sleep", "600"))
    sql(site, "UPDATE leases SET lease = CAST(json_set(lease, '$.owner.pid', ?) AS BLOB)", stranger.pid)

    continued = site.muster("continue", "--yes")

    assert continued.code == 0, continued
    assert stranger.process.poll() is None
    stranger.kill()
    assert statuses(site) == {"x": "done"}


def test_mode_11_a_restart_beside_the_old_worker_makes_one_commit_of_its_work(site: Site) -> None:
    """The orchestrator is killed and continued while the task that it started still works.

    Work: the task is waited for and committed once.
    Processes: the old worker is adopted, not started again.
    Money: one start, one charge.
    """
    meeting = site.meeting()
    site.plan(traced(site, "slow", f"{meeting.command}; echo whole > slow.txt"))
    running = site.start(*OPEN)
    meeting.reached()
    running.kill()
    continued = site.start("continue", "--yes")
    site.wait_for("run.resumed")
    meeting.leave()

    assert continued.end().code == 0
    assert starts(site) == ["slow:1"]
    said = site.git("log", "--format=%B", "main")
    assert said.count("Muster-Task: slow") <= 2, said
    assert site.git("rev-list", "--count", "--no-merges", "main") == "2"


def test_mode_12_clients_come_and_go_without_harm_to_a_run(site: Site) -> None:
    """Watchers, askers and followers are killed, and terminals closed, while a run goes on.

    Work: the run finishes as if nobody had watched.
    Processes: the clients' are gone, the run's own go on until they are done.
    Money: nothing is started again.
    """
    meeting = site.meeting()
    site.plan(traced(site, "slow", f"{meeting.command}; echo whole > slow.txt"))
    running = site.start(*OPEN)
    meeting.reached()
    site.wait_for("task.attempt_started")

    follower = site.start("events", "--follow", "--jsonl")
    watcher = site.terminal("log", "@last", "slow", "-f")
    asker = site.start("events", "--follow")
    follower.process.stdout.readline()  # type: ignore[union-attr]
    follower.kill()
    asker.send(signal.SIGHUP)
    watcher.close()
    asker.process.wait(30)
    assert site.muster("ls").code == 0
    meeting.leave()

    assert running.end().code == 0
    assert starts(site) == ["slow:1"]
    assert site.tree() == ["a.txt", "b.txt", "slow.txt"]


def test_mode_22_two_repositories_and_their_clients_do_not_meet(site: Site) -> None:
    """The same plan runs in two repositories at once; one of them is stopped.

    Work: the stopped one is salvaged, the other one is merged.
    Processes: only those of the stopped run are ended.
    Money: each run has its own account.
    """
    other = Site.create(site.root / "other")
    here, there = site.meeting("here"), site.meeting("there")
    site.plan(task("slow", f"echo half > half.txt; {here.command}"))
    other.plan(task("slow", f"{there.command}; echo whole > slow.txt"))
    try:
        first, second = site.start(*OPEN), other.start(*OPEN)
        here.reached()
        alive = there.reached()

        assert site.muster("stop", "--now").code == 0

        assert first.end().code == 7
        assert psutil.pid_exists(alive)
        there.leave()
        assert second.end().code == 0
        assert other.tree() == ["a.txt", "b.txt", "slow.txt"]
        assert site.tree() == ["a.txt", "b.txt"]
        assert len(other.muster("ls", "--json").json["runs"]) == 1
        assert other.muster("salvage", "ls", "--json").json["salvage"] == []
    finally:
        other.close()
