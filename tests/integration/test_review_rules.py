"""What the rules see in a range and, as important, what they leave alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest

from muster.config.policy import on_terms
from muster.config.settings import ReviewSettings
from muster.model.errors import InputError
from muster.model.findings import Finding, Severity
from muster.model.plan import Task
from muster.model.planning.brief import Brief, Criterion
from muster.review.review import ReviewRequest, review
from muster.review.rules.linters import read_report
from muster.review.rules.run import RuleReport, run_rules
from muster.review.scope import find_scope
from muster.review.triage import triage
from tests.integration.git_project import GitProject
from tests.integration.planted import AWS, GITHUB, HARMLESS, MANIFESTS, MISTAKES, Planted

pytestmark = pytest.mark.anyio


async def judge(project: GitProject, since: str, **more: object) -> RuleReport:
    scope = await find_scope(project.top, since=since)
    return await run_rules(scope, triage(scope), **more)  # type: ignore[arg-type]


def hard(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    weighty = (Severity.BLOCKER, Severity.MAJOR)
    return [(found.path, found.rule, found.title) for found in findings if found.severity in weighty]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> RuleReport:
    project = GitProject.create(tmp_path_factory.mktemp("planted"), MANIFESTS)
    project.commit("Before", {each.path: each.before for each in MISTAKES if each.before is not None})
    since = project.head()
    project.write({each.path: each.after for each in MISTAKES})
    project.git("add", "-A", "-f")
    project.git("commit", "-q", "-m", "Mistakes")
    return anyio.run(partial(judge, project, since))


@pytest.mark.parametrize("each", MISTAKES, ids=lambda each: f"{each.rule}-{each.path}")
def test_a_mistake_is_found_and_weighed(planted: RuleReport, each: Planted) -> None:
    here = [found for found in planted.findings if found.path == each.path and found.rule == each.rule]

    assert [found.severity.value for found in here] == [each.severity]
    assert not each.line or here[0].line == each.line


def test_no_finding_quotes_a_secret(planted: RuleReport) -> None:
    said = repr(planted)

    assert AWS not in said
    assert GITHUB not in said
    assert "MIIEow" not in said


def test_evidence_stands_in_the_line_that_is_named(planted: RuleReport) -> None:
    texts = {each.path: each.after.split("\n") for each in MISTAKES}

    for found in planted.findings:
        if found.line and found.evidence and "***" not in found.evidence:
            assert found.evidence == texts[found.path][found.line - 1]


async def test_harmless_code_has_no_weighty_finding(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, MANIFESTS)
    project.commit("Before", {path: before for path, before, _ in HARMLESS if before is not None})
    since = project.head()
    encoding = {"src/h13.py": "latin-1"}
    project.commit("Work", {path: after.encode(encoding.get(path, "utf-8")) for path, _, after in HARMLESS})

    report = await judge(project, since)

    assert hard(report.findings) == []


async def test_what_was_there_before_or_only_moved_is_not_blamed(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, MANIFESTS)
    olds = {each.path: each.after for each in MISTAKES if each.before is not None and each.path.startswith("src/c")}
    since = project.commit("Before", olds)
    for path in olds:
        folder, _, name = path.rpartition("/")
        project.git("mv", path, f"{folder}/moved_{name}")
    project.commit("Moved", {f"src/moved_{name}": "\n" + olds[f"src/{name}"] for name in ("c1.py", "c6.py")})

    report = await judge(project, since)

    assert hard(report.findings) == []


async def test_a_branch_cannot_change_how_it_is_judged(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, MANIFESTS | {"src/a.py": "x = 1\n"})
    since = project.head()
    bad = "import os\n\n\ndef go(n):\n    os.system(n)  # noqa\n"
    bad += "    try:\n        go(n)\n    except:  # noqa: E722\n        pass\n"
    silence = '[lint]\nselect = []\nexclude = ["*"]\n'
    project.commit("Silence", {"ruff.toml": silence, ".gitattributes": "* -diff\n", "src/a.py": bad})

    report = await judge(project, since)

    rules = {(found.rule, found.severity.value) for found in report.findings if found.path == "src/a.py"}
    assert rules == {("SECURITY_INJECTION", "BLOCKER"), ("MISSING_ERROR_HANDLING", "MINOR")}


async def test_a_nul_byte_does_not_take_code_out_of_the_review(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path)
    since = project.head()
    project.commit("Veil", {"a.js": b"// \0\nfunction go(x) { eval(x) }\n", "film.ts": bytes(range(256)) * 20})

    report = await judge(project, since)

    assert {(path, rule) for path, rule, _ in hard(report.findings)} >= {
        ("a.js", "SECURITY_INJECTION"),
        ("a.js", "COVERAGE_SILENT_SKIP"),
    }
    assert {path for path, _, _ in hard(report.findings)} == {"a.js"}


async def test_the_operators_terms_choose_the_rules_and_what_is_passed_over(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, MANIFESTS | {"src/a.py": "x = 1\n"})
    since = project.head()
    project.commit("Work", {"src/a.py": "def broken(:\n", "gen/b.py": "def broken(:\n", "yarn.lock": "x\n"})
    request = ReviewRequest(repo=project.top, since=since)

    full = await review(on_terms(request, ReviewSettings(skip=("gen/**", "!*.lock"), deep=("src/**",))))
    seed = await review(on_terms(request, ReviewSettings(catalogue="seed")))

    assert {row.path: row.treatment.value for row in full.coverage} == {
        "src/a.py": "deep-review",
        "gen/b.py": "skip",
        "yarn.lock": "summary-only",
    }
    assert [(found.rule, found.path) for found in full.findings] == [("BROKEN_SYNTAX", "src/a.py")]
    assert seed.findings == ()
    assert any("BROKEN_SYNTAX" in note for note in seed.notes), "what was not looked for is said"
    with pytest.raises(InputError, match=r"review\.skip"):
        await review(on_terms(request, ReviewSettings(skip=("!",))))


async def test_without_ruff_the_report_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = GitProject.create(tmp_path, MANIFESTS)
    since = project.head()
    project.commit("Work", {"src/a.py": "import os\n\n\ndef go(n):\n    os.system(n)\n"})
    monkeypatch.setattr("muster.review.rules.lint.find_ruff", lambda: "")

    report = await judge(project, since)

    assert "ruff is not installed" in report.notes[0]
    assert [found.rule for found in report.findings] == ["SECURITY_INJECTION"]


async def test_new_public_code_without_a_test_is_said_once(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"a.txt": "x\n"})
    since = project.head()
    code = "def price(x):\n" + "".join(f"    x += {n}\n" for n in range(16)) + "    return x\n"
    project.commit("Work", {"src/a.py": code, "src/b.py": code.replace("price", "cost")})

    untested = await judge(project, since)
    project.commit("Test", {"tests/test_a.py": "def test_price():\n    assert True is not False\n"})
    tested = await judge(project, since)

    assert [(found.rule, found.path, found.line) for found in untested.findings] == [("MISSING_TEST", "src/a.py", 1)]
    assert tested.findings == ()


async def test_a_dependency_that_is_dropped_and_still_imported_is_found(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, MANIFESTS | {"src/a.py": "import click\n", "src/b.py": "import yaml\n"})
    since = project.head()
    project.commit("Drop", {"pyproject.toml": '[project]\nname = "app"\ndependencies = ["PyYAML", "tomli"]\n'})

    report = await judge(project, since)

    assert [(found.rule, found.path) for found in report.findings] == [("UNDECLARED_DEPENDENCY", "pyproject.toml")]


@pytest.mark.parametrize(
    ("path", "text", "older", "same"),
    [
        ("package.json", '{"dependencies": {\n"qs": "~%s"\n}}\n', ("6.9.7", "6.9.6"), ("^6.10", "latest")),
        ("pyproject.toml", '[project]\ndependencies = [\n  "multipart%s",\n]\n', (">=0.0.7", ""), (">=1.9", ">=1.10")),
        ("requirements.txt", "numpy\nurllib3%s\n", ("==1.26.5", "==1.26.4"), ("==1", "==2")),
    ],
)
async def test_a_dependency_that_may_be_older_than_before_is_found(
    tmp_path: Path, path: str, text: str, older: tuple[str, str], same: tuple[str, str]
) -> None:
    project = GitProject.create(tmp_path, {path: text % older[0]})
    since = project.head()
    project.commit("Older", {path: text % older[1]})
    worse = await judge(project, since)
    since = project.commit("Before", {path: text % same[0]})
    project.commit("Not older", {path: text % same[1]})
    fine = await judge(project, since)

    assert [(f.rule, f.severity.value, "older" in f.title, f.line) for f in worse.findings] == [
        ("NEW_DEPENDENCY", "MINOR", True, 3 if path == "pyproject.toml" else 2)
    ]
    assert fine.findings == ()


async def test_an_import_that_only_a_lock_file_knows_weighs_less(tmp_path: Path) -> None:
    lock = '{"packages": {"node_modules/left-pad": {}}}\n'
    project = GitProject.create(tmp_path, MANIFESTS | {"web/package-lock.json": lock})
    since = project.head()
    project.commit("Work", {"web/a.ts": "import 'left-pad';\nimport 'right-pad';\n"})

    report = await judge(project, since)

    assert {(found.line, found.severity.value) for found in report.findings} == {(1, "MINOR"), (2, "MAJOR")}


async def test_the_brief_and_the_plan_are_held_against_the_range(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"src/a.py": "x = 1\n", "src/legacy.py": "y = 1\n"})
    since = project.head()
    project.commit("Work", {"src/a.py": "def limit():\n    return 1\n", "src/legacy.py": "y = 2\n", "extra.txt": "x\n"})
    texts = (
        "It exists, file: `src/a.py`, symbol: `limit`",
        "So does this, file: `src/b.py`",
        "It feels fast",
        "Tests pass, verify: `make test`",
        "Lint passes, verify: `make lint`",
    )
    brief = Brief(
        slug="x",
        success_criteria=tuple(Criterion(text=text) for text in texts),
        non_goals=("Do not touch `src/legacy.py`", "Leave `billing` alone"),
    )
    manifests = (Task(id="T1", expected_paths=("src/a.py", "docs/**")),)
    before = (await find_scope(project.top, since=since)).before_tree

    async def check(command: str, tree: str) -> bool | None:
        return {"make test": tree == before, "make lint": None}[command]

    report = await judge(project, since, brief=brief, manifests=manifests, check=check)

    assert {(found.rule, found.severity.value, found.path, found.brief_ref) for found in report.findings} == {
        ("UNIMPLEMENTED_CRITERION", "MAJOR", "", "Success Criteria 2"),
        ("BROKEN_SUCCESS_CRITERION", "BLOCKER", "", "Success Criteria 4"),
        ("NON_GOAL_VIOLATED", "MAJOR", "src/legacy.py", "Non-Goals 1"),
        ("PLAN_EXECUTE_DRIFT", "MINOR", "", "Plan T1"),
        ("PLAN_EXECUTE_DRIFT", "MINOR", "src/legacy.py", "Plan"),
        ("PLAN_EXECUTE_DRIFT", "MINOR", "extra.txt", "Plan"),
    }
    assert report.needs_agent == ("Success Criteria 3: It feels fast", "Success Criteria 5: `make lint` was not run")


async def test_other_linters_count_with_what_is_new(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"a.c": "int a;\n"})
    since = project.head()
    project.commit("Work", {"a.c": "int a;\nint b;\n"})
    scope = await find_scope(project.top, since=since)
    place = '{"physicalLocation":{"artifactLocation":{"uri":"a.c"},"region":{"startLine":%d}}}'
    result = '{"ruleId":"r","level":"error","message":{"text":"%s"},"locations":[' + place + "]}"
    sarif = '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"lint"}},"results":[%s]}]}'

    async def lint(tree: str) -> list[bytes]:
        rows = [result % ("old", 1)] + [result % ("new", 2)] * (tree == scope.after_tree)
        return [(sarif % ",".join(rows)).encode()]

    report = await run_rules(scope, triage(scope), lint=lint)

    assert [(found.path, found.line, found.title) for found in report.findings] == [("a.c", 2, "lint r: new")]


def test_rdjson_is_read_as_a_document_and_line_by_line() -> None:
    place = '{"path":"./a.c","range":{"start":{"line":3}}}'
    row = '{"message":"m","severity":"WARNING","code":{"value":"c"},"location":' + place + "}"

    whole = list(read_report(('{"source":{"name":"s"},"diagnostics":[' + row + "]}").encode()))
    lines = list(read_report(f"{row}\n{row}\n".encode()))

    assert [(path, spot.line, spot.severity) for path, spot in whole] == [("a.c", 3, Severity.MINOR)]
    assert len(lines) == 2


async def test_verify_commands_and_linters_run_on_copies_that_are_thrown_away(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {"a.c": "int a;\n", "ok": "x\n"})
    since = project.head()
    project.git("rm", "-q", "ok")
    project.commit("Work", {"a.c": "int a;\nint b;\n"})
    before = sorted(path.name for path in project.top.iterdir())
    report = """printf '{"message":"seen %s","location":{"path":"a.c"}}' "$(wc -l < a.c)"; touch litter"""
    brief = Brief(slug="x", success_criteria=(Criterion(text="verify: `test -f ok`, verify: `false`"),))

    done = await review(
        ReviewRequest(repo=project.top, since=since, brief=brief, brief_mtime=0.0, verify=True, linters=(report,))
    )
    careful = await review(ReviewRequest(repo=project.top, since=since, brief=brief))

    assert {(found.rule, found.severity.value) for found in done.findings} >= {
        ("BROKEN_SUCCESS_CRITERION", "BLOCKER"),
        ("UNIMPLEMENTED_CRITERION", "MAJOR"),
    }
    assert any("seen 2" in found.title for found in done.findings)
    assert careful.findings == ()
    assert len(careful.needs_agent) == 2
    assert sorted(path.name for path in project.top.iterdir()) == before
