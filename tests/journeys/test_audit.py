"""The journal outside of the journal: every entry as one line, once, whatever happens to whoever writes it."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

from tests.journeys.site import PATIENCE_S, Site, adds, task

MIRROR = ".muster/state/audit/{date}.jsonl"


def mirrored(folder: Path) -> list[Any]:
    """All lines, files in the order of their days."""
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_bytes().splitlines()]


def appeared(folder: Path) -> Path:
    """The one file of a folder, as soon as it has a line."""
    deadline = time.monotonic() + PATIENCE_S
    while not (lines := [file for file in folder.glob("*.jsonl") if file.stat().st_size]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return lines[0]


def exported(site: Site) -> list[Any]:
    return site.muster("audit", "export").lines


def test_every_entry_of_every_run_is_mirrored_once(site: Site) -> None:
    site.muster("init")
    site.plan(adds("one"), task("bad", "exit 3"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")  # before there is a mirror
    environ = {"MUSTER_AUDIT_PATH": MIRROR}
    site.muster("run", "--plan", "plan.md", "--gates", "open", env=environ)
    site.muster("undo", "@last")
    site.muster("run", "--plan", "plan.md", "--gates", "open", env=environ)

    (file,) = (site.top / ".muster/state/audit").iterdir()
    assert mirrored(file.parent) == exported(site)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_killed_orchestrator_leaves_a_mirror_that_its_successor_completes(site: Site) -> None:
    site.muster("init")
    site.env["MUSTER_AUDIT_PATH"] = "$HOME/audit/{project}.jsonl"
    meeting = site.meeting()
    site.plan(adds("one"), task("waits", meeting.command, needs=["one"], changes="none"))
    run = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    folder = site.home / "audit"
    file = appeared(folder)
    run.kill()
    # As a crash of the machine may leave it: the newest line torn, and the note how far it was older than the file.
    half = mirrored(folder)[: len(mirrored(folder)) // 2]
    (site.top / ".muster/state/audit.json").unlink()
    with file.open("ab") as torn:
        torn.write(b'{"pos":999999,"run":"half a li')
    meeting.leave()
    ran = site.muster("continue", "--yes")

    assert ran.code == 0, ran.err
    assert file.name.startswith(f"{site.top.name}-2")
    assert half
    assert mirrored(folder) == exported(site)


def test_a_mirror_whose_files_were_taken_away_goes_on_where_it_was(site: Site) -> None:
    site.muster("init")
    site.env["MUSTER_AUDIT_PATH"] = MIRROR
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    folder = site.top / ".muster/state/audit"
    taken = mirrored(folder)
    shutil.rmtree(folder)
    site.muster("undo", "@last")
    site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert [*taken, *mirrored(folder)] == exported(site)


def test_a_mirror_that_cannot_be_written_hurts_no_run(site: Site) -> None:
    site.muster("init")
    site.write({".muster/state/audit": "in the way"})
    site.plan(adds("one"))
    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", env={"MUSTER_AUDIT_PATH": MIRROR})

    assert ran.code == 0
    assert ran.err.count("Audit mirror: ") == 1


def test_a_wrong_place_for_the_mirror_is_told_before_anything_starts(site: Site) -> None:
    site.muster("init")
    site.plan(adds("one"))
    (site.top / "out").symlink_to(site.home)
    for path, words in (
        ("audit.log", "must end in .jsonl"),
        ("$NOT_SET/a.jsonl", "$NOT_SET is not set"),
        ("{day}.jsonl", "{date}"),
        ("out/a.jsonl", "out of the project"),
    ):
        ran = site.muster("run", "--plan", "plan.md", "--gates", "open", env={"MUSTER_AUDIT_PATH": path})
        assert (ran.code in (2, 4), words in ran.err) == (True, True), ran.err
    site.write({"muster.toml": '[audit]\npath = "~/a.jsonl"\n'})
    ran = site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert (ran.code, "muster trust" in ran.err) == (4, True)
    assert site.muster("ls", "--json").json["runs"] == []


def test_a_changed_entry_is_found_and_named(site: Site) -> None:
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    whole = site.muster("audit", "verify", "@last", "--json")
    with sqlite3.connect(site.top / ".muster/state/muster.db") as db:
        db.execute("UPDATE entries SET data = replace(data, 'start', 'stort') WHERE seq = 1")
    db.close()
    broken = site.muster("audit", "verify", "--json")

    assert (whole.code, whole.json["ok"]) == (0, True)
    assert (broken.code, broken.json["ok"]) == (9, False)
    assert broken.json["runs"][0]["broken_at"] == 1


def test_what_leaves_the_journal_has_no_secret(site: Site) -> None:
    secret = "canary-7f3a9b2c4d"
    site.env["SERVICE_TOKEN"] = secret
    site.env["MUSTER_AUDIT_PATH"] = str(site.home / "a.jsonl")
    site.plan(task("says", "exit 3", title=f"It knows {secret}"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")

    said = site.muster("audit", "export").out + site.muster("audit", "tail", "-n", "100").out
    (file,) = site.home.glob("a-*.jsonl")
    assert secret in str(site.events())
    assert secret not in said + file.read_text()
    assert (said + file.read_text()).count("It knows ***") == 3


def test_the_tail_goes_on_with_what_comes(site: Site) -> None:
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    following = site.start("audit", "tail", "-n", "2", "-f")
    assert following.process.stdout is not None
    first = [json.loads(following.process.stdout.readline()) for _ in range(2)]
    site.muster("undo", "@last")
    then = json.loads(following.process.stdout.readline())
    following.send(signal.SIGINT)

    assert following.end().code == 130
    assert [*first, then] == exported(site)[-3:]
    assert then["type"] == "main.undone"


def test_the_states_of_a_run_say_whose_it_is(site: Site) -> None:
    site.plan(adds("one"), task("bad", "exit 3"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    first = site.of("run.state")
    site.muster("continue", "@last")
    again = site.of("run.state")

    run = first[0]["run_id"]
    assert [(one["state"], one["session_id"], one["backend"]) for one in first] == [
        ("start", run, "command"),
        ("error", run, "command"),
    ]
    assert first[-1]["duration_ms"] > 0
    # What goes on with a run belongs to its session.
    assert {one["session_id"] for one in again} == {run}
    assert again[0]["run_id"] != run
