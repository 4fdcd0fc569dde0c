"""The only place that knows concrete classes: puts a project's parts together and drives a run."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import SystemRandom
from typing import Any

import anyio

from muster import plugins
from muster.clock import SystemClock
from muster.config.load import find_project, load_settings
from muster.config.policy import notification_rules, review_seats, run_policy, with_fixer, with_models
from muster.config.profiles import choose_profile
from muster.config.resolve import Resolved
from muster.config.settings import AgentsSettings, TelemetrySettings
from muster.config.trust import TrustState, trust_state
from muster.engine.actor import Actor
from muster.engine.herald import Herald
from muster.engine.journal import Journal
from muster.engine.neighbours import Neighbours
from muster.engine.ownership import begin, requeue_all, resume
from muster.executors.local import LocalExecutor
from muster.executors.seats import MIB, Seats
from muster.model.budget import RUN
from muster.model.errors import MusterError, RefusedError
from muster.model.ids import new_id
from muster.model.messages import Message
from muster.model.plan import Plan, Task
from muster.model.policy import RunPolicy
from muster.model.redaction import Redactor, secret_values
from muster.model.state import RunState, replace
from muster.pipeline.artefacts import PROGRESS, read_artefact, write_progress, write_text
from muster.pipeline.compose import accept, carry_on, find_agents, settle_tasks
from muster.pipeline.reviewing import ProjectExaminer, agent_reviewers
from muster.ports import (
    Agent,
    Approver,
    Binding,
    Clock,
    Exporter,
    Listener,
    Owner,
    Store,
    Workspace,
)
from muster.process import is_alive, this_owner
from muster.reports.markdown import report
from muster.stores.sqlite.store import SqliteStore
from muster.telemetry.handing import destination_of, hand_over, resource_of
from muster.telemetry.mirror import Mirror, mirror_path
from muster.telemetry.notices import NOTICES, notice_sinks
from muster.telemetry.session import TelemetrySession
from muster.telemetry.watching import Watcher, watching
from muster.workspaces.repository import Repository
from muster.workspaces.workspace import GitWorkspace

Flags = Mapping[str, tuple[str, Any]]
STATE = Path(".muster/state")
METRICS = STATE / "metrics"
AGENTS = "muster.agents"
# Who did what stays, whoever goes on with the run.
CREW = ("team", "phase_agents", "roles", "known_commands", "max_wave_tasks", "max_run_tasks")
EXPORTERS = "muster.exporters"
# Ways of exporting in which nothing is handed over: prometheus comes and asks.
NOT_HANDED_OVER = frozenset({"off", "prometheus"})


@dataclass(frozen=True)
class Kit:
    """A project's parts, ready to be used; made by `open_project`."""

    project: Path
    store: Store
    clock: Clock
    owner: Owner
    flags: Flags

    @cached_property
    def trusted(self) -> bool:
        """Whether the operator trusts what this repository brings."""
        return trust_state(self.project) is TrustState.TRUSTED

    @cached_property
    def resolved(self) -> Resolved:
        """The settings, read when they are first needed: looking at runs and stopping them needs none."""
        return load_settings(self.project, environ=os.environ, flags=self.flags, trusted=self.trusted)

    @cached_property
    def exporters(self) -> tuple[Exporter, ...]:
        """The exporters that the settings ask for, made before anything starts: a wrong setting is told then."""
        return exporters_of(self.resolved.settings.telemetry, os.environ)

    @cached_property
    def mirror(self) -> Mirror | None:
        """The audit mirror that the settings ask for; an ``InputError`` if it cannot be where they say."""
        asked, state = self.resolved.settings.audit, self.project / STATE
        if path := mirror_path(asked.path, self.project, os.environ):
            return Mirror(self.store, self.clock, path, state, os.environ, asked.retention_days)
        return None

    def folder(self, run: str) -> Path:
        """Where a run keeps what is too big for its journal."""
        return self.project / STATE / "runs" / run


@asynccontextmanager
async def open_project(cwd: Path, flags: Flags | None = None, *, read_only: bool = False) -> AsyncIterator[Kit]:
    """Find the project around ``cwd`` and open its store; ``read_only`` creates and changes nothing."""
    project = find_project(cwd)
    clock = SystemClock()
    if not read_only:
        repository = await Repository.discover(project)
        await repository.make_state_folders()
    store = await SqliteStore.open(project / STATE / "muster.db", read_only=read_only)
    try:
        yield Kit(project, store, clock, this_owner(), flags or {})
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


def exporters_of(asked: TelemetrySettings, environ: Mapping[str, str]) -> tuple[Exporter, ...]:
    """The exporters that settings ask for.

    Raises:
        InputError: one is unknown or lacks its destination.
    """
    destination = destination_of(asked.textfile_dir, asked.otel_endpoint, environ, private=asked.otel_allow_private)
    modes = [mode for mode in dict.fromkeys(asked.export) if mode not in NOT_HANDED_OVER]
    return tuple(plugins.find(EXPORTERS, mode)(destination) for mode in modes)


def agents(settings: AgentsSettings) -> dict[str, Agent]:
    """All agents by name: every dialect under its own name, and what the settings bind to a dialect.

    Raises:
        NotFoundError: the settings name a dialect that there is none of.
    """
    own = {name: plugins.find(AGENTS, name)() for name in plugins.names(AGENTS)}
    bound = {
        name: plugins.find(AGENTS, one.dialect or name)(
            Binding(
                name=name,
                command=one.command,
                permission=one.permission,
                env_allow=one.env_allow,
                models=one.models,
            )
        )
        for name, one in settings.named.items()
    }
    return {**own, **bound}


async def start_run(kit: Kit, plan: Plan, team: str = "") -> Journal:
    """Accept a plan, or what a workflow makes of a brief, as a new run that this process owns.

    Raises:
        RefusedError: the repository's own configuration would run commands and is not trusted.
        InputError: an agent, profile or manifest is wrong; nothing was started.
    """
    repository = await Repository.discover(kit.project)
    await _refuse_untrusted(kit, repository)
    _ = kit.exporters, kit.mirror
    snapshot = await repository.snapshot()
    # A link in the way of what is written at the end is found now and not then.
    read_artefact(kit.project, plan.slug, PROGRESS)
    policy = crew_policy(kit, plan, team)
    run = new_id(kit.clock.now(), SystemRandom())
    workspace = _workspace(kit, repository, run, policy)
    start_tree = await workspace.tree_of(snapshot.commit)
    able = agents(kit.resolved.settings.agents)
    tasks = settle_tasks(plan.tasks, policy, able, kit.folder(run))
    await find_agents(tasks, able)
    policy = await _with_history(kit, _for_agents(kit, policy, tasks, able))
    accepted = accept(plan, policy, snapshot, start_tree, kit.folder(run))
    return await begin(kit.store, kit.clock, kit.owner, run, accepted, tasks)


async def restart_run(kit: Kit, old: RunState) -> Journal:
    """A new run for what an ended one left open, on top of the work that it integrated."""
    repository = await Repository.discover(kit.project)
    await _refuse_untrusted(kit, repository)
    _ = kit.exporters, kit.mirror
    policy = _as_before(kit, old.policy, policy_for(kit, plan_profile=old.accepted.profile))
    run = new_id(kit.clock.now(), SystemRandom())
    policy = replace(policy, **{name: getattr(old.policy, name) for name in CREW})
    accepted, tasks = carry_on(old, policy, await repository.snapshot())
    able = agents(kit.resolved.settings.agents)
    settled = settle_tasks(tasks, policy, able, kit.folder(run))
    await find_agents(settled, able)
    accepted = replace(accepted, policy=await _with_history(kit, _for_agents(kit, policy, settled, able)))
    whose = {"channel": old.channel, "session": old.session}
    journal = await begin(kit.store, kit.clock, kit.owner, run, accepted, settled, **whose)
    await requeue_all(kit.store, kit.clock, kit.owner, old.run, is_alive, by=os.environ.get("USER") or "operator")
    return journal


async def _with_history(kit: Kit, policy: RunPolicy) -> RunPolicy:
    """The policy with what attempts needed so far, if there is a budget that they must fit into."""
    if not policy.budgets:
        return policy
    neighbours = Neighbours(kit.store)
    await neighbours.refresh()
    return replace(policy, usual=neighbours.usual())


async def resume_run(kit: Kit, run: str, *, reason: str) -> Journal:
    """Take over a run that nobody drives."""
    _ = kit.exporters, kit.mirror
    return await resume(kit.store, kit.clock, kit.owner, run, is_alive, reason=reason)


async def drive(kit: Kit, journal: Journal, approver: Approver | None, listeners: Iterable[Listener] = ()) -> RunState:
    """Drive an owned run until it ends, waits for a person or is interrupted; then let go of it."""
    session = None
    if kit.resolved.settings.telemetry.enabled:
        resource = resource_of(kit.project)
        session = TelemetrySession(kit.clock, kit.project / METRICS, environ=os.environ, resource=resource)
        session.start(await kit.store.read(journal.state.run))
    async with watching(session, kit.mirror) as watchers:
        return await _drive(kit, journal, approver, (*listeners, *watchers), watchers)


async def _drive(
    kit: Kit,
    journal: Journal,
    approver: Approver | None,
    listeners: Iterable[Listener],
    watchers: Sequence[Watcher],
) -> RunState:
    run, policy = journal.state.run, journal.state.policy
    workspace = _workspace(kit, await Repository.discover(kit.project), run, policy)
    settings, able = kit.resolved.settings, agents(kit.resolved.settings.agents)
    executor = executor_of(kit, able)
    reviewers = agent_reviewers(review_seats(settings, policy), able, executor, workspace, kit.folder(run))
    parts = (journal, kit.store, workspace, executor, kit.clock)
    redact, gate = Redactor(secret_values(os.environ)), settings.review.gate
    examiner = ProjectExaminer(kit.project, kit.clock, gate, redact, settings.review.commands, reviewers)
    actor = Actor(*parts, folder=kit.folder(run), approver=approver, examiner=examiner, listeners=listeners)
    notify = settings.notify
    sinks = notice_sinks(
        kit.project / STATE / NOTICES if notify.jsonl else None,
        bell=notify.bell,
        webhook=notify.webhook,
        allow_private=notify.webhook_allow_private,
    )
    herald = Herald(kit.store, kit.clock, sinks, notification_rules(notify), journal.state, actor.mention)
    journal.listen((*listeners, herald))
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_obey_signals, kit, actor, name="signals")
            for watcher in watchers:
                group.start_soon(watcher.keep, name=type(watcher).__name__.lower())
            group.start_soon(herald.serve, name="notifications")
            await actor.drive()
            await herald.finish()
            group.cancel_scope.cancel()
        with suppress(MusterError):
            # The run is over; what could not be written any more was told all the same.
            await journal.append()
    except BaseException as error:
        # What went wrong first is what is told, not what then fails for the same reason.
        with suppress(MusterError):
            await _let_go(kit, journal)
        raise (error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error) from error
    finally:
        executor.close()
    if kit.resolved.settings.telemetry.enabled and kit.exporters:
        await _hand_over(kit, journal)
    await _let_go(kit, journal)
    return journal.state


def executor_of(kit: Kit, able: Mapping[str, Agent]) -> LocalExecutor:
    """Whoever runs agents on this machine, within its limits."""
    limits = kit.resolved.settings.run
    return LocalExecutor(able, kit.clock, Seats(kit.clock, limits.host_parallel, limits.min_free_memory_mb * MIB))


async def _hand_over(kit: Kit, journal: Journal) -> None:
    """Tell the exporters how things are; that one could not be told is a fact of the run and no failure of it."""
    with anyio.CancelScope(shield=True):
        failed = await hand_over(kit.exporters, kit.project, kit.store, kit.clock, journal.state, os.environ)
        with suppress(MusterError):
            await journal.append(failed)


async def _let_go(kit: Kit, journal: Journal) -> None:
    with anyio.CancelScope(shield=True):
        try:
            write_artefacts(kit, journal.state)
        finally:
            await kit.store.release(journal.lease)


def write_artefacts(kit: Kit, state: RunState) -> Path:
    """Write the run's report and the project's progress file; returns the path of the report."""
    place = kit.folder(state.run) / "report.md"
    write_text(place, report(state))
    write_progress(kit.project, state)
    if state.accepted.workflow:
        from muster.pipeline.flows import write_answers  # brings YAML along

        write_answers(kit.project, kit.folder(state.run), state)
    return place


def policy_for(kit: Kit, *, plan_profile: str = "") -> RunPolicy:
    """What files, environment and flags say about a new run; a plan that is gone on with brings its own profile.

    Raises:
        RefusedError: a file of the project asks for something that needs trust.
    """
    choice = choose_profile(kit.project, resolved=kit.resolved, frontmatter=plan_profile)
    return run_policy(kit.resolved.required(), choice)


def crew_policy(kit: Kit, plan: Plan, team: str = "") -> RunPolicy:
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


def message(kit: Kit, run: str, kind: str, **data: str) -> Message:
    """A message to whoever drives the run."""
    now = kit.clock.now()
    sender = f"{os.environ.get('USER') or 'operator'}"
    return Message(id=new_id(now, SystemRandom()), run=run, kind=kind, sender=sender, at=now, data=data)


async def repository_of(kit: Kit) -> Repository:
    """The repository that a project is in."""
    return await Repository.discover(kit.project)


def _for_agents(kit: Kit, policy: RunPolicy, tasks: Iterable[Task], able: Mapping[str, Agent]) -> RunPolicy:
    """The policy with what is decided once for the agents of a plan: models, permissions, who can resume, who mends."""
    policy = with_fixer(with_models(policy, tasks, kit.resolved.settings.agents), tasks)
    return replace(policy, resumes=tuple(name for name, agent in able.items() if agent.capabilities.resume))


async def _obey_signals(kit: Kit, actor: Actor) -> None:
    """Ctrl-C once stops the run, twice at once; a lost terminal or a SIGTERM leaves it to be continued."""
    asked = False
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            if number is not signal.SIGINT:
                actor.shut_down(f"shutdown ({number.name})")
            elif asked:
                actor.hurry()
            else:
                asked = True
                await kit.store.post(message(kit, actor.state.run, "stop", source="signal"))


def _as_before(kit: Kit, old: RunPolicy, new: RunPolicy) -> RunPolicy:
    """The policy of a run that goes on for another: what was asked for then holds, unless a flag says otherwise now."""
    kept = {"run.gates": "autonomy", "run.schedule": "schedule", "run.max_parallel": "max_parallel"}
    given = {key for key, value in kit.flags.values() if value is not None}
    if "budget.run" not in given:
        old_run = tuple(limit for limit in old.budgets if limit.scope == RUN)
        new = replace(new, budgets=(*old_run, *(limit for limit in new.budgets if limit.scope != RUN)))
    return replace(new, **{name: getattr(old, name) for key, name in kept.items() if key not in given})


def _workspace(kit: Kit, repository: Repository, run: str, policy: RunPolicy) -> Workspace:
    return GitWorkspace(repository, run, link=policy.worktree_link, copy=policy.worktree_copy, clock=kit.clock)


async def _refuse_untrusted(kit: Kit, repository: Repository) -> None:
    if kit.trusted:
        return
    commands = await repository.untrusted_commands(hooks=kit.resolved.settings.git.hooks)
    if commands:
        raise RefusedError(
            f"This repository's own git configuration would run commands: {', '.join(commands)}.",
            hint="Look at them with git config --local --list; muster trust allows them.",
        )
