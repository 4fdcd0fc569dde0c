"""How runs went and whether they go worse, asked of the real journal and of files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.journeys.site import Site, adds, task


def log(place: Path, latencies: list[int], *, day: str = "2026-03-01", backend: str = "claude") -> Path:
    """Runs that were cancelled, as another program may have written them down."""
    lines: list[dict[str, Any]] = []
    for number, latency in enumerate(latencies):
        whose = {"run_id": f"{place.stem}-{number}", "channel": "http", "backend": backend, "timestamp": f"{day}T10:00"}
        lines += [
            {"type": "run.state", "state": "start", **whose},
            {"type": "run.cancel", "source": "api", "latency_ms": latency, **whose},
            {"type": "run.state", "state": "cancelled", **whose},
        ]
    place.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return place


def test_the_journal_its_export_and_its_mirror_say_the_same(site: Site) -> None:
    site.muster("init")
    site.env["MUSTER_AUDIT_PATH"] = ".muster/state/audit/all.jsonl"
    site.plan(adds("one"), task("bad", "exit 3"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    site.muster("audit", "export", "--out", str(site.root / "export.jsonl"))
    (mirror,) = (site.top / ".muster/state/audit").iterdir()
    by_store = site.muster("summary", "--json", "-")

    assert by_store.code == 0
    for file in (site.root / "export.jsonl", mirror):
        assert site.muster("summary", "--from", str(file), "--json", "-", cwd=site.root).out == by_store.out
    assert by_store.json["runs"]["errored"] == 1
    assert by_store.json["attempts"] == 2
    assert list(by_store.json["sessions"]) == [site.of("run.state")[0]["run_id"]]
    assert list(site.muster("summary", "--json", "-", "--anonymize").json["sessions"]) == ["session-1"]
    assert "| cli | 1 | 0 | 1 |" in site.muster("summary").out


def test_the_newest_day_with_a_cancel_is_chosen_and_files_are_written(site: Site) -> None:
    files = [log(site.root / "a.jsonl", [100]), log(site.root / "b.jsonl", [300, 300], day="2026-04-02")]
    sources = [part for file in files for part in ("--from", str(file))]
    asked = ["summary", *sources, "--auto-window", "cancel", "--md", "s.md", "--json", "s.json"]
    ran = site.muster(*asked, cwd=site.root)
    first = (site.root / "s.md").read_bytes(), (site.root / "s.json").read_bytes()
    site.muster(*asked, cwd=site.root)

    assert (ran.code, ran.out) == (0, "")
    assert json.loads(first[1])["cancel_latency_ms"]["n"] == 2
    assert json.loads(first[1])["since"] == "2026-04-02T00:00:00Z"
    assert ((site.root / "s.md").read_bytes(), (site.root / "s.json").read_bytes()) == first


def test_a_canary_that_stops_slower_is_seen(site: Site) -> None:
    site.muster("init")
    before = log(site.root / "before.jsonl", [100, 110, 120])
    good, bad = log(site.root / "good.jsonl", [105, 125, 90]), log(site.root / "bad.jsonl", [900, 910, 920])
    saved = site.muster("baseline", "save", "canary", "--from", str(before))
    fine = site.muster("drift", "canary", "--from", str(good))
    drifted = site.muster("drift", "canary", "--from", str(bad), "--json")
    allowed = site.muster("drift", "canary", "--from", str(bad), "--threshold", "p95_cancel=10", "-h")
    wide = ["--threshold", "p95_cancel=10", "--threshold", "p50_cancel=10"]

    assert (saved.code, fine.code, drifted.code, allowed.code) == (0, 0, 9, 0), fine.out
    verdicts = {one["metric"]: one["verdict"] for one in drifted.json["metrics"]}
    assert (verdicts["p95_cancel"], verdicts["cancel_rate"], verdicts["p50_run"]) == ("drift", "ok", "too-few")
    assert site.muster("drift", "canary", "--from", str(bad), *wide).code == 0
    assert site.muster("drift", "canary", "--from", str(good), "--max-age", "0s").code == 9
    assert site.muster("drift", "canary", "--from", str(good), "--backend", "claude").code == 0
    assert site.muster("drift", "canary", "--from", str(good), "--backend", "codex").code == 2
    names = [file.name for file in sorted((site.top / ".muster/state/drift/canary").iterdir())]
    assert [re.sub(r"\d{4}-\d\d-\d\d", "DATE", name) for name in names] == ["drift_DATE.json", "drift_DATE.md"]
    assert site.muster("baseline", "show", "canary", "--json").json["summary"]["cancel_latency_ms"]["n"] == 3


def test_baselines_of_everything_there_is_are_saved_and_what_came_before_is_not_drift(site: Site) -> None:
    site.plan(adds("one"), task("bad", "exit 3"))
    for _ in range(3):
        site.muster("run", "--plan", "plan.md", "--gates", "open")
    site.muster("baseline", "refresh")
    names = [one["name"] for one in site.muster("baseline", "list", "--json").json["baselines"]]
    nothing = site.muster("drift", "channel-cli", "--json")

    assert names == ["backend-command", "channel-cli"]
    assert nothing.code == 0
    assert {one["verdict"] for one in nothing.json["metrics"]} == {"too-few"}
    assert nothing.json["entries"] == len(site.muster("audit", "export").lines)


def test_what_is_asked_wrong_is_told_in_one_line(site: Site) -> None:
    site.muster("init")
    for args, words in (
        (["drift", "nothing"], "no baseline 'nothing'"),
        (["baseline", "save", "../x"], "no name of a baseline"),
        (["summary", "--since", "soon"], "--since"),
        (["summary", "--from", "absent.jsonl"], "absent.jsonl"),
        (["drift", "x", "--threshold", "speed=2"], "p95_cancel"),
    ):
        ran = site.muster(*args)
        assert (ran.code, words in ran.err) == (2, True), ran.err
    assert "muster baseline save NAME" in site.muster("drift").out
