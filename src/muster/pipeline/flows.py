"""What a person wants to have run, as a plan: the one that is there, or what a workflow makes of a brief."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from muster.model.errors import InputError, NotFoundError
from muster.model.plan import Plan, Task
from muster.model.planning.plan_writer import format_plan
from muster.model.planning.workflow import Workflow, compile_workflow
from muster.model.record import Record
from muster.model.running.answers import read_plan
from muster.model.running.state import RunState, TaskStatus
from muster.pipeline.artefacts import BRIEF, PLAN, artefact_path, read_artefact, slugs, write_artefact
from muster.pipeline.briefs import keep_brief, read_brief, with_free_slug


class Wanted(Record, frozen=True):
    """What was asked for on the command line: a plan, or a workflow on what is ``said`` or on a brief there is.

    With ``reuse``, research that is there for the same brief is not done again.
    """

    plan: Path | None = None
    slug: str | None = None
    workflow: str = ""
    team: str = ""
    until: str = ""
    session: str = ""
    said: bytes | None = None
    source: str = ""
    from_brief: bool = False
    reuse: bool = False

    def but(self, **changes: Any) -> Wanted:
        """The same with other values."""
        return replace(self, **changes)

    @property
    def workflows(self) -> tuple[str, ...]:
        """The workflows that may be meant, the likeliest first; research may have been done by the larger one.

        >>> Wanted().workflows, Wanted(reuse=True).workflows, Wanted(workflow="ours", reuse=True).workflows
        (('default',), ('default', 'pipeline'), ('ours',))
        """
        if self.workflow:
            return (self.workflow,)
        return ("default", "pipeline") if self.reuse else ("default",)

    @property
    def is_plan(self) -> bool:
        """Whether a plan is run as it is."""
        return self.said is None and not self.from_brief


def plan_of(project: Path, workflow: Workflow, wanted: Wanted, now: datetime, *, keep: bool) -> Plan:
    """The tasks of a workflow for what a person said; with ``keep``, the brief becomes a file of the project.

    Raises:
        InputError: no brief can be made of it, or the workflow has no step up to the phase.
    """
    said, source = (wanted.said, wanted.source) if wanted.said is not None else _brief_there(project, wanted.slug)
    told = with_free_slug(project, read_brief(said, source, now, slug=wanted.slug), source)
    tasks = compile_workflow(workflow, told.brief, until=wanted.until)
    if not tasks:
        raise InputError(f"The workflow {workflow.name!r} has no step up to the phase {wanted.until!r}.")
    if keep:
        keep_brief(project, told, source, force=True)
    answers = _found_out(project, told.brief.slug, tasks) if wanted.reuse else {}
    return Plan(
        slug=told.brief.slug,
        tasks=tasks,
        title=told.brief.title,
        sha256=sha256(told.text.encode()).hexdigest(),
        source=source,
        profile=told.brief.profile,
        workflow=workflow.name,
        brief=told.text,
        answers=answers,
        passed=tuple(task.id for task in tasks if answers and task.phase == "research" and task.milestone),
    )


def _found_out(project: Path, slug: str, tasks: tuple[Task, ...]) -> dict[str, str]:
    """What the project's folder holds as answers to all research of these tasks for its brief; else nothing."""
    answers, brief = {}, read_artefact(project, slug, BRIEF) or b""
    for task in tasks:
        if task.phase == "research" and not task.milestone:
            text = (read_artefact(project, slug, f"research/{task.id}.md") or b"").decode("utf-8", "replace")
            head, _, answer = text.replace("\r\n", "\n").partition("\n\n")
            if head != _research_head(task.title, brief) or not answer.strip():
                return {}
            answers[task.id] = answer
    return answers


def _research_head(title: str, brief: bytes) -> str:
    """What an answer begins with: what was asked, and for which brief."""
    return f"# {title}\n<!-- for the brief {sha256(brief).hexdigest()[:16]} -->"


def _brief_there(project: Path, slug: str | None) -> tuple[bytes, str]:
    """The brief of a project; without a slug the only one there is."""
    found = [slug] if slug else [name for name in slugs(project) if artefact_path(project, name, BRIEF).is_file()]
    if len(found) > 1:
        raise InputError(f"There are several briefs: {', '.join(found)}.", hint="name one with --project")
    data = read_artefact(project, found[0], BRIEF) if found else None
    if data is None:
        raise NotFoundError("There is no brief.", hint='muster run -m "what is wanted", or muster brief')
    return data, str(artefact_path(project, found[0], BRIEF))


def write_answers(project: Path, folder: Path, state: RunState) -> None:
    """Keep what agents found out and planned as the project's research and plan; a plan that is there stays."""
    slug = state.accepted.slug
    for name, entry in state.tasks.items():
        outcome = entry.last.outcome if entry.attempts else None
        if outcome is None or outcome.answer is None or entry.status is not TaskStatus.DONE:
            continue
        answer = (folder / outcome.answer.path).read_text("utf-8")
        if entry.task.phase == "research":
            head = _research_head(entry.task.title, read_artefact(project, slug, BRIEF) or b"")
            write_artefact(project, slug, f"research/{name}.md", f"{head}\n\n{answer}\n")
        elif entry.task.produces == "plan":
            text = _plan_text(answer, state, read_artefact(project, slug, BRIEF) or b"")
            there = read_artefact(project, slug, PLAN)
            write_artefact(project, slug, PLAN if there in (None, text.encode()) else f"plan-{state.run}.md", text)


def _plan_text(answer: str, state: RunState, brief: bytes) -> str:
    """An agent's plan as a plan of the project, with what a run of it has to know."""
    accepted = state.accepted
    return format_plan(
        replace(
            read_plan(answer, state),
            slug=accepted.slug,
            title=accepted.title,
            brief_sha256=sha256(brief).hexdigest() if brief else "",
            profile=accepted.policy.profile,
            phase_models=accepted.policy.phase_models,
            session_start_sha=accepted.base,
        )
    )
