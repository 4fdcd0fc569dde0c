"""``muster run``: a plan becomes merged work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.output import json_option, jsonl_option

if TYPE_CHECKING:
    from muster.cli.driving import Output
    from muster.wiring import Flags


@click.command()
@click.option("--plan", "plan_path", type=click.Path(path_type=Path), help="The plan to run; '-' reads it from stdin.")
@click.option("--project", "slug", metavar="SLUG", help="Run .muster/projects/SLUG/plan.md.")
@click.option("--gates", type=click.Choice(["open", "closed", "adaptive"]), help="Who decides at boundaries.")
@click.option("--profile", metavar="NAME", help="Which model does which phase.")
@click.option("--schedule", type=click.Choice(["waves", "eager"]), help="When a task may start.")
@click.option("--max-parallel", type=click.IntRange(1, 256), metavar="N", help="Attempts at the same time.")
@click.option("--budget", metavar="AMOUNT", help='What the run may use: "5 usd", "200k tokens" or both.')
@click.option("--dry-run", is_flag=True, help="Show waves, gates and models; start nothing.")
@click.option("--no-input", is_flag=True, help="Never ask here; a gate parks the run and exits with 3.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing while it runs.")
@json_option
@jsonl_option
@click.pass_context
def run(
    ctx: click.Context,
    plan_path: Path | None,
    slug: str | None,
    gates: str | None,
    profile: str | None,
    schedule: str | None,
    max_parallel: int | None,
    budget: str | None,
    dry_run: bool,
    no_input: bool,
    quiet: bool,
    as_json: bool,
    as_jsonl: bool,
) -> None:
    """Run a plan: tasks in waves, each in its own worktree, audited, verified and merged.

    Your branch, index and working tree stay as they are until the merge at the
    end, which asks unless --gates is open. Exit codes: 0 done, 1 failed, 3
    waits for a person, 7 cancelled.
    """
    import anyio

    from muster.cli.driving import Output

    flags = {
        "--gates": ("run.gates", gates),
        "--schedule": ("run.schedule", schedule),
        "--max-parallel": ("run.max_parallel", max_parallel),
        "--profile": ("default_profile", profile),
        "--budget": ("budget.run", budget),
    }
    output = Output(as_json=as_json, as_jsonl=as_jsonl, quiet=quiet)
    ctx.exit(anyio.run(_run, plan_path, slug, flags, dry_run, not no_input, output))


async def _run(
    plan_path: Path | None,
    slug: str | None,
    flags: Flags,
    dry_run: bool,
    interactive: bool,
    output: Output,
) -> int:
    from muster.cli.driving import drive_and_tell
    from muster.pipeline.artefacts import read_plan
    from muster.wiring import open_project, start_run

    if dry_run:
        _forecast(plan_path, slug, flags, output)
        return 0
    async with open_project(Path.cwd(), flags) as kit:
        plan = read_plan(kit.project, path=plan_path, slug=slug)
        journal = await start_run(kit, plan)
        return await drive_and_tell(kit, journal, output, interactive=interactive)


def _forecast(plan_path: Path | None, slug: str | None, flags: Flags, output: Output) -> None:
    """Say what a run would do, or refuse what it would; needs no journal, so it works before the first run."""
    from tempfile import TemporaryDirectory

    from muster.cli.dry_run import show
    from muster.config.load import find_project, load_settings
    from muster.config.policy import run_policy, with_models
    from muster.config.profiles import choose_profile
    from muster.config.trust import TrustState, trust_state
    from muster.pipeline.artefacts import read_plan
    from muster.pipeline.compose import settle_tasks
    from muster.wiring import agents

    project = find_project(Path.cwd())
    trusted = trust_state(project) is TrustState.TRUSTED
    resolved = load_settings(project, environ=os.environ, flags=flags, trusted=trusted)
    plan = read_plan(project, path=plan_path, slug=slug)
    policy = run_policy(resolved.settings, choose_profile(project, resolved=resolved))
    with TemporaryDirectory() as scratch:
        tasks = settle_tasks(plan.tasks, policy, agents(resolved.settings.agents), Path(scratch))
        with_models(policy, tasks, resolved.settings.agents)
    show(plan, policy, as_json=output.as_json)
