"""What a run would do: waves, gates that will stop it, models, and honest advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from msgspec.structs import replace

from muster.model.gates import Boundary, must_ask
from muster.model.plan import JOIN, Changes, Plan, Task, chosen
from muster.model.planning.plan_graph import graph_text
from muster.model.planning.roles import DEFAULT_ROLE
from muster.model.planning.waves import waves
from muster.model.policy import RunPolicy, agents_for, role_of
from muster.model.quantities import counted
from muster.ports import Agent

REQUIRED = Changes.REQUIRED
# Boundaries that every run may come to, beside those of its workflow.
_ALWAYS = (Boundary.WAVE_DONE, Boundary.MANIFEST_AUDIT_FAILED, Boundary.MAIN_MERGE)


def show(plan: Plan, tasks: Sequence[Task], policy: RunPolicy, able: Mapping[str, Agent], *, as_json: bool) -> None:
    """Print the forecast."""
    forecast = forecast_of(plan, tasks, policy, able)
    if as_json:
        from muster.cli.output import emit

        emit(forecast)
        return
    count = len(tasks)
    title = plan.title or plan.slug
    click.echo(f"{title}: {counted(count, 'step' if plan.workflow else 'task')}, nothing is started")
    if plan.workflow:
        click.echo(f"workflow {plan.workflow}; what a step waits for:")
        click.echo(graph_text(replace(plan, tasks=tuple(tasks))), nl=False)
    else:
        for number, wave in enumerate(forecast["waves"], start=1):
            click.echo(f"wave {number}: {', '.join(wave)}")
    click.echo(f"gates:  {policy.autonomy.value}: asks at {', '.join(forecast['asks_at']) or 'nothing'}")
    if policy.budgets:
        click.echo(f"budget: {', '.join(limit.words for limit in policy.budgets)}")
    source = f"profile {policy.profile} from {policy.profile_source}"
    for phase, seats in forecast["phases"].items():
        click.echo(f"models: {phase}: {', '.join(seats)}, {source}")
    if not forecast["phases"]:
        click.echo("models: none needed: every task is a command")
    for advice in forecast["advice"]:
        click.echo(f"note:   {advice}")


def forecast_of(plan: Plan, tasks: Sequence[Task], policy: RunPolicy, able: Mapping[str, Agent]) -> dict[str, Any]:
    """The forecast as a mapping."""
    advice = []
    work = [task for task in tasks if not task.milestone]
    if len(work) == 1:
        advice.append("a single task: one agent or command called directly is cheaper.")
    unproven = [task.id for task in work if not (task.verify or task.expected_paths or task.changes is not REQUIRED)]
    if unproven:
        advice.append(f"nothing proves the work of {', '.join(unproven[:8])}: add verify or expected_paths.")
    if any(task.produces == "plan" for task in tasks):
        advice.append(f"an agent plans more tasks, at most {policy.max_wave_tasks} at the same time.")
    phases: dict[str, dict[str, None]] = {}
    for task in work:
        for agent in (task.agent, *task.fallbacks) if not task.is_command else ():
            phases.setdefault(task.phase, {})[_seat(policy, agent, task.phase)] = None
            name = chosen(agent).name
            if role_of(policy, task).max_turns is not None and not able[name].capabilities.turns:
                advice.append(f"max_turns has no effect on {task.id}: nobody can count the turns of {name}.")
        for agent in agents_for(policy, DEFAULT_ROLE, "execute") if task.produces == "plan" else ():
            phases.setdefault("execute", {})[_seat(policy, agent, "execute")] = None
    first = Boundary.BRIEF_READY if plan.workflow else Boundary.PLAN_READY
    milestones = [Boundary(task.milestone) for task in tasks if task.milestone not in ("", JOIN)]
    return {
        "waves": waves(tasks),
        "asks_at": [b.value for b in (first, *milestones, *_ALWAYS) if must_ask(policy.autonomy, b)],
        "budgets": policy.budgets,
        "models": policy.phase_models,
        "phases": {phase: list(seats) for phase, seats in phases.items()},
        "profile": policy.profile,
        "profile_source": policy.profile_source,
        "agent_tasks": [task.id for task in work if not task.is_command],
        "advice": advice,
    }


def _seat(policy: RunPolicy, agent: str, phase: str) -> str:
    """An agent with the model that it would be started with."""
    name, model, _ = chosen(agent)
    return f"{name} with {model or policy.phase_models.get(phase, '')}"
