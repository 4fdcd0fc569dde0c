"""What was resolved for a run at its start and stays fixed: limits, retries, autonomy, models."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from muster.model.budget import Amount, Limit
from muster.model.gates import Autonomy
from muster.model.heartbeats import Thresholds
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
    program is started with, and what it may do by itself where its role writes;
    ``resumes`` names the agents that can go on with an earlier session, ``usual``
    is what such an attempt needs as a rule, by agent, model and role.
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
    env_allow: tuple[str, ...] = ()
    worktree_link: tuple[str, ...] = ()
    worktree_copy: tuple[str, ...] = ()
    run_hooks: bool = False
    keep_raw: bool = False
    budgets: tuple[Limit, ...] = ()
    usual: dict[str, Amount] = {}
