"""The rules over real commits of a repository's own history, and over mistakes that are put into them."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from random import Random

import anyio
import pytest

from muster.model.findings import Severity
from muster.review.rules.run import RuleReport, run_rules
from muster.review.scope import find_scope
from muster.review.triage import triage
from tests.integration.git_project import GitProject

pytestmark = pytest.mark.campaign

HERE = Path(__file__).parents[2]
COMMITS = 120
WEIGHTY = (Severity.BLOCKER, Severity.MAJOR)
# What is put at the end of a file of product code, and the rule that has to see it.
SLIPS = {
    "BROKEN_SYNTAX": "def broken(:\n    pass\n",
    "UNDECLARED_DEPENDENCY": "import numpy\n",
    "SECURITY_INJECTION": "def run_it(text):\n    return eval(text)\n",
    "PLACEHOLDER_IN_CODE": "def later(value):\n    raise NotImplementedError\n",
}


async def judge(repo: Path, since: str, until: str) -> RuleReport | None:
    scope = await find_scope(repo, since=since, until=until)
    seen = triage(scope)
    return None if seen.refused else await run_rules(scope, seen)


def history() -> list[tuple[str, str, str]]:
    log = subprocess.run(
        ["git", "log", "--no-merges", "--format=%P %H %s", f"-{COMMITS}"], cwd=HERE, capture_output=True, check=False
    )
    rows = [line.split(" ", 2) for line in log.stdout.decode().splitlines()]
    return [(row[0], row[1], row[2]) for row in rows if len(row) == 3 and len(row[1]) == 40]


@pytest.mark.timeout(1200)
def test_clean_commits_have_next_to_no_weighty_finding() -> None:
    commits = history()
    if len(commits) < 50:
        pytest.skip("needs this repository's history")
    blamed: dict[str, list[str]] = {}
    for since, until, subject in commits:
        report = anyio.run(judge, HERE, since, until)
        if report is not None and (found := [f for f in report.findings if f.severity in WEIGHTY]):
            blamed[subject] = [f"{f.rule} {f.path}:{f.line} {f.title}" for f in found]

    print(f"{len(blamed)} of {len(commits)} commits have a weighty finding: {blamed}")
    # One in a hundred, and room for commits of this history that earn theirs.
    assert len(blamed) <= len(commits) * 0.05


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rule", SLIPS)
def test_a_slip_in_a_real_file_is_found(rule: str, tmp_path: Path) -> None:
    files = sorted(path for path in (HERE / "src/muster/model").glob("*.py") if path.name != "__init__.py")
    chosen = Random(rule).sample(files, 12)
    sources = {f"src/{path.name}": path.read_text() for path in chosen}
    manifest = {"pyproject.toml": '[project]\nname = "muster"\ndependencies = ["msgspec", "PyYAML", "pathspec"]\n'}
    project = GitProject.create(tmp_path, manifest | sources)
    missed = []
    since = project.head()
    for path, text in sources.items():
        # Each by itself: what a file before it does wrong is not blamed on the next.
        project.git("reset", "-q", "--hard", since)
        until = project.commit(rule, {path: f"{text}\n\n{SLIPS[rule]}"})
        report = anyio.run(partial(judge, project.top, since, until))
        assert report is not None
        if [(f.rule, f.path) for f in report.findings if f.severity in WEIGHTY] != [(rule, path)]:
            missed.append((path, report.findings))

    assert missed == []
