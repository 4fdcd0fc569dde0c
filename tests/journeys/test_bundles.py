"""A run as one file: taken out, proven, looked at and kept apart somewhere else."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.campaign.support import OPEN, played
from tests.journeys.site import Site, task

CANARY = "cn-51b07d44e2f89a63-canary"
EVIL = "<script>alert(1)</script>\"'><img src=http://x.example/a onerror=alert(2)>"


class Page(HTMLParser):
    """What a browser would see of a page, and what it would load or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A run with a priced agent, a failing attempt, and a text that is made to be a page's."""
    site = Site.create(tmp_path_factory.mktemp("bundles"), {"evil.txt": EVIL})
    site.plan(
        played("agent", "- usage: {input: 9, cost_usd: 0.5}\n- write: {path: x.txt, text: x}\n", title=EVIL),
        task("bad", f"cat evil.txt; echo token={CANARY} >&2; exit 3", attempts=1, on_failure="continue"),
        task("good", "echo g > g.txt", verify=["test -f g.txt"]),
    )
    assert site.muster(*OPEN, env={"MY_API_KEY": CANARY}).code == 1
    site.write({".muster/projects/journey/brief.md": f"# Brief\n\nDo it. api_key={CANARY}\n"})
    yield site
    site.close()


def exported(site: Site, name: str = "run.zip") -> Path:
    assert site.muster("bundle", "export", "--out", name).code == 0
    return site.top / name


def test_the_same_run_is_the_same_file_with_all_that_belongs_to_it(ran: Site) -> None:
    first, second = exported(ran), exported(ran, "again.zip")

    with zipfile.ZipFile(first) as archive:
        names = set(archive.namelist())
        contents = b"".join(archive.read(name) for name in names)
        times = {info.date_time for info in archive.infolist()}

    assert first.read_bytes() == second.read_bytes()
    # Times of the format are of two seconds, so that two files of a moment would be the same in any case.
    assert times == {(1980, 1, 1, 0, 0, 0)}
    assert names >= {
        *("manifest.json", "brief.md", "plan.md", "events.jsonl", "receipts.json", "costs.json", "report.md"),
        *("index.html", "diffs/run.patch", "diffs/good.1.patch", "transcripts/bad.1/stdout.log"),
    }
    assert CANARY.encode() not in contents
    assert ran.muster("bundle", "verify", "run.zip").code == 0


def test_the_page_needs_no_server_and_no_text_in_it_is_obeyed(ran: Site) -> None:
    exported(ran)
    opened = ran.muster("bundle", "open", "run.zip", "--to", "out", "--json").json

    page = Page(Path(opened["page"]).read_text())

    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "link", "iframe", "object", "base", "form"})
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert [link for link in links if not (Path(opened["folder"]) / str(link)).is_file()] == []
    assert not any(
        name in ("src", "srcset", "style") or name.startswith("on") for _, attrs in page.tags for name in attrs
    )
    assert EVIL in page.text
    assert "0.5000 usd" in page.text


def test_an_imported_run_is_replayed_and_counts_in_nothing(ran: Site, tmp_path: Path) -> None:
    file = exported(ran)
    other = Site.create(tmp_path / "other")

    taken = other.muster("bundle", "import", str(file), "--json").json
    again = other.muster("bundle", "import", str(file), "--json").json

    run = taken["imported"]["run"]
    assert (taken["known"], again["known"], taken["imported"]["tag"]) == (False, True, "replayed")
    assert [(one["run"], one["status"]) for one in other.muster("ls", "--json").json["runs"]] == [(run, "replayed")]
    assert "replayed" in other.muster("bundle", "open", run).out
    assert other.muster("cost", "--json").json["total"]["attempts"] == 0
    assert other.muster("continue", run).code == 2
    counted = other.muster("metrics", "crew.run.count", "--format", "json").json["metrics"][0]["series"]
    assert [one["value"] for one in counted if one["value"]] == []


def test_a_changed_bundle_is_not_taken(ran: Site) -> None:
    file = exported(ran)
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["events.jsonl"] = contents["events.jsonl"].replace(b'"exit_code":3', b'"exit_code":0')
    with zipfile.ZipFile(ran.top / "changed.zip", "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)

    verified = ran.muster("bundle", "verify", "changed.zip")

    assert verified.code == 6
    assert "events.jsonl is not what the manifest says" in verified.err
    assert ran.muster("bundle", "import", "changed.zip").code == 6
    assert not (ran.top / ".muster/state/imported").exists()


def test_a_report_of_a_run_has_everything_but_secrets(ran: Site) -> None:
    env = {"MY_API_KEY": CANARY, "MUSTER_PROFILE": "economy", "GREETING": "hello"}

    told = ran.muster("diagnose", "--out", "d.json", env=env)
    text = (ran.top / "d.json").read_text()
    summed = ran.muster("diagnose", "--read", "d.json")

    assert CANARY not in text + told.out
    found = json.loads(text)
    assert found["schemaVersion"] == 2
    assert found["manifest"]["status"] == "complete"
    assert [one["status"] for one in found["tasks"]] == ["done", "failed", "done"]
    assert [one["seq"] for one in found["events"]] == list(range(1, len(found["events"]) + 1))
    assert found["environment"]["MUSTER_PROFILE"] == "economy"
    assert "GREETING" not in found["environment"]
    assert {one["check"] for one in found["doctor"]} >= {"git", "store", "service", "exporters", "definitions"}
    assert {family["name"] for family in found["metricsSnapshot"]["families"]} >= {"crew.run.count"}
    assert found["run"] in summed.out
