"""Who does what in a run: the team's seats, the settings' agents per phase, roles that are not built in."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import asdict

from muster.config.definitions import find_team, load_definitions
from muster.config.settings import Settings
from muster.model.plan import Plan, chosen
from muster.model.planning.brief import Criterion
from muster.model.planning.workflow import Team
from muster.model.policy import RunPolicy
from muster.model.running.state import replace


def with_crew(
    policy: RunPolicy, plan: Plan, team: str, project: Path, settings: Settings, *, trusted: bool, test: str
) -> RunPolicy:
    """The policy of a run of this plan with its crew; ``test`` is the project's own test command.

    Raises:
        NotFoundError: there is no such team.
    """
    known = load_definitions(project, trusted=trusted)
    found = find_team(known, team) if team else Team(name="")
    default = settings.agents.default
    seats = {role: tuple(_seat(agent, default) for agent in agents) for role, agents in found.roles.items()}
    plans = any(task.produces == "plan" for task in plan.tasks)
    named = known.roles if plans else {*seats, *(chosen(task.agent).name for task in plan.tasks)}
    return replace(
        policy,
        max_parallel=min(policy.max_parallel, found.max_parallel or policy.max_parallel),
        team=seats,
        phase_agents={name: agents for name, agents in asdict(settings.phases).items() if agents},
        roles={name: role for name, role in known.roles.items() if role.origin and name in named},
        known_commands=(*Criterion(text=plan.brief).verify, *((test,) if test else ())),
        max_wave_tasks=settings.run.plan_wave_tasks,
        max_run_tasks=settings.run.plan_tasks,
    )


def _seat(agent: str, default: str) -> str:
    """An agent of a team; ``default`` is whoever the settings name."""
    return default + agent.removeprefix("default") if chosen(agent).name == "default" else agent
