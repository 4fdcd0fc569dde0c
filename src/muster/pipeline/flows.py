"""What a person wants to have run, as a plan: the one that is there, or what a workflow makes of a brief."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from muster.model.errors import InputError, NotFoundError
from muster.model.plan import Plan
from muster.model.record import Record
from muster.model.workflow import Workflow, compile_workflow
from muster.pipeline.artefacts import BRIEF, artefact_path, read_artefact, slugs
from muster.pipeline.briefs import keep_brief, read_brief, with_free_slug


class Wanted(Record, frozen=True):
    """What was asked for on the command line: a plan, or a workflow on what is ``said`` or on a brief there is."""

    plan: Path | None = None
    slug: str | None = None
    workflow: str = ""
    team: str = ""
    until: str = ""
    said: bytes | None = None
    source: str = ""
    from_brief: bool = False

    def but(self, **changes: Any) -> Wanted:
        """The same with other values."""
        return replace(self, **changes)

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
    return Plan(
        slug=told.brief.slug,
        tasks=tasks,
        title=told.brief.title,
        sha256=sha256(told.text.encode()).hexdigest(),
        source=source,
        profile=told.brief.profile,
        workflow=workflow.name,
        brief=told.text,
    )


def _brief_there(project: Path, slug: str | None) -> tuple[bytes, str]:
    """The brief of a project; without a slug the only one there is."""
    found = [slug] if slug else [name for name in slugs(project) if artefact_path(project, name, BRIEF).is_file()]
    if len(found) > 1:
        raise InputError(f"There are several briefs: {', '.join(found)}.", hint="name one with --project")
    data = read_artefact(project, found[0], BRIEF) if found else None
    if data is None:
        raise NotFoundError("There is no brief.", hint='muster run -m "what is wanted", or muster brief')
    return data, str(artefact_path(project, found[0], BRIEF))
