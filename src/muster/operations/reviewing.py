"""Reviewing outside of any run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom

import anyio

from muster.config.policy import review_seats
from muster.model.ids import new_id
from muster.pipeline.reviewing import agent_reviewers
from muster.ports import Reviewer
from muster.wiring.kit import Kit
from muster.wiring.parts import agents, executor_of, repository_of
from muster.wiring.starting import policy_for
from muster.workspaces.workspace import GitWorkspace


@asynccontextmanager
async def reviewers_alone(kit: Kit) -> AsyncIterator[tuple[Reviewer, ...]]:
    """The agents that the settings ask to review, for a review outside of any run.

    Raises:
        InputError: an agent is not known, or has no name for the model of the review phase.
        RefusedError: a file of the project asks for something that needs trust.
    """
    seats, able = review_seats(kit.resolved.required(), policy_for(kit)), agents(kit.resolved.settings.agents)
    run = new_id(kit.clock.now(), SystemRandom())
    workspace = GitWorkspace(await repository_of(kit), run, clock=kit.clock)
    executor = executor_of(kit, able)
    try:
        yield agent_reviewers(seats, able, executor, workspace, kit.folder(run))
    finally:
        executor.close()
        with anyio.CancelScope(shield=True):
            await workspace.close()
