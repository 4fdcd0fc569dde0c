"""A run's work is reviewed before it may be merged, sent back while rounds are left, and mended later on request."""

from __future__ import annotations

import pytest

from tests.journeys.site import Site, adds, task

STUB = 'def greet(name):\n    raise NotImplementedError("later")\n'
CONFLICT = "<<<<<<< mine\nx = 1\n=======\nx = 2\n>>>>>>> yours\n"


@pytest.fixture
def crew(site: Site) -> Site:
    """A repository whose plans can name `worker`, an agent that does what worker.sh says."""
    place = site.home / ".config/muster/config.toml"
    place.parent.mkdir(parents=True)
    place.write_text(f'[agents.worker]\ndialect = "scripted"\ncommand = ["{site.root}/steps.yaml"]\n')
    (site.root / "steps.yaml").write_text(f"- run: sh {site.root}/worker.sh\n")
    return site


def worker(site: Site, shell: str) -> None:
    (site.root / "worker.sh").write_text(shell)


WORK = '## Work\n\n```yaml\nid: work\nagent: worker\nprompt: Write app.py\nverify: ["test -f app.py"]\n```\n'


def events(site: Site, kind: str) -> list[dict[str, object]]:
    return [entry["data"] for entry in site.muster("events", "--jsonl").lines if entry["type"] == kind]


def test_a_warning_is_told_at_the_gate_and_in_the_projects_review_and_stops_nobody(site: Site) -> None:
    site.plan(task("work", f"printf '{STUB}' > app.py".replace("\n", "\\n"), expected_paths=["app.py"]))

    waiting = site.muster("run", "--plan", "plan.md")
    gate = site.muster("inbox", "--json").json["gates"][0]
    site.muster("approve", "--continue")

    assert waiting.code == 3
    assert "review: WARN" in waiting.out
    assert gate["boundary"] == "main-merge"
    assert "verdict: WARN" in (site.top / ".muster/projects/journey/review.md").read_text()
    assert site.muster("review", "--mode", "validate").code == 0
    assert "app.py" in site.tree()


def test_a_blocked_run_without_an_agent_asks_and_an_open_one_ends_unmerged(site: Site) -> None:
    broken = task("work", f"printf '{CONFLICT}' > app.py".replace("\n", "\\n"))
    site.plan(broken)
    base = site.head()

    asking = site.muster("run", "--plan", "plan.md")
    gate = site.muster("inbox", "--json").json["gates"][0]
    site.muster("deny", gate["id"], "-m", "no", "--continue")
    ended = site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert (asking.code, gate["boundary"], gate["subject"]) == (3, "review-verdict", "blocked review 1")
    assert ended.code == 1
    assert "review round 1 says BLOCK" in ended.out
    assert site.head() == base


def test_a_review_that_is_turned_off_asks_and_writes_nothing(site: Site) -> None:
    site.write({"muster.toml": "[review]\nenabled = false\n"})
    site.plan(adds("one"))

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert ran.code == 0
    assert "review" not in ran.out
    assert not (site.top / ".muster/projects/journey/review.md").exists()


def test_a_block_sends_the_work_back_to_the_plans_agent_and_the_mended_work_is_merged(crew: Site) -> None:
    worker(crew, f"if test -f app.py; then echo 'x = 1' > app.py; else cat > app.py <<'X'\n{CONFLICT}X\nfi\n")
    crew.plan(WORK)

    ran = crew.muster("run", "--plan", "plan.md", "--gates", "open")

    assert ran.code == 0, ran.out
    verdicts = [(each.get("round", 1), each["verdict"]) for each in events(crew, "review.finished")]
    assert verdicts == [(1, "BLOCK"), (2, "ALLOW")]
    phases = [each["phase"] for each in events(crew, "phase.started")]
    assert phases == ["execute", "review", "execute", "review"]
    assert [each["phase"] for each in events(crew, "phase.finished")] == phases
    assert crew.git("show", "main:app.py") == "x = 1"
    assert "review-fix-1" in crew.muster("show").out


@pytest.mark.campaign  # that rounds end is proven for all runs by the exhaustive gates
def test_work_that_is_not_mended_is_sent_back_no_more_than_the_rounds_allow(crew: Site) -> None:
    crew.write({"muster.toml": "[review]\nmax_rounds = 3\n"})
    worker(crew, f"cat >> app.py <<'X'\n{CONFLICT}# $(date +%N)\nX\n")
    crew.plan(WORK)
    base = crew.head()

    ran = crew.muster("run", "--plan", "plan.md")

    assert ran.code == 3
    assert crew.muster("inbox", "--json").json["gates"][0]["subject"].startswith("blocked review")
    assert 1 <= len([each for each in events(crew, "task.planned") if each["task"]["id"] != "work"]) <= 2
    assert crew.head() == base


def test_continue_mends_what_the_review_of_a_merged_run_warned_of_and_says_so(crew: Site) -> None:
    worker(
        crew,
        f"if test -f app.py; then echo 'def greet(name): return name' > app.py; else cat > app.py <<'X'\n{STUB}X\nfi\n",
    )
    crew.plan(WORK)
    first = crew.muster("run", "--plan", "plan.md", "--gates", "open")

    second = crew.muster("continue", "--gates", "open")
    third = crew.muster("continue", "--gates", "open")

    assert (first.code, second.code) == (0, 0), second.err
    assert "says WARN" in second.out
    assert "mended in a new run" in second.out
    assert crew.git("show", "main:app.py") == "def greet(name): return name"
    assert [each["verdict"] for each in events(crew, "review.finished")] == ["ALLOW"]
    assert third.code == 2, "then nothing is left to do"


def test_continue_says_when_nobody_could_mend_what_was_found(site: Site) -> None:
    site.plan(task("work", f"printf '{STUB}' > app.py".replace("\n", "\\n")))
    site.muster("run", "--plan", "plan.md", "--gates", "open")

    ran = site.muster("continue")

    assert ran.code == 2
    assert "its plan has no agent for that" in ran.err
