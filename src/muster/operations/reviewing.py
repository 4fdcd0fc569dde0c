"""Reviewing outside of any run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom

import anyio

from muster.config.policy import review_seats, run_policy
from muster.config.profiles import choose_profile
from muster.model.ids import new_id
from muster.pipeline.reviewing import agent_reviewers
from muster.ports import Reviewer
from muster.wiring.kit import Kit
from muster.wiring.parts import agents, executor_of, repository_of
from muster.workspaces.workspace import GitWorkspace


@asynccontextmanager
async def reviewers_alone(kit: Kit) -> AsyncIterator[tuple[tuple[Reviewer, ...], str]]:
    """The agents that the settings ask to review outside of any run, and the profile that chose their models.

    What the project asks for and was not trusted is left out: a branch that asks for more is still reviewed.

    Raises:
        InputError: an agent is not known, or has no name for the model of the review phase.
    """
    settings = kit.resolved.settings
    policy = run_policy(settings, choose_profile(kit.project, resolved=kit.resolved))
    seats, able = review_seats(settings, policy), agents(settings.agents)
    run = new_id(kit.clock.now(), SystemRandom())
    workspace = GitWorkspace(await repository_of(kit), run, clock=kit.clock)
    executor = executor_of(kit, able)
    try:
        yield agent_reviewers(seats, able, executor, workspace, kit.folder(run)), policy.profile
    finally:
        executor.close()
        with anyio.CancelScope(shield=True):
            await workspace.close()
