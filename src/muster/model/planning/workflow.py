"""Workflows and teams as values: which steps there are, who takes which role, and the tasks that steps become."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from msgspec.structs import replace

from muster.model.plan import JOIN, Changes, Task
from muster.model.planning.brief import Brief
from muster.model.planning.profiles import PHASES
from muster.model.planning.roles import Role
from muster.model.record import Record


class Kind(enum.Enum):
    """What a step is made of."""

    AGENT = "agent"  # one task for an agent
    COMMAND = "command"  # one process
    SHARDS = "shards"  # agents side by side, and one that puts their answers together
    PLAN = "plan"  # an agent whose answer becomes tasks
    EXECUTE = "execute"  # the tasks of a plan
    REVIEW = "review"  # an agent that judges what was done
    GATE = "gate"  # a boundary at which a person may be asked


# What each kind of step is unless it says otherwise: phase, role, what its answer must be.
DEFAULTS = {
    Kind.AGENT: ("execute", "executor", ""),
    Kind.COMMAND: ("execute", "", ""),
    Kind.SHARDS: ("research", "explorer", ""),
    Kind.PLAN: ("plan", "planner", "plan"),
    Kind.EXECUTE: ("execute", "", ""),
    Kind.REVIEW: ("review", "reviewer", "verdict"),
    Kind.GATE: ("", "", ""),
}


class Step(Record, frozen=True):
    """One step; ``shards`` are what each agent of several is asked, ``reads`` whose answers it gets."""

    id: str
    kind: Kind = Kind.AGENT
    phase: str = ""
    title: str = ""
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    role: str = ""
    prompt: str = ""
    run: str = ""
    shards: tuple[str, ...] = ()
    boundary: str = ""
    produces: str = ""
    proves_brief: bool = False
    changes: Changes = Changes.REQUIRED
    verify: tuple[str, ...] = ()
    timeout_s: float = 1800.0
    attempts: int | None = None
    line: int = 0


class Workflow(Record, frozen=True):
    """A list of steps with needs; ``origin`` is the file it was read from, empty when built in."""

    name: str
    steps: tuple[Step, ...]
    description: str = ""
    team: str = ""
    origin: str = ""
    text: str = ""

    @property
    def commands(self) -> tuple[str, ...]:
        """All that it would run by itself."""
        return tuple(command for step in self.steps for command in (step.run, *step.verify) if command)


class Team(Record, frozen=True):
    """Who takes which role, in the order in which they are tried, and how many work side by side."""

    name: str
    roles: dict[str, tuple[str, ...]] = {}
    description: str = ""
    max_parallel: int | None = None
    origin: str = ""
    text: str = ""


class Skill(Record, frozen=True):
    """What a role can be taught: a text that is added to its prompt where the role names it."""

    name: str
    description: str
    text: str
    origin: str = ""


class Definitions(Record, frozen=True):
    """All roles, teams, workflows and skills by name, and one line for each file that cannot be used, by file."""

    roles: dict[str, Role]
    teams: dict[str, Team] = {}
    workflows: dict[str, Workflow] = {}
    skills: dict[str, Skill] = {}
    problems: dict[str, str] = {}


def compile_workflow(workflow: Workflow, brief: Brief, *, until: str = "") -> tuple[Task, ...]:
    """The tasks of a workflow; with ``until``, only those of phases up to it.

    A task of which the brief is to be proven must pass the commands and leave
    the files that the brief's success criteria name.

    >>> flow = Workflow(name="w", steps=(Step(id="a", role="explorer", phase="research"), Step(id="b", needs=("a",))))
    >>> [(task.id, task.agent, task.phase, task.reads) for task in compile_workflow(flow, Brief(slug="s"))]
    [('a', 'explorer', 'research', ()), ('b', 'executor', 'execute', ('a',))]
    """
    last = PHASES.index(until) if until else len(PHASES)
    steps = {step.id: step for step in workflow.steps}
    phases = {step.id: step.phase or DEFAULTS[step.kind][0] for step in workflow.steps}
    for step in workflow.steps:
        if not phases[step.id]:
            # A gate belongs to what it comes after.
            phases[step.id] = phases[step.needs[0]] if step.needs else "brief"
    kept = {name: step for name, step in steps.items() if PHASES.index(phases[name]) <= last}
    return tuple(task for step in kept.values() for task in _tasks(step, kept, phases[step.id], brief))


def _tasks(step: Step, steps: dict[str, Step], phase: str, brief: Brief) -> Iterator[Task]:
    _, role, produces = DEFAULTS[step.kind]
    needs = tuple(need for need in step.needs if need in steps)
    speaking = (name for name in needs if steps[name].kind not in (Kind.COMMAND, Kind.GATE, Kind.EXECUTE))
    task = Task(
        id=step.id,
        title=step.title or step.id,
        needs=needs,
        reads=tuple(name for name in step.reads or tuple(speaking) if name in steps),
        phase=phase,
        agent=step.role or role,
        run=step.run,
        prose=step.prompt,
        produces=step.produces or produces,
        changes=step.changes,
        verify=step.verify,
        timeout_s=step.timeout_s,
        # An answer that cannot be used is given back once, with what is wrong about it.
        attempts=step.attempts or (2 if step.produces or produces else None),
    )
    if step.proves_brief:
        commands = tuple(command for criterion in brief.success_criteria for command in criterion.verify)
        files = tuple(path for criterion in brief.success_criteria for path in criterion.files)
        task = replace(task, verify=(*task.verify, *commands), expected_paths=files)
    match step.kind:
        case Kind.SHARDS:
            parts = [f"{step.id}-{number}" for number in range(1, len(step.shards) + 1)]
            for name, asked in zip(parts, step.shards, strict=True):
                yield replace(task, id=name, title=f"{task.title}: {asked}"[:80], prose=asked)
            yield replace(task, needs=tuple(parts), reads=tuple(parts), title=f"{task.title}: synthesis")
        case Kind.GATE:
            # It asks about what each of several said, not only about what one made of it.
            several = (f"{name}-{n}" for name in task.reads for n, _ in enumerate(steps[name].shards, start=1))
            reads = (*task.reads, *several)
            yield replace(task, agent="", milestone=step.boundary, reads=reads, title=step.title or step.boundary)
        case Kind.EXECUTE:
            yield replace(task, agent="", milestone=JOIN, produces="", reads=step.reads or needs)
        case _:
            yield task
