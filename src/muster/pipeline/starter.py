"""A first plan for a repository: commands only, proven by the repository's own tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

from muster.model.plan import Plan, Task
from muster.model.planning.plan_document import format_plan
from muster.model.planning.slugs import slug_of

FOLDER = "muster-tour"
MAX_READ_CHARS = 1_000_000

INTRO = """\
A first plan: three commands, no model needed. The first two run side by side,
each in a worktree of its own; the third waits for both. Look at it with
`muster plan graph`, run it with `muster run --plan {path}`, then put your own
tasks in place of these. Every key of a task is explained in the documentation."""


def starter_plan(project: Path, path: str = "plan.md") -> str:
    """The text of a plan whose tasks work in any repository and whose proof fits this one."""
    command = command_for_tests(project)
    proof = f"It is proven by `{command}`." if command else "No test command was found; put yours under `verify`."
    tasks = (
        Task(
            id="files",
            title="List the files",
            run=f"mkdir -p {FOLDER} && git ls-files | LC_ALL=C sort > {FOLDER}/files.txt",
            expected_paths=(f"{FOLDER}/files.txt",),
            verify=(f"test -s {FOLDER}/files.txt",),
            prose="A task is done when its paths exist and its verify commands pass, not when it says so.",
        ),
        Task(
            id="people",
            title="List who wrote them",
            run=f"mkdir -p {FOLDER} && git shortlog --summary --numbered HEAD > {FOLDER}/people.txt",
            expected_paths=(f"{FOLDER}/people.txt",),
            verify=(f"test -f {FOLDER}/people.txt",),
        ),
        Task(
            id="overview",
            title="Put both into one file",
            needs=("files", "people"),
            run=f"cat {FOLDER}/people.txt {FOLDER}/files.txt > {FOLDER}/overview.txt",
            expected_paths=(f"{FOLDER}/overview.txt",),
            verify=(f"test -s {FOLDER}/overview.txt", *((command,) if command else ())),
            prose=proof,
        ),
    )
    name = project.resolve().name
    plan = Plan(slug=slug_of(name, "first-plan"), title="A first plan", tasks=tasks)
    return format_plan(plan).replace("\n\n## ", f"\n\n{INTRO.format(path=path)}\n\n## ", 1)


def command_for_tests(project: Path) -> str:
    """The command that runs a repository's tests, from its usual files; empty when none of them tells."""
    for name in ("GNUmakefile", "makefile", "Makefile"):
        found = re.search(r"^(test|check)[ \t]*:(?!=)", _text(project / name), re.MULTILINE)
        if found:
            return f"make {found[1]}"
    if _npm_script(_text(project / "package.json")):
        return "npm test"
    if (project / "go.mod").is_file():
        return "go test ./..."
    if (project / "Cargo.toml").is_file():
        return "cargo test"
    if _uses_pytest(project):
        return "python3 -m pytest -q"
    return ""


def _npm_script(text: str) -> bool:
    try:
        script = json.loads(text)["scripts"]["test"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    # What `npm init` writes when there are no tests yet.
    return isinstance(script, str) and "no test specified" not in script


def _uses_pytest(project: Path) -> bool:
    if (project / "pytest.ini").is_file() or "[tool:pytest]" in _text(project / "setup.cfg"):
        return True
    text = _text(project / "pyproject.toml")
    return "[tool.pytest" in text or (bool(text) and any((project / "tests").glob("test_*.py")))


def _text(place: Path) -> str:
    """A file's beginning; empty when it is absent, no file or not readable."""
    if not place.is_file():
        return ""
    try:
        with place.open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_READ_CHARS)
    except OSError:
        return ""
