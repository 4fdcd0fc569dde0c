"""What a valid plan should be looked at for, before it costs anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

from muster.model.plan import Changes, Plan, Task
from muster.model.planning.audit import path_matches
from muster.model.planning.issues import Issue, Severity, quoted
from muster.model.planning.waves import waves

# What a planner's plan may put into one wave; a person may put more.
MAX_GENERATED_WAVE = 12

_WILDCARDS = re.compile(r"[*?\[]")


def lint(plan: Plan, *, strict: bool, generated: bool = False, brief_sha256: str = "") -> tuple[Issue, ...]:
    """Say what is doubtful in a plan; a plan with warnings is still valid.

    Strict also names what is only unusual. ``brief_sha256`` is that of the
    brief the plan should be for, ``generated`` says that a model wrote it.

    >>> plan = Plan(slug="a", tasks=(Task(id="T1", run="make", profile_used="economy"),), profile="balanced")
    >>> [issue.code for issue in lint(plan, strict=True)]
    ['MANIFEST_PROFILE_DRIFT', 'NOTHING_PROVES_IT', 'SINGLE_TASK']
    >>> [issue.code for issue in lint(plan, strict=False)]
    ['SINGLE_TASK']
    """
    found = [*_brief(plan, brief_sha256)]
    for task in plan.tasks:
        found += _contradictions(task)
        found += _unused(task)
        if strict:
            found += _drift(plan, task)
            found += _unproven(task)
    found += _overlaps(plan)
    if generated:
        found += _wide_waves(plan)
    if len(plan.tasks) == 1:
        found.append(_warning("SINGLE_TASK", "a single task: one agent or command called directly is cheaper"))
    return tuple(sorted(found, key=lambda issue: issue.line))


def _brief(plan: Plan, brief_sha256: str) -> Iterable[Issue]:
    if brief_sha256 and plan.brief_sha256 and not brief_sha256.startswith(plan.brief_sha256):
        message = "the brief changed since this plan was made for it"
        yield Issue(
            code="BRIEF_CHANGED",
            message=message,
            severity=Severity.WARNING,
            line=1,
            path="front matter.brief_sha256",
            hint=f"if the plan still fits, write {brief_sha256}",
        )


def _contradictions(task: Task) -> Iterable[Issue]:
    """A task that can never meet its own manifest."""
    wanted = [("expected_paths", path) for path in task.expected_paths]
    wanted += [("must_contain", each.path) for each in task.must_contain]
    for key, path in wanted:
        for forbidden in task.forbidden_paths:
            if path == forbidden or (not _WILDCARDS.search(path) and path_matches(forbidden, path)):
                yield Issue(
                    code="CONTRADICTION",
                    message=f"{quoted(path)} is wanted by {key} and forbidden by {quoted(forbidden)}",
                    line=task.line,
                    path=f"{task.id}.forbidden_paths",
                )


def _unused(task: Task) -> Iterable[Issue]:
    """What is written for nothing."""
    if task.is_command and task.prompt:
        yield _warning("UNUSED_PROMPT", "a command gets no prompt", task, "prompt")
    if not task.is_command and not task.prompt and not task.prose:
        yield _warning("NO_PROMPT", "the agent is told nothing but the title", task, "prompt")
    if task.changes is Changes.NONE and task.commit_message_pattern:
        yield _warning("UNUSED_PATTERN", "a task without changes makes no commit", task, "commit_message_pattern")
    for need in {need for need in task.needs if task.needs.count(need) > 1}:
        yield _warning("DUPLICATE_NEED", f"{quoted(need)} is named more than once", task, "needs")


def _drift(plan: Plan, task: Task) -> Iterable[Issue]:
    if task.profile_used and plan.profile and task.profile_used != plan.profile:
        message = f"the task was made with profile {quoted(task.profile_used)}, the plan says {quoted(plan.profile)}"
        yield _warning("MANIFEST_PROFILE_DRIFT", message, task, "profile_used")


def _unproven(task: Task) -> Iterable[Issue]:
    if task.changes is Changes.REQUIRED and not task.verify:
        yield _warning("NOTHING_PROVES_IT", "no command proves that the change works", task, "verify")


def _overlaps(plan: Plan) -> Iterable[Issue]:
    """Tasks that run side by side and are expected to leave the same file will conflict."""
    tasks = {task.id: task for task in plan.tasks}
    for wave in waves(plan.tasks):
        first: dict[str, str] = {}
        for task_id in wave:
            task = tasks[task_id]
            literal = {
                path.removeprefix("./").rstrip("/") for path in task.expected_paths if not _WILDCARDS.search(path)
            }
            for path in sorted(literal):
                other = first.setdefault(path, task_id)
                if other != task_id and task.changes is not Changes.NONE:
                    message = f"{quoted(path)} is also expected from {other}, which runs in the same wave"
                    yield _warning("OVERLAPPING_PATHS", message, task, "expected_paths", hint=f"needs: [{other}]?")


def _wide_waves(plan: Plan) -> Iterable[Issue]:
    for number, wave in enumerate(waves(plan.tasks), start=1):
        if len(wave) > MAX_GENERATED_WAVE:
            message = f"wave {number} has {len(wave)} tasks, more than the {MAX_GENERATED_WAVE} a planner should plan"
            yield _warning("WIDE_WAVE", message)


def _warning(code: str, message: str, task: Task | None = None, key: str = "", hint: str = "") -> Issue:
    path = f"{task.id}.{key}" if task else ""
    line = task.line if task else 0
    return Issue(code=code, message=message, severity=Severity.WARNING, line=line, path=path, hint=hint)
