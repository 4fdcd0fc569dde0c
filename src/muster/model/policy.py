"""What was resolved for a run at its start and stays fixed: limits, retries, autonomy, models."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from muster.model.gates import Autonomy
from muster.model.heartbeats import Thresholds
from muster.model.limits import Amount, Limit
from muster.model.plan import MAX_TASKS, Task
from muster.model.planning.roles import DEFAULT_ROLE, ROLES, Role
from muster.model.record import Record


class Schedule(enum.Enum):
    """When a task may start: with its wave, or as soon as its needs are merged."""

    WAVES = "waves"
    EAGER = "eager"


class RetryPolicy(Record, frozen=True):
    """Bounds and shape of retries; delays in milliseconds."""

    auto_retry: bool = False
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    backoff_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)] = 1000
    jitter_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    exponential_factor: Annotated[float, msgspec.Meta(ge=1, le=5)] = 2.0
    cap_ms: int = 300_000
    retryable: tuple[str, ...] = ()
    non_retryable: tuple[str, ...] = ()


class RunPolicy(Record, frozen=True):
    """How one run behaves; recorded with the plan so that a resumed run behaves the same.

    ``models`` and ``permissions`` say for each agent the name of the model that its
    program is started with, and what it may do by itself where its role writes; a model
    for another phase than execute has the key ``agent/phase``.
    ``resumes`` names the agents that can go on with an earlier session, ``usual``
    is what such an attempt needs as a rule, by agent, model and role. ``team`` and
    ``phase_agents`` say who takes a role and who a phase, in the order in which they are
    tried. ``roles`` are those that are not built in, ``known_commands`` those that an
    agent's plan may have run without a person being asked. ``fixer`` is
    the agent that mends what a review finds, empty when the plan uses none.
    """

    autonomy: Autonomy = Autonomy.ADAPTIVE
    schedule: Schedule = Schedule.WAVES
    max_parallel: Annotated[int, msgspec.Meta(ge=1)] = 4
    retry: RetryPolicy = RetryPolicy()
    heartbeat: Thresholds = Thresholds()
    stall_timeout_s: float = 360.0
    grace_s: float = 5.0
    profile: str = "premium"
    profile_source: str = "default"
    phase_models: dict[str, str] = {}
    default_agent: str = ""
    models: dict[str, str] = {}
    permissions: dict[str, str] = {}
    resumes: tuple[str, ...] = ()
    team: dict[str, tuple[str, ...]] = {}
    phase_agents: dict[str, tuple[str, ...]] = {}
    roles: dict[str, Role] = {}
    known_commands: tuple[str, ...] = ()
    max_wave_tasks: int = 12
    max_run_tasks: int = MAX_TASKS
    env_allow: tuple[str, ...] = ()
    worktree_link: tuple[str, ...] = ()
    worktree_copy: tuple[str, ...] = ()
    run_hooks: bool = False
    keep_raw: bool = False
    budgets: tuple[Limit, ...] = ()
    review: bool = False
    review_rounds: int = 3
    fixer: str = ""
    usual: dict[str, Amount] = {}


def role_of(policy: RunPolicy, task: Task) -> Role:
    """The role of a task: one of this run's own, else a built-in one."""
    name = task.role or DEFAULT_ROLE
    return policy.roles.get(name) or ROLES.get(name, ROLES[DEFAULT_ROLE])


def agents_for(policy: RunPolicy, role: str, phase: str) -> tuple[str, ...]:
    """Who does work of this role in this phase, in the order in which they are tried.

    >>> policy = RunPolicy(default_agent="claude", team={"critic": ("codex",)}, phase_agents={"plan": ("gemini", "pi")})
    >>> agents_for(policy, "critic", "plan"), agents_for(policy, "planner", "plan")
    (('codex',), ('gemini', 'pi'))
    >>> agents_for(policy, "executor", "execute")
    ('claude',)
    """
    return policy.team.get(role) or policy.phase_agents.get(phase) or (policy.default_agent,)


def model_of(policy: RunPolicy, agent: str, phase: str) -> str:
    """The name of the model that an agent's program is started with in a phase."""
    return policy.models.get(f"{agent}/{phase}") or policy.models.get(agent, "")
