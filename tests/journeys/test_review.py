"""A person asks for a verdict: in any repository, for other programs, and again after a finding was refuted."""

from __future__ import annotations

import json

import pytest

from tests.journeys.site import Site

CONFLICT = "def a():\n<<<<<<< HEAD\n    return 1\n=======\n    return 2\n>>>>>>> other\n"
CALM = "def a():\n    return 1\n"
BRIEF = """\
---
type: brief
slug: calm
---
# Calm

## Intent
Be calm.

## Goal
Calm code.

## Success Criteria
- It is calm, file: `src/app.py`
"""


def test_a_repository_that_never_heard_of_muster_is_reviewed_and_nothing_is_written_into_it(site: Site) -> None:
    site.commit("Calm", {"src/app.py": CALM})
    site.write({"src/app.py": CONFLICT})
    before = site.git("status", "--porcelain")

    ran = site.muster("review", "--since", "HEAD~1")
    again = site.muster("review", "--since", "HEAD~1")

    assert ran.code == 3
    assert ran.out.startswith("---\ntype: review\nslug: review\nverdict: BLOCK\n")
    assert "[uncommitted]" in ran.out
    assert "there is no brief" in ran.out
    assert again.out == ran.out, "the same input gives the same bytes"
    assert (site.git("status", "--porcelain"), (site.top / ".muster").exists()) == (before, False)


def test_the_verdict_decides_the_exit_code(site: Site) -> None:
    site.commit("Calm", {"src/app.py": CALM})
    allowed = site.muster("review")
    site.commit("Too much", {f"f{number}.txt": "x\n" for number in range(101)})
    refused = site.muster("review")
    unknown = site.muster("review", "--since", "nowhere")
    misspelt = site.muster("review", "--sine", "HEAD~1")

    assert [ran.code for ran in (allowed, refused, unknown, misspelt)] == [0, 4, 2, 2]
    assert "101 files" in refused.out
    assert "f100.txt" in refused.out, "every file is in the coverage, also of a review that was refused"


def test_what_is_wrong_in_a_skipped_file_warns_and_a_warning_fails_on_request(site: Site) -> None:
    site.commit("Built", {"dist/app.js": CONFLICT, "poetry.lock": "x\n"})

    warned = site.muster("review", "--json")
    failed = site.muster("review", "--fail-on", "warn")

    assert (warned.code, warned.json["verdict"], failed.code) == (0, "WARN", 1)
    assert [(f["rule"], f["severity"], f["path"], f["line"]) for f in warned.json["findings"]] == [
        ("COVERAGE_SILENT_SKIP", "MAJOR", "dist/app.js", 2)
    ]
    assert {row["path"]: row["treatment"] for row in warned.json["coverage"]} == {
        "dist/app.js": "skip",
        "poetry.lock": "skip",
    }
    assert any("skipped by triage" in line for line in failed.out.splitlines())


def test_a_dry_run_shows_the_triage_in_which_a_branch_cannot_pass_over_its_own_files(site: Site) -> None:
    site.commit("Agreed", {"muster.toml": '[review]\nskip = ["gen/**"]\n'})
    site.muster("trust")
    site.commit("Work", {"gen/a.py": CALM, "auth/a.py": CALM, "poetry.lock": "x\n"})
    agreed = site.muster("review", "--mode", "dry-run", "--json").json
    site.commit("Hide", {"muster.toml": '[review]\nskip = ["gen/**", "auth/**"]\n'})
    hiding = site.muster("review", "--mode", "dry-run", "--since", "HEAD~2")

    assert {row["path"]: row["treatment"] for row in agreed["covered"]} == {
        "auth/a.py": "deep-review",
        "gen/a.py": "skip",
        "poetry.lock": "skip",
    }
    rows = [line.split()[:2] for line in hiding.out.splitlines()]
    assert ["gen/a.py", "summary-only"] in rows
    assert ["auth/a.py", "deep-review"] in rows
    assert hiding.out.startswith(f"range: {site.git('rev-parse', 'HEAD~2')[:12]}..{site.head()[:12]}\n")
    assert "nothing was written" in hiding.out


def test_a_project_keeps_its_review_and_checks_and_mends_it(site: Site) -> None:
    place = site.top / ".muster/projects/calm/review.md"
    site.write({".muster/projects/calm/brief.md": BRIEF})
    site.commit("Calm", {"src/app.py": CALM})

    ranged = site.muster("review", "--since", "HEAD~1", "--json").json
    kept = place.exists()
    ran = site.muster("review")
    valid = site.muster("review", "--mode", "validate")
    place.write_text(place.read_text().replace("  MINOR: 0", "  MINOR: 5"))
    mended = site.muster("review", "--mode", "validate", "--json")
    place.write_text(place.read_text().replace("verdict: ALLOW\n", "", 1))
    broken = site.muster("review", "--mode", "validate")

    assert (ranged["slug"], kept) == ("review", False), "a range that somebody names need not be the project's work"
    assert (ran.code, valid.code, mended.code, broken.code) == (0, 0, 0, 6)
    assert "slug: calm" in place.read_text()
    assert "review.md" in ran.out
    assert not (site.top / ".muster/state").exists(), "before muster init nothing else is written"
    site.muster("init")
    site.muster("review", "--since", "HEAD~1", "--project", "calm")
    (line,) = (site.top / ".muster/state/reviews.jsonl").read_text().splitlines()
    noted = json.loads(line)
    assert (noted["verdict"], noted["reviewed_files_count"], noted["mode"]) == ("ALLOW", 2, "default")
    assert noted["counts"] == {"BLOCKER": 0, "MAJOR": 0, "MINOR": 1, "SUGGESTION": 0}, "muster.toml steers agents"
    assert {"ts", "duration_ms"} < set(noted)
    assert (mended.json["mended"], [issue["code"] for issue in mended.json["issues"]]) == (True, ["COUNTS"])
    assert "'verdict' is missing" in broken.out


def test_a_brief_is_named_by_its_file_too(site: Site) -> None:
    site.write({"wanted.md": BRIEF})
    site.commit("Calm", {"src/app.py": CALM})

    ran = site.muster("review", "wanted.md", "--since", "HEAD~1", "--format", "json")

    assert ran.json["slug"] == "calm"
    assert not any("no brief" in note for note in ran.json["notes"])


MORE_FORMS = [pytest.param(form, marks=pytest.mark.campaign) for form in ("md", "json", "gitlab", "junit", "rdjson")]


@pytest.mark.parametrize("form", ["sarif", "github", "table", *MORE_FORMS])
def test_every_format_names_the_place_and_holds_no_secret(site: Site, form: str) -> None:
    secret = "ghp_" + "a1B2" * 9
    site.commit("Conflict", {"src/app.py": CONFLICT.replace("return 2", f'return "{secret}"')})

    ran = site.muster("review", "--format", form, env={"MY_TOKEN": "return 1"})

    assert ran.code == 3
    assert "src/app.py" in ran.out
    assert secret not in ran.out
    assert "return 1" not in ran.out, "what the environment calls secret is secret as well"


def test_a_refuted_finding_is_left_out_with_the_reason_until_its_text_changes(site: Site) -> None:
    site.commit("Conflict", {"src/app.py": CONFLICT})
    first = site.muster("review", "--json").json
    (found,) = first["findings"]

    refuted = site.muster("review", "refute", found["id"], "-m", "an example in a document")
    second = site.muster("review", "--json")
    site.commit("Changed", {"src/app.py": CONFLICT.replace("HEAD", "mine")})
    third = site.muster("review", "--since", "HEAD~2", "--json")

    assert refuted.code == 0
    assert (second.code, second.json["findings"]) == (0, [])
    assert second.json["dropped"][0]["reason"] == "refuted: an example in a document"
    assert third.code == 3
    assert site.muster("review", "refute", "f-1", "-m", "x").code == 2


def test_a_shared_refutation_counts_only_from_the_commit_before(site: Site) -> None:
    site.commit("Conflict", {"src/app.py": CONFLICT})
    (found,) = site.muster("review", "--json").json["findings"]
    book = json.dumps([{"id": found["id"], "why": "mine, trust me"}])
    site.git("reset", "-q", "--hard", "HEAD~1")
    site.commit("Both at once", {"src/app.py": CONFLICT, ".muster/refuted.json": book})

    brought_along = site.muster("review", "--json")
    site.git("reset", "-q", "--hard", "HEAD~1")
    site.commit("Agreed", {".muster/refuted.json": book})
    site.commit("Conflict", {"src/app.py": CONFLICT})
    agreed = site.muster("review", "--json")

    assert (brought_along.code, agreed.code) == (3, 0)
