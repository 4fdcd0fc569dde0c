"""What was measured: shown from the journal, kept a line a minute, and never in the way of a run."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.journeys.site import Site, adds, task


def shown(site: Site, *args: str) -> dict[str, float]:
    """What is not zero, by name and labels' values."""
    found = {}
    for metric in site.muster("metrics", *args, "--format", "json").json["metrics"]:
        for series in metric["series"]:
            found[" ".join((metric["name"], *series["labels"].values()))] = series["value"]
    return {name: value for name, value in found.items() if value}


def test_a_run_can_be_looked_at_by_name_as_a_table_as_json_and_for_prometheus(site: Site) -> None:
    site.plan(adds("one"), adds("two"), task("bad", "exit 3"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    site.plan(adds("three"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert shown(site, "crew.task.count") == {"crew.task.count done": 3, "crew.task.count failed": 1}
    assert shown(site, "crew.task.count", "--run", "@last") == {"crew.task.count done": 1}
    assert re.search(r"crew\.task\.count +status=failed +1\b", site.muster("metrics", "crew.task.*").out)
    short = site.muster("metrics").out
    assert "status=failed" in short
    assert "status=skipped" not in short
    assert "status=skipped" in site.muster("metrics", "crew.*").out
    families = {f.name: f for f in text_string_to_metric_families(site.muster("metrics", "--format", "prom").out)}
    assert {s.labels["status"]: s.value for s in families["crew_task_count"].samples} == {
        "done": 3,
        "failed": 1,
        "cancelled": 0,
        "skipped": 0,
    }
    assert [s.value for s in families["crew_run_duration_ms"].samples if s.name.endswith("_count")] == [2]
    refused = site.muster("metrics", "crew.tsak.*")
    assert (refused.code, "crew.task.count" in refused.err) == (2, True)


def test_watching_shows_what_has_changed_until_it_is_interrupted(site: Site) -> None:
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    watching = site.start("metrics", "crew.task.count", "--run", "@last", "--format", "json", "--watch")
    assert watching.process.stdout is not None
    first = json.loads(watching.process.stdout.readline())
    site.muster("undo", "@last")
    second = json.loads(watching.process.stdout.readline())
    watching.send(signal.SIGINT)

    assert first["metrics"] == second["metrics"]
    assert first["taken"] < second["taken"]
    assert watching.end().code == 130


def test_watching_the_table_shows_what_the_last_minutes_were_like(site: Site) -> None:
    site.plan(adds("one"), adds("two"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    watching = site.start("metrics", "--watch")
    assert watching.process.stdout is not None

    lines = [""]
    while "others are 0" not in lines[-1]:
        lines.append(watching.process.stdout.readline().decode())
    watching.send(signal.SIGINT)

    assert any(re.search(r"crew\.task\.count +status=done +2 +0\.2/min$", line.strip()) for line in lines), lines
    assert any(re.search(r"crew\.task\.duration_ms .* █$", line.strip()) for line in lines), lines
    assert watching.end().code == 130


def test_the_files_of_a_run_say_the_same_as_the_journal_and_can_be_written_again(site: Site) -> None:
    site.plan(adds("one"), task("bad", "exit 3"))
    site.muster("run", "--plan", "plan.md", "--gates", "open")
    (place,) = (site.top / ".muster/state/metrics").iterdir()
    written = json.loads(place.read_bytes().splitlines()[-1])

    place.unlink()
    site.muster("metrics", "rebuild")

    assert place.stat().st_mode & 0o777 == 0o600
    again = json.loads(place.read_bytes().splitlines()[-1])
    assert again["families"] == written["families"]


def test_turned_off_nothing_is_kept_and_the_journal_is_the_same(site: Site, tmp_path: Path) -> None:
    other = Site.create(tmp_path / "off")
    plan = (adds("one"), adds("two", needs=["one"]), task("bad", "exit 3", needs=["two"], attempts=2))
    try:
        for place, environ in ((site, {}), (other, {"MUSTER_TELEMETRY_ENABLED": "false"})):
            place.plan(*plan)
            place.muster("run", "--plan", "plan.md", "--gates", "open", "--max-parallel", "1", env=environ)

        assert not (other.top / ".muster/state/metrics").exists()
        assert (site.top / ".muster/state/metrics").exists()
        assert timeless(other) == timeless(site)
    finally:
        other.close()


def test_a_run_does_not_care_when_nothing_can_be_kept(site: Site) -> None:
    site.muster("init")
    site.write({".muster/state/metrics": "in the way"})
    site.plan(adds("one"))

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert ran.code == 0
    assert ran.err.count("Telemetry: ") == 1
    assert shown(site, "crew.task.count") == {"crew.task.count done": 1}


def timeless(site: Site) -> list[str]:
    """The entries of a run without its settings and what differs between any two: ids, times, what they are in."""
    told = [(kind, data) for kind, data in site.events() if kind != "config.resolved"]
    text = "\n".join(f"{kind} {json.dumps(data, sort_keys=True)}" for kind, data in told)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    text = re.sub(r'"(\w+_ms)": \d+', r'"\1": 0', text)
    for pattern in ("[0-9a-hjkmnp-tv-z]{26}", "[0-9a-f]{40}", "[0-9a-f]{64}"):
        names: dict[str, str] = {}
        text = re.sub(
            rf"(?<![0-9a-z]){pattern}(?![0-9a-z])",
            lambda match, names=names: names.setdefault(match[0], f"<{len(names)}>"),
            text,
        )
    return text.splitlines()
