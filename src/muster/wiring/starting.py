"""Starting a run: a new one, one that goes on for another, or one whose owner is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from random import SystemRandom
from typing import TYPE_CHECKING

from muster.config.policy import run_policy, with_fixer, with_models
from muster.config.profiles import choose_profile
from muster.engine.journal import Journal
from muster.engine.neighbours import Neighbours
from muster.engine.ownership import begin, requeue_all, resume
from muster.model.errors import RefusedError
from muster.model.ids import new_id
from muster.model.journal.events import ConfigResolved
from muster.model.limits import RUN
from muster.model.plan import Plan, Task
from muster.model.policy import RunPolicy
from muster.model.running.state import RunState, replace
from muster.pipeline.artefacts import PROGRESS, read_artefact, read_plan
from muster.pipeline.compose import accept, carry_on, find_agents, settle_tasks, with_answers
from muster.ports import Agent
from muster.process import is_alive
from muster.wiring.kit import Kit, Project, operator
from muster.wiring.parts import agents, refuse_wrong_outlets, repository_of, workspace_of
from muster.workspaces.repository import Repository

if TYPE_CHECKING:
    from muster.pipeline.flows import Wanted

# Who did what stays, whoever goes on with the run.
CREW = ("team", "phase_agents", "roles", "known_commands", "max_wave_tasks", "max_run_tasks")


def planned(place: Project, wanted: Wanted, now: datetime, *, keep: bool) -> tuple[Plan, str]:
    """The plan to run and the name of its team; with ``keep``, a brief becomes a file of the project.

    Raises:
        NotFoundError: there is no such plan, brief or workflow.
        RefusedError: the workflow would run commands of a repository that nobody trusts.
    """
    if wanted.is_plan:
        return read_plan(place.project, path=wanted.plan, slug=wanted.slug), wanted.team
    from muster.config.definitions import find_workflow, load_definitions  # brings YAML along
    from muster.pipeline.flows import plan_of

    defined = load_definitions(place.project, trusted=place.trusted)
    flows = [find_workflow(defined, name, trusted=place.trusted) for name in wanted.workflows]
    plans = [plan_of(place.project, flow, wanted, now, keep=keep) for flow in flows]
    # The first of which all research is there, or else the first.
    plan, flow = max(zip(plans, flows, strict=True), key=lambda each: bool(each[0].answers))
    return plan, wanted.team or flow.team


async def start_run(kit: Kit, plan: Plan, team: str = "", session: str = "") -> Journal:
    """Accept a plan, or what a workflow makes of a brief, as a new run that this process owns.

    Runs of one ``session`` belong together; without one, the run begins a session of its own name.

    Raises:
        RefusedError: the repository's own configuration would run commands and is not trusted.
        InputError: an agent, profile or manifest is wrong; nothing was started.
    """
    repository = await repository_of(kit)
    await _refuse_untrusted(kit, repository)
    refuse_wrong_outlets(kit)
    snapshot = await repository.snapshot()
    # A link in the way of what is written at the end is found now and not then.
    read_artefact(kit.project, plan.slug, PROGRESS)
    policy = crew_policy(kit, plan, team)
    run = new_id(kit.clock.now(), SystemRandom())
    workspace = workspace_of(kit, repository, run, policy)
    start_tree = await workspace.tree_of(snapshot.commit)
    able = agents(kit.resolved.settings.agents)
    tasks = with_answers(settle_tasks(plan.tasks, policy, able, kit.folder(run)), plan.answers, kit.folder(run))
    await find_agents((task for task in tasks if task.id not in plan.answers), able)
    policy = await _with_history(kit, _for_agents(kit, policy, tasks, able))
    accepted = accept(plan, policy, snapshot, start_tree, kit.folder(run))
    return await begin(kit.store, kit.clock, kit.owner, run, accepted, tasks, given=_given(kit), session=session)


async def restart_run(kit: Kit, old: RunState) -> Journal:
    """A new run for what an ended one left open, on top of the work that it integrated."""
    repository = await repository_of(kit)
    await _refuse_untrusted(kit, repository)
    refuse_wrong_outlets(kit)
    policy = _as_before(kit, old.policy, policy_for(kit, plan_profile=old.accepted.profile))
    run = new_id(kit.clock.now(), SystemRandom())
    policy = replace(policy, **{name: getattr(old.policy, name) for name in CREW})
    accepted, tasks = carry_on(old, policy, await repository.snapshot())
    able = agents(kit.resolved.settings.agents)
    settled = settle_tasks(tasks, policy, able, kit.folder(run))
    await find_agents(settled, able)
    accepted = replace(accepted, policy=await _with_history(kit, _for_agents(kit, policy, settled, able)))
    whose = {"channel": old.channel, "session": old.session}
    journal = await begin(kit.store, kit.clock, kit.owner, run, accepted, settled, given=_given(kit), **whose)
    await requeue_all(kit.store, kit.clock, kit.owner, old.run, is_alive, by=operator())
    return journal


async def resume_run(kit: Kit, run: str, *, reason: str) -> Journal:
    """Take over a run that nobody drives."""
    refuse_wrong_outlets(kit)
    return await resume(kit.store, kit.clock, kit.owner, run, is_alive, reason=reason)


def policy_for(kit: Project, *, plan_profile: str = "") -> RunPolicy:
    """What files, environment and flags say about a new run; a plan that is gone on with brings its own profile.

    Raises:
        RefusedError: a file of the project asks for something that needs trust.
    """
    choice = choose_profile(kit.project, resolved=kit.resolved, frontmatter=plan_profile)
    return run_policy(kit.resolved.required(), choice)


def crew_policy(kit: Project, plan: Plan, team: str = "") -> RunPolicy:
    """The policy of a new run of this plan, with who does what; a plan of commands asks for nobody.

    Raises:
        NotFoundError: there is no such team or agent.
    """
    policy = policy_for(kit)
    if all(task.is_command for task in plan.tasks) and not team:
        return policy
    from muster.config.crew import with_crew  # brings YAML along
    from muster.pipeline.starter import command_for_tests

    settings, test = kit.resolved.settings, command_for_tests(kit.project)
    return with_crew(policy, plan, team, kit.project, settings, trusted=kit.trusted, test=test)


def _given(kit: Kit) -> ConfigResolved:
    values, sources = kit.resolved.given()
    return ConfigResolved(values=values, sources=sources)


async def _with_history(kit: Kit, policy: RunPolicy) -> RunPolicy:
    """The policy with what attempts needed so far, if there is a budget that they must fit into."""
    if not policy.budgets:
        return policy
    neighbours = Neighbours(kit.store)
    await neighbours.refresh()
    return replace(policy, usual=neighbours.usual())


def _for_agents(kit: Kit, policy: RunPolicy, tasks: Iterable[Task], able: Mapping[str, Agent]) -> RunPolicy:
    """The policy with what is decided once for the agents of a plan: models, permissions, who can resume, who mends."""
    policy = with_fixer(with_models(policy, tasks, kit.resolved.settings.agents), tasks)
    return replace(policy, resumes=tuple(name for name, agent in able.items() if agent.capabilities.resume))


def _as_before(kit: Kit, old: RunPolicy, new: RunPolicy) -> RunPolicy:
    """The policy of a run that goes on for another: what was asked for then holds, unless a flag says otherwise now."""
    kept = {"run.gates": "autonomy", "run.schedule": "schedule", "run.max_parallel": "max_parallel"}
    given = {key for key, value in kit.flags.values() if value is not None}
    if "budget.run" not in given:
        old_run = tuple(limit for limit in old.budgets if limit.scope == RUN)
        new = replace(new, budgets=(*old_run, *(limit for limit in new.budgets if limit.scope != RUN)))
    return replace(new, **{name: getattr(old, name) for key, name in kept.items() if key not in given})


async def _refuse_untrusted(kit: Kit, repository: Repository) -> None:
    if kit.trusted:
        return
    commands = await repository.untrusted_commands(hooks=kit.resolved.settings.git.hooks)
    if commands:
        raise RefusedError(
            f"This repository's own git configuration would run commands: {', '.join(commands)}.",
            hint="Look at them with git config --local --list; muster trust allows them.",
        )
