"""What a run would do: waves, gates that will stop it, models, and honest advice."""

from __future__ import annotations

from typing import Any

import click

from muster.model.gates import Boundary, must_ask
from muster.model.plan import Plan
from muster.model.policy import RunPolicy
from muster.model.waves import waves

# Boundaries that a run of a plan can come to; the others belong to phases before it.
_ON_THE_WAY = (Boundary.PLAN_READY, Boundary.WAVE_DONE, Boundary.MANIFEST_AUDIT_FAILED, Boundary.MAIN_MERGE)


def show(plan: Plan, policy: RunPolicy, *, as_json: bool) -> None:
    """Print the forecast."""
    forecast = forecast_of(plan, policy)
    if as_json:
        from muster.cli.output import emit

        emit(forecast)
        return
    count = len(plan.tasks)
    click.echo(f"{plan.title or plan.slug}: {count} task{'s' * (count != 1)}, nothing is started")
    for number, wave in enumerate(forecast["waves"], start=1):
        click.echo(f"wave {number}: {', '.join(wave)}")
    click.echo(f"gates:  {policy.autonomy.value}: asks at {', '.join(forecast['asks_at']) or 'nothing'}")
    models = forecast["models"]
    model = f"{models.get('execute', '')} for execute, profile {policy.profile} from {policy.profile_source}"
    click.echo(f"models: {model if forecast['agent_tasks'] else 'none needed: every task is a command'}")
    for advice in forecast["advice"]:
        click.echo(f"note:   {advice}")


def forecast_of(plan: Plan, policy: RunPolicy) -> dict[str, Any]:
    """The forecast as a mapping."""
    advice = []
    if len(plan.tasks) == 1:
        advice.append("a single task: one agent or command called directly is cheaper.")
    unproven = [task.id for task in plan.tasks if not task.verify and not task.expected_paths]
    if unproven:
        advice.append(f"nothing proves the work of {', '.join(unproven[:8])}: add verify or expected_paths.")
    return {
        "waves": waves(plan.tasks),
        "asks_at": [boundary.value for boundary in _ON_THE_WAY if must_ask(policy.autonomy, boundary)],
        "models": policy.phase_models,
        "profile": policy.profile,
        "profile_source": policy.profile_source,
        "agent_tasks": [task.id for task in plan.tasks if not task.is_command],
        "advice": advice,
    }
