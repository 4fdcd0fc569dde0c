"""The parts that a run is made of: agents, executor, workspace, and what it tells the outside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from muster import plugins
from muster.config.settings import AgentsSettings, TelemetrySettings
from muster.executors.local import LocalExecutor
from muster.executors.seats import MIB, Seats
from muster.model.errors import NotFoundError
from muster.model.policy import RunPolicy
from muster.ports import Agent, Binding, Exporter, TelemetryReceiver, Workspace
from muster.telemetry.handing import destination_of
from muster.telemetry.mirror import Mirror, mirror_path
from muster.wiring.kit import STATE, Kit
from muster.workspaces.repository import Repository
from muster.workspaces.workspace import GitWorkspace

if TYPE_CHECKING:
    from muster.telemetry.receiver import Receiver

AGENTS = "muster.agents"
EXPORTERS = "muster.exporters"
# Ways of exporting in which nothing is handed over: prometheus comes and asks.
NOT_HANDED_OVER = frozenset({"off", "prometheus"})


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
                env_allow=one.env_allow,
                models=one.models,
            )
        )
        for name, one in settings.named.items()
    }
    return {**own, **bound}


def agent_of(settings: AgentsSettings, name: str) -> Agent:
    """The agent of this name.

    Raises:
        NotFoundError: there is none; the message names all.
    """
    able = agents(settings)
    if name not in able or name == "command":
        known = ", ".join(sorted(set(able) - {"command"}))
        raise NotFoundError(f"There is no agent {name!r}; known: {known}.", hint="muster agent ls")
    return able[name]


def executor_of(kit: Kit, able: Mapping[str, Agent], receiver: TelemetryReceiver | None = None) -> LocalExecutor:
    """Whoever runs agents on this machine, within its limits."""
    limits = kit.resolved.settings.run
    seats = Seats(kit.clock, limits.host_parallel, limits.min_free_memory_mb * MIB)
    return LocalExecutor(able, kit.clock, seats, receiver=receiver)


def workspace_of(kit: Kit, repository: Repository, run: str, policy: RunPolicy) -> Workspace:
    """The repository as a run with this policy sees it."""
    return GitWorkspace(repository, run, link=policy.worktree_link, copy=policy.worktree_copy, clock=kit.clock)


async def repository_of(kit: Kit) -> Repository:
    """The repository that a project is in."""
    return await Repository.discover(kit.project)


def exporters_of(asked: TelemetrySettings, environ: Mapping[str, str]) -> tuple[Exporter, ...]:
    """The exporters that settings ask for.

    Raises:
        InputError: one is unknown or lacks its destination.
    """
    destination = destination_of(asked.textfile_dir, asked.otel_endpoint, environ, private=asked.otel_allow_private)
    modes = [mode for mode in dict.fromkeys(asked.export) if mode not in NOT_HANDED_OVER]
    return tuple(plugins.find(EXPORTERS, mode)(destination) for mode in modes)


def mirror_of(kit: Kit) -> Mirror | None:
    """The audit mirror that the settings ask for; an ``InputError`` if it cannot be where they say."""
    asked, state = kit.resolved.settings.audit, kit.project / STATE
    if path := mirror_path(asked.path, kit.project, os.environ):
        return Mirror(kit.store, kit.clock, path, state, os.environ, asked.retention_days)
    return None


def receiver_of(kit: Kit) -> Receiver | None:
    """What takes the telemetry of agents while a run is driven, if the settings ask for it."""
    asked = kit.resolved.settings.telemetry
    if not (asked.enabled and asked.receive):
        return None
    from muster.telemetry.receiver import Receiver  # brings a web server along

    return Receiver(os.environ)


def refuse_wrong_outlets(kit: Kit) -> None:
    """Say before anything starts what is wrong with the exporters or the mirror that the settings ask for.

    Raises:
        InputError: one is unknown, lacks its destination, or cannot be where the settings say.
    """
    exporters_of(kit.resolved.settings.telemetry, os.environ)
    mirror_of(kit)
