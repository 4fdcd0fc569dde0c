"""Lint: what is doubtful in a plan that is valid."""

from __future__ import annotations

import pytest

from muster.model.plan import Changes, Contains, Plan, Task
from muster.model.planning.issues import Severity
from muster.model.planning.plan_lint import lint


def codes(*tasks: Task, strict: bool = False, generated: bool = False, profile: str = "balanced") -> list[str]:
    issues = lint(Plan(slug="a", tasks=tasks, profile=profile), strict=strict, generated=generated)
    return [issue.code for issue in issues if issue.code != "SINGLE_TASK"]


def test_profile_drift_is_a_warning_when_strict_and_silent_when_soft() -> None:
    task = Task(id="T1", run="x", verify=("y",), profile_used="economy")

    strict = lint(Plan(slug="a", tasks=(task, Task(id="T2", run="x", verify=("y",))), profile="balanced"), strict=True)

    assert [(issue.code, issue.severity) for issue in strict] == [("MANIFEST_PROFILE_DRIFT", Severity.WARNING)]
    assert strict[0].path == "T1.profile_used"
    assert codes(task) == []
    assert codes(task, strict=True, profile="") == []
    assert codes(task, strict=True, profile="economy") == []


def test_a_change_that_nothing_proves_is_named_when_strict() -> None:
    assert codes(Task(id="T1", run="x"), strict=True) == ["NOTHING_PROVES_IT"]
    assert codes(Task(id="T1", run="x", changes=Changes.NONE), strict=True) == []
    assert codes(Task(id="T1", run="x")) == []


@pytest.mark.parametrize(
    ("wanted", "forbidden", "contradiction"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "src/**", True),
        ("src/a.py", "*.py", True),
        ("src/**", "src/**", True),
        ("src/a.py", "lib/**", False),
        ("src/**", "src/generated/**", False),
    ],
)
def test_a_path_that_is_wanted_and_forbidden_is_an_error(wanted: str, forbidden: str, contradiction: bool) -> None:
    task = Task(id="T1", run="x", expected_paths=(wanted,), forbidden_paths=(forbidden,))
    issues = lint(Plan(slug="a", tasks=(task,)), strict=False)

    assert any(i.code == "CONTRADICTION" and i.severity is Severity.ERROR for i in issues) is contradiction


def test_a_text_in_a_forbidden_file_is_an_error() -> None:
    task = Task(id="T1", run="x", must_contain=(Contains(path="a.py", text="b"),), forbidden_paths=("*.py",))

    assert codes(task) == ["CONTRADICTION"]


def test_tasks_that_write_the_same_file_side_by_side_are_named() -> None:
    first = Task(id="T1", run="x", expected_paths=("./a.py", "b/**"))
    second = Task(id="T2", run="x", expected_paths=("a.py", "b/**"))
    after = Task(id="T3", run="x", expected_paths=("a.py",), needs=("T1", "T2"))

    (issue,) = lint(Plan(slug="a", tasks=(first, second, after)), strict=False)

    assert (issue.code, issue.path) == ("OVERLAPPING_PATHS", "T2.expected_paths")
    assert "'a.py' is also expected from T1" in issue.message
    assert codes(first, after) == []


def test_what_is_written_for_nothing_is_named() -> None:
    assert codes(Task(id="T1", run="x", prompt="y")) == ["UNUSED_PROMPT"]
    assert codes(Task(id="T1", agent="x")) == ["NO_PROMPT"]
    assert codes(Task(id="T1", agent="x", prose="y")) == []
    assert codes(Task(id="T1", run="x", changes=Changes.NONE, commit_message_pattern="y")) == ["UNUSED_PATTERN"]
    assert codes(Task(id="T1", run="x"), Task(id="T2", run="x", needs=("T1", "T1"))) == ["DUPLICATE_NEED"]


def test_a_wide_wave_is_only_named_when_a_model_planned_it() -> None:
    tasks = [Task(id=f"T{number}", run="x") for number in range(13)]

    assert codes(*tasks) == []
    assert codes(*tasks, generated=True) == ["WIDE_WAVE"]
    assert codes(*tasks[:12], generated=True) == []


def test_a_single_task_is_cheaper_without_a_run() -> None:
    assert [issue.code for issue in lint(Plan(slug="a", tasks=(Task(id="T1", run="x"),)), strict=False)] == [
        "SINGLE_TASK"
    ]


def test_a_plan_for_another_brief_is_named() -> None:
    tasks = (Task(id="T1", run="x"), Task(id="T2", run="x"))
    plan = Plan(slug="a", tasks=tasks, brief_sha256="1234567")

    assert [issue.code for issue in lint(plan, strict=False, brief_sha256="f" * 64)] == ["BRIEF_CHANGED"]
    assert lint(plan, strict=False, brief_sha256="1234567" + "0" * 57) == ()
    assert lint(plan, strict=False) == ()
