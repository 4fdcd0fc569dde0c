"""A secret of the operator's environment, in every text that a run keeps: nothing that is shown or sent has it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator

import pytest

from tests.integration.web_site import Site as Web
from tests.journeys.site import Site, adds, task

CANARY = "canary-7f3a9b2c4d-hunter2"


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


def test_no_output_of_any_kind_has_a_secret(site: Site, web: Web) -> None:
    site.env["SERVICE_TOKEN"] = CANARY
    textfiles = site.root.resolve() / "textfiles"
    textfiles.mkdir()
    site.env |= {"MUSTER_TEXTFILE_DIR": str(textfiles), "MUSTER_OTEL_ENDPOINT": f"http://127.0.0.1:{web.port}"}
    site.env |= {"MUSTER_OTEL_ALLOW_PRIVATE": "1", "MUSTER_EXPORT_MODE": "textfile,otlp-json,otlp"}
    site.env |= {"MUSTER_NOTIFY_WEBHOOK": f"http://127.0.0.1:{web.port}/hook", "MUSTER_NOTIFY_JSONL": "true"}
    site.env["MUSTER_NOTIFY_WEBHOOK_ALLOW_PRIVATE"] = "true"
    site.env["MUSTER_AUDIT_PATH"] = str(site.home / "mirror.jsonl")
    script = json.dumps([{"say": f"It is {CANARY}."}, {"write": {"path": f"{CANARY}.txt", "text": CANARY}}])
    fields = {"id": "ask", "agent": f"scripted:{CANARY}", "prompt": script, "expected_paths": ["*"]}
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    agent = f"## Ask {CANARY}\n\n```yaml\n{lines}\n```\n"
    says = f"echo {CANARY}; echo {CANARY} >&2; echo {CANARY} > told.txt; exit 3"
    refused = adds("refused", verify=[f"test {CANARY} = x"], attempts=1)
    site.plan(task("says", says, title=f"It knows {CANARY}"), refused, agent)
    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", "--session", f"s-{CANARY}")
    assert ran.code == 1

    out = {
        " ".join(command): site.muster(*command)
        for command in (
            *(("metrics", "crew.*", "--format", form) for form in ("table", "json", "prom")),
            *(("summary",), ("summary", "--json", "-"), ("summary", "--anonymize")),
            *(("baseline", "save", "b"), ("baseline", "show", "b")),
            *(("drift", "b"), ("diagnose", "--out", "d.json"), ("bundle", "export", "--out", "b.zip")),
            *(("bundle", "open", "b.zip", "--to", "opened"), ("audit", "export")),
            *(("cost", "--by", by) for by in ("agent", "model")),
            ("metrics", "rebuild"),
        )
    }

    assert {name: done.err for name, done in out.items() if done.code not in (0, 9)} == {}
    with zipfile.ZipFile(site.top / "b.zip") as archive:
        kept = {f"b.zip {name}": archive.read(name) for name in archive.namelist()}
    state = site.top / ".muster/state"
    folders = [state / "metrics", state / "baselines", state / "drift", site.top / "opened", textfiles]
    places = [site.top / "d.json", *site.home.glob("mirror-*"), state / "notifications.jsonl"]
    for place in (*places, *(each for folder in folders for each in folder.rglob("*") if each.is_file())):
        kept[str(place.relative_to(site.root))] = place.read_bytes()
    kept |= {f"posted {at} {path}": body for at, (path, _, body) in enumerate(web.got)}
    kept |= {name: (done.out + done.err).encode() for name, done in out.items()}
    assert len(kept) > 45
    told = [name for name, data in kept.items() if CANARY.encode() in data or CANARY in name]
    assert "\n".join(told) == ""
    assert CANARY in str(site.events()), "or there was nothing to take out"
