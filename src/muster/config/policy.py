"""What a run keeps of the settings, so that a resumed run behaves the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import time
from typing import TYPE_CHECKING

from msgspec import convert

from muster.config.profiles import load_models
from muster.config.settings import (
    AgentSettings,
    AgentsSettings,
    BudgetSettings,
    NotifySettings,
    ReviewSettings,
    Settings,
)
from muster.model.errors import InputError
from muster.model.findings import CONFORMANCE, CORRECTNESS
from muster.model.heartbeats import Thresholds
from muster.model.limits import DAY, PROJECT, RUN, Limit, parse_budget
from muster.model.plan import Task, chosen
from muster.model.planning.profiles import ProfileChoice
from muster.model.planning.roles import ROLES
from muster.model.planning.tiers import resolve_model
from muster.model.policy import RetryPolicy, RunPolicy, agents_for
from muster.model.running.state import replace
from muster.model.views.notifications import Rules, Severity
from muster.ports import ReviewSeat

if TYPE_CHECKING:
    from muster.review.review import ReviewRequest


def budgets(settings: BudgetSettings) -> tuple[Limit, ...]:
    """The limits that the settings name.

    Raises:
        InputError: one of them is no budget.
    """
    found: list[Limit] = []
    for scope, text in ((RUN, settings.run), (DAY, settings.day), (PROJECT, settings.project)):
        try:
            found += parse_budget(text, scope)
        except ValueError as error:
            raise InputError(f"budget.{scope}: {error}.", hint='muster run --budget "5 usd"') from error
    return tuple(found)


def run_policy(settings: Settings, choice: ProfileChoice) -> RunPolicy:
    """The part of the settings that is recorded with the plan."""
    reliability = settings.reliability
    return RunPolicy(
        autonomy=settings.run.gates,
        schedule=settings.run.schedule,
        max_parallel=settings.run.max_parallel,
        retry=convert(reliability, RetryPolicy, from_attributes=True),
        heartbeat=convert(reliability.heartbeat, Thresholds, from_attributes=True),
        stall_timeout_s=reliability.stall_timeout_s,
        grace_s=settings.run.grace_s,
        profile=choice.profile.name,
        profile_source=choice.source.value,
        phase_models=choice.profile.phase_models,
        default_agent=settings.agents.default,
        env_allow=settings.run.env_allow,
        worktree_link=settings.worktree.link,
        worktree_copy=settings.worktree.copy,
        run_hooks=settings.git.hooks,
        keep_raw=settings.run.keep_raw,
        budgets=budgets(settings.budget),
        review=settings.review.enabled,
        review_rounds=settings.review.max_rounds,
    )


def notification_rules(settings: NotifySettings) -> Rules:
    """What the operator wants to be told, and when."""
    quiet_from, _, quiet_to = settings.quiet_hours.partition("-")
    return Rules(
        least=Severity(settings.min_severity),
        quiet_from=time.fromisoformat(quiet_from) if quiet_from else None,
        quiet_to=time.fromisoformat(quiet_to) if quiet_to else None,
    )


def with_fixer(policy: RunPolicy, tasks: Iterable[Task]) -> RunPolicy:
    """The policy with the agent that mends what a review finds: the first that the plan itself uses.

    The scripted agent plays its prompt and nothing else, so it cannot; bound to a script it has a name of its own.
    """
    used = (task.agent for task in tasks if task.agent and chosen(task.agent).name != "scripted")
    return replace(policy, fixer=next(used, ""))


def with_models(policy: RunPolicy, tasks: Iterable[Task], settings: AgentsSettings) -> RunPolicy:
    """The policy with what the agents of these tasks, and of tasks that they may plan, are started with.

    Raises:
        InputError: an agent has no name for the model that the profile wants; nothing was started.
    """
    table = load_models(settings.named)
    models, permissions = {}, {}
    for agent, phase in dict.fromkeys(_seats(policy, tasks)):
        name, model, _ = chosen(agent)
        bound = settings.named.get(name, AgentSettings())
        permissions[name] = bound.permission
        if not model:
            wanted = policy.phase_models.get(phase, "")
            models[name if phase == "execute" else f"{name}/{phase}"] = resolve_model(
                table, name, wanted, dialect=bound.dialect
            )
    return replace(policy, models=models, permissions=permissions)


def _seats(policy: RunPolicy, tasks: Iterable[Task]) -> Iterator[tuple[str, str]]:
    for task in tasks:
        for agent in (task.agent, *task.fallbacks):
            if agent:
                yield agent, task.phase
        if task.produces == "plan":
            for role in (*ROLES, *policy.roles):
                yield from ((agent, "execute") for agent in agents_for(policy, role, "execute"))


def on_terms(request: ReviewRequest, settings: ReviewSettings) -> ReviewRequest:
    """A review on the operator's terms, which a branch has no say in."""
    return replace(
        request,
        bar=settings.gate,
        linters=settings.commands,
        extensions=settings.catalogue == "full",
        skip=settings.skip,
        deep=settings.deep,
    )


def review_seats(settings: Settings, policy: RunPolicy) -> tuple[ReviewSeat, ...]:
    """The agents that review besides the programs: the first looks at the code, the last at the brief.

    Raises:
        InputError: an agent has no name for the model of the review phase.
    """
    names = settings.review.agents
    if not names:
        return ()
    table, model = load_models(settings.agents.named), policy.phase_models.get("review", "")
    seats = []
    for role, name in ((CORRECTNESS, names[0]), (CONFORMANCE, names[-1])):
        dialect = settings.agents.named.get(name, AgentSettings()).dialect
        seats.append(ReviewSeat(role=role, agent=name, model=resolve_model(table, name, model, dialect=dialect)))
    return tuple(seats)
