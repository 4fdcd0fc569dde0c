"""What a run keeps of the settings, so that a resumed run behaves the same."""

from __future__ import annotations

from muster.config.settings import Settings
from muster.model.policy import RetryPolicy, RunPolicy
from muster.model.profiles import ProfileChoice


def run_policy(settings: Settings, choice: ProfileChoice) -> RunPolicy:
    """The part of the settings that is recorded with the plan."""
    reliability = settings.reliability
    return RunPolicy(
        autonomy=settings.run.gates,
        schedule=settings.run.schedule,
        max_parallel=settings.run.max_parallel,
        retry=RetryPolicy(
            auto_retry=reliability.auto_retry,
            max_attempts=reliability.max_attempts,
            backoff_ms=reliability.backoff_ms,
            jitter_ratio=reliability.jitter_ratio,
            exponential_factor=reliability.exponential_factor,
            cap_ms=reliability.cap_ms,
            retryable=reliability.retryable,
            non_retryable=reliability.non_retryable,
        ),
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
    )
