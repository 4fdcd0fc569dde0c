"""``muster plan`` and ``muster brief`` from outside: files, output, exit codes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from muster.cli.root import run_cli
from muster.model.planning.plan_document import parse_plan
from muster.model.planning.plan_lint import lint
from muster.pipeline.starter import command_for_tests

Run = Callable[..., "Done"]

PLAN = """\
---
profile: balanced
---
# Two steps

## One

```yaml
id: a
run: "make \\e[2J"
profile_used: economy
verify: [make test]
```

## Two

```yaml
id: b
needs: [a]
agent: executor
prompt: Do it.
verify: [make test]
```
"""


class Done:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is a repository as far as these commands look."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def muster(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process and see what it printed."""

    def call(*args: str) -> Done:
        code = run_cli(args)
        return Done(code, *capfd.readouterr())

    return call


def test_a_first_plan_is_valid_and_proven_by_the_repositorys_own_tests(project: Path, muster: Run) -> None:
    (project / "Makefile").write_text("all:\n\ntest: all\n\techo\n")

    done = muster("plan", "new")

    plan = parse_plan((project / "plan.md").read_bytes(), source="plan.md")
    assert (done.code, lint(plan, strict=True)) == (0, ())
    assert "make test" in plan.tasks[-1].verify
    assert all(task.is_command for task in plan.tasks)
    assert "created plan.md" in done.out


def test_a_plan_is_never_overwritten(project: Path, muster: Run) -> None:
    (project / "plan.md").write_text("mine")

    done = muster("plan", "new")

    assert (done.code, (project / "plan.md").read_text()) == (4, "mine")
    assert "plan.md exists already; nothing was changed." in done.err
    assert muster("plan", "new", "docs/second.md", "--json").json["created"] == "docs/second.md"


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"Makefile": "check:\n"}, "make check"),
        ({"Makefile": "test := 1\n"}, ""),
        ({"package.json": '{"scripts": {"test": "vitest"}}'}, "npm test"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, ""),
        ({"package.json": "[" * 100_000}, ""),
        ({"go.mod": "module x"}, "go test ./..."),
        ({"Cargo.toml": "[package]"}, "cargo test"),
        ({"pyproject.toml": "[tool.pytest.ini_options]"}, "python3 -m pytest -q"),
        ({"pyproject.toml": "[project]", "tests/test_a.py": ""}, "python3 -m pytest -q"),
        ({"pyproject.toml": "[project]"}, ""),
        ({"Makefile": "\0\xff", "pytest.ini": ""}, "python3 -m pytest -q"),
        ({}, ""),
    ],
)
def test_the_test_command_is_told_by_the_usual_files(tmp_path: Path, files: dict[str, str], command: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="latin-1")

    assert command_for_tests(tmp_path) == command


def test_lint_warns_when_strict_and_the_plan_stays_valid(project: Path, muster: Run) -> None:
    (project / "plan.md").write_text(PLAN)

    strict = muster("plan", "lint")
    soft = muster("plan", "lint", "--soft")
    told = muster("plan", "lint", "plan.md", "--strict", "--json").json

    assert (strict.code, soft.code) == (0, 0)
    assert "plan.md:6: warning: a.profile_used: the task was made with profile 'economy'" in strict.out
    assert "valid, 2 tasks in 2 waves, 1 warning" in strict.out
    assert soft.out == "plan.md: valid, 2 tasks in 2 waves, nothing to say against it\n"
    assert told["valid"] is True
    assert [(issue["code"], issue["severity"]) for issue in told["issues"]] == [("MANIFEST_PROFILE_DRIFT", "warning")]


def test_lint_names_every_mistake_and_fails(project: Path, muster: Run) -> None:
    (project / "plan.md").write_text(PLAN.replace("needs: [a]", "needs: [c]\nattempts: 0"))

    done = muster("plan", "lint")
    told = muster("plan", "lint", "--json")

    assert (done.code, told.code) == (2, 2)
    assert "plan.md:19: b.needs[0]: unknown task 'c'" in done.out
    assert "plan.md:20: b.attempts: 0 is out of range; allowed: 1 to 10" in done.out
    assert "plan.md: not valid, 2 errors" in done.out
    assert [issue["line"] for issue in told.json["issues"]] == [19, 20]


def test_a_plan_comes_from_standard_input_and_needs_no_repository(
    tmp_path: Path, muster: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAN.encode())))

    assert muster("plan", "lint", "-").out.endswith("stdin: valid, 2 tasks in 2 waves, 1 warning\n")
    assert muster("plan", "lint").code == 2
    assert "There is no nowhere.md" in muster("plan", "show", "nowhere.md").err


def test_what_a_plan_shows_cannot_command_the_terminal(project: Path, muster: Run) -> None:
    (project / "plan.md").write_text(PLAN)

    done = muster("plan", "show")

    assert "\x1b[2J" not in done.out
    assert "Two steps: 2 tasks in 2 waves" in done.out
    assert muster("plan", "show", "--json").json["waves"] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("form", "part"), [("text", "wave 2\n  b  Two\n     ← a"), ("mermaid", "t0 --> t1"), ("dot", "t0 -> t1;")]
)
def test_a_plan_is_drawn(project: Path, muster: Run, form: str, part: str) -> None:
    (project / "plan.md").write_text(PLAN)

    assert part in muster("plan", "graph", "--format", form).out
    assert muster("plan", "graph", "--json").json["edges"] == [["a", "b"]]


def test_a_mistake_in_a_plan_is_no_traceback(project: Path, muster: Run) -> None:
    (project / "plan.md").write_bytes(b"\xff")

    done = muster("plan", "graph")

    assert (done.code, done.err) == (2, "muster: plan.md:1: byte 0xff is not UTF-8 (save the file as UTF-8)\n")


WISH = "Limit logins. They must fail after five tries.\n\n- never block admins\n- which store?\n"


def test_words_become_a_brief_that_is_valid(project: Path, muster: Run) -> None:
    done = muster("brief", "-m", WISH)
    place = project / ".muster/projects/limit-logins/brief.md"
    before = place.read_bytes()

    assert (done.code, muster("brief", str(place), "--strict").code) == (0, 0)
    assert "open:  which store?" in done.out
    assert "never block admins" in before.decode()
    assert place.read_bytes() == before


def test_a_brief_is_not_replaced_unless_told(project: Path, muster: Run) -> None:
    muster("brief", "-m", WISH)
    place = project / ".muster/projects/limit-logins/brief.md"
    before = place.read_bytes()

    again = muster("brief", "-m", "Limit logins", "--json")

    assert (again.code, again.json["error"]["code"], place.read_bytes()) == (4, "refused", before)
    assert muster("brief", "-m", "Limit logins", "--force").code == 0
    assert place.read_bytes() != before
    other = muster("brief", "-m", "Limit logins", "--project", "other", "--json").json
    assert (other["slug"], other["path"]) == ("other", ".muster/projects/other/brief.md")


HAND_WRITTEN = "---\ntype: brief\nslug: mine\n---\n## Intent\nx\n<!-- kept -->\n## Goal\ny\n## Success Criteria\n- z\n"


def test_a_hand_written_brief_is_kept_to_the_letter(project: Path, muster: Run) -> None:
    (project / "wish.md").write_text(HAND_WRITTEN)

    done = muster("brief", "wish.md")

    assert done.code == 0
    assert (project / ".muster/projects/mine/brief.md").read_text() == HAND_WRITTEN
    assert "wish.md:1: warning: section 'Constraints' is missing" in done.err
    assert muster("brief", "wish.md", "--strict").code == 2


def test_a_brief_without_a_required_section_is_refused(project: Path, muster: Run) -> None:
    (project / "wish.md").write_text(HAND_WRITTEN.replace("## Goal\ny\n", "## Constraints\n- y\n"))

    done = muster("brief", "wish.md")

    assert (done.code, (project / ".muster").exists()) == (2, False)
    assert "wish.md:1: section 'Goal' is missing (run `muster brief` again)" in done.err


@pytest.mark.parametrize("words", ["", " \n", "none", "# \n"])
def test_saying_nothing_makes_no_brief(project: Path, muster: Run, words: str) -> None:
    done = muster("brief", "-m", words)

    assert (done.code, (project / ".muster").exists()) == (2, False)


def test_a_brief_comes_from_standard_input(project: Path, muster: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WISH.encode())))

    assert muster("brief", "-").code == 0
    assert muster("brief").code == 2
    assert muster("brief", "-m", "a", "b.md").code == 2


def test_a_brief_comes_from_the_editor(project: Path, muster: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = project / "editor.sh"
    editor.write_text('#!/bin/sh\necho "Make it faster" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    done = muster("brief", "--json")

    assert done.json["brief"]["goal"] == "Make it faster"


def test_a_changed_brief_is_named_by_lint(project: Path, muster: Run) -> None:
    digest = muster("brief", "-m", WISH, "--json").json["sha256"]
    head = f"---\nslug: limit-logins\nbrief_sha256: {digest}\n---\n"
    (project / "plan.md").write_text(head + PLAN.partition("---\n# ")[2])

    assert muster("plan", "lint", "--soft").out.endswith("nothing to say against it\n")
    muster("brief", "-m", "Limit logins", "--force")

    assert "the brief changed since this plan was made" in muster("plan", "lint", "--soft").out
