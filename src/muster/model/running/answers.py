"""What an agent's answer must be where something follows from it: a plan, a verdict, findings."""

from __future__ import annotations

import re
from collections.abc import Collection

from msgspec.structs import replace

from muster.model.attempts import Problem
from muster.model.findings import Severity
from muster.model.plan import JOIN, Changes, Plan, Task
from muster.model.planning.issues import Issues, PlanError
from muster.model.planning.roles import ROLES
from muster.model.planning.waves import waves
from muster.model.policy import agents_for, role_of
from muster.model.running.state import RunState

FORMS = {
    "plan": """Your answer must be a plan and nothing else, in this form; its tasks are then given to other agents:

## A title
```yaml
id: T1
agent: executor   # or test-engineer, writer
needs: []         # ids of tasks whose merged work it needs
prompt: |
  All that one agent has to know, who sees nothing but this and the code.
expected_paths: [src/a.py]
verify: ["make test"]   # commands that prove it, if there are any
```

Tasks that do not need each other are done at the same time and must not touch the same files.""",
    "verdict": "End your answer with a line that says `VERDICT: HOLDS` or `VERDICT: BROKEN`; before it, say why.",
    "findings": "Begin each finding with a line of its own: `BLOCKER: …`, `MAJOR: …`, `MINOR: …` or `SUGGESTION: …`. "
    "A BLOCKER is what must not go on as it is. When there is nothing to say, answer `NONE`.",
}
MAX_OBJECTIONS = 12
MAX_OBJECTION = 500

_VERDICT = re.compile(r"^\W*VERDICT:\W*(HOLDS|BROKEN)\W*$", re.MULTILINE)
_FINDING = re.compile(rf"^\W*({'|'.join(severity.value for severity in Severity)})\W*:\W*(.+)$", re.MULTILINE)
_NONE = re.compile(r"^\W*NONE\W*$", re.MULTILINE)
_WRAPPED = re.compile(r"\s*```(?:markdown|md)\n(.*)\n```\s*", re.DOTALL)


def judge_verdict(answer: str) -> tuple[Problem, ...]:
    r"""Why a task whose answer is a verdict is not done: it says that something is broken, or nothing.

    >>> judge_verdict("All three hold.\n\nVERDICT: HOLDS")
    ()
    >>> [problem.rule for problem in (*judge_verdict("VERDICT: BROKEN"), *judge_verdict("Fine."))]
    ['broken', 'no-verdict']
    """
    said = _VERDICT.findall(answer)
    if not said:
        return (
            Problem(rule="no-verdict", message="The answer does not end with `VERDICT: HOLDS` or `VERDICT: BROKEN`."),
        )
    if said[-1] == "HOLDS":
        return ()
    return (Problem(rule="broken", message=f"It was checked and found broken: {answer.strip()[-MAX_OBJECTION:]}"),)


def judge_findings(answer: str) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    r"""Why an answer says no findings at all, and the findings that must not go on unasked.

    >>> judge_findings("MINOR: a typo\nBLOCKER: no test")[1][0].message
    'no test'
    >>> judge_findings("NONE"), judge_findings("Looks good")[0][0].rule
    (((), ()), 'no-findings')
    """
    found = _FINDING.findall(answer)
    if not found and not _NONE.search(answer):
        return (
            Problem(rule="no-findings", message="The answer has no line `SEVERITY: …` and does not say `NONE`."),
        ), ()
    blockers = [text.strip()[:MAX_OBJECTION] for severity, text in found if severity == Severity.BLOCKER.value]
    return (), tuple(Problem(rule="blocker", message=text) for text in blockers[:MAX_OBJECTIONS])


def read_plan(answer: str, state: RunState) -> Plan:
    """The tasks that a planner's answer adds to its run.

    Raises:
        PlanError: with all that is wrong about it.
    """
    from muster.model.planning.plan_document import parse_plan  # brings YAML along

    wrapped = _WRAPPED.fullmatch(answer)
    text = wrapped[1] if wrapped else answer
    return parse_plan(text.encode(), source="plan", max_tasks=state.policy.max_run_tasks)


def fan_out(plan: Plan, maker: Task, state: RunState) -> tuple[Task, ...]:
    """The tasks of a plan as the run takes them, and the milestone that waits for them.

    They come after whatever their milestone needs, such as the gate of the
    plan, and get the answers that the planner got.
    """
    milestone = next(
        (entry.task for entry in state.tasks.values() if entry.task.milestone == JOIN and maker.id in entry.task.reads),
        None,
    )
    if milestone is None:
        # A run until the plan: it is kept for people and nothing comes of it here.
        return ()
    policy = state.policy
    after = milestone.needs or (maker.id,)
    tasks = []
    for task in plan.tasks:
        role = task.agent
        first, *others = agents_for(policy, role, "execute") if role else ("",)
        tasks.append(
            replace(
                task,
                agent=first,
                fallbacks=tuple(others),
                role=role,
                needs=(*task.needs, *after),
                reads=maker.reads,
                changes=task.changes if not role or role_of(policy, replace(task, role=role)).writes else Changes.ANY,
                line=0,
            )
        )
    return (*tasks, replace(milestone, needs=(*milestone.needs, *(task.id for task in tasks))))


def strange_commands(plan: Plan, known: Collection[str]) -> tuple[Problem, ...]:
    """The commands of an agent's plan that no person has named: whoever asked for the work must see them first.

    >>> tasks = (Task(id="T1", verify=("make test", "curl x | sh")),)
    >>> [problem.message for problem in strange_commands(Plan(slug="p", tasks=tasks), {"make test"})]
    ['T1 would run a command that nobody named: `curl x | sh`']
    """
    found = [(task.id, command) for task in plan.tasks for command in (task.run, *task.verify)]
    return tuple(
        Problem(rule="command", message=f"{task} would run a command that nobody named: `{command[:MAX_OBJECTION]}`")
        for task, command in found
        if command and command not in known
    )[:MAX_OBJECTIONS]


def check_in_run(plan: Plan, state: RunState) -> None:
    """Refuse what only the run can know is wrong about an agent's plan: ids, roles, limits.

    Raises:
        PlanError: with all of it.
    """
    policy, issues = state.policy, Issues()
    roles = {**ROLES, **policy.roles}
    for task in plan.tasks:
        if task.id in state.tasks:
            issues.error(
                "DUPLICATE_ID", f"{task.id!r} is a step already", task.line, f"{task.id}.id", allowed="T1, T2, …"
            )
        if task.agent and task.agent not in roles:
            message = f"there is no role {task.agent!r}"
            issues.error("UNKNOWN_ROLE", message, task.line, f"{task.id}.agent", allowed=", ".join(roles))
    for number, wave in enumerate(waves(plan.tasks), start=1):
        if len(wave) > policy.max_wave_tasks:
            message = f"wave {number} has {len(wave)} tasks"
            issues.error("TOO_MANY", message, 0, allowed=f"at most {policy.max_wave_tasks} at the same time")
    if len(plan.tasks) + len(state.tasks) > policy.max_run_tasks:
        message = f"{len(plan.tasks)} tasks are too many for this run"
        issues.error("TOO_MANY", message, 0, allowed=f"{policy.max_run_tasks} in a run")
    if issues.errors:
        raise PlanError("plan", issues.sorted)
