"""``muster bench``: Muster's own overhead, measured on this machine beside the bare alternative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from muster.cli.output import emit, json_option

if TYPE_CHECKING:
    from muster.model.record import Record


@click.group()
def bench() -> None:
    """Measure instead of claiming: every figure is taken on this machine, in this call."""


@bench.command("crash")
@click.option("--sample", type=click.IntRange(1), help="Only so many points, spread evenly.")
@click.option("--who", type=click.Choice(["orchestrator", "agents", "both"]), default="orchestrator", show_default=True)
@json_option
@click.pass_context
def crash(ctx: click.Context, sample: int | None, who: str, as_json: bool) -> None:
    """Kill the demo run at every append, continue, and compare. The orchestrator is killed, its agents, or both."""
    import anyio

    ctx.exit(anyio.run(_crash, sample, who, as_json))


async def _crash(sample: int | None, who: str, as_json: bool) -> int:
    from muster.bench.crash import points, reference, summary, try_point

    tree, appends = await reference()
    if sample is None:
        # Two runs may differ by a few appends, as facts that come together are written together.
        chosen = points(appends + 10, who)
    else:
        every = points(appends, who)
        chosen = every[:: max(1, len(every) // sample)][:sample]
    verdicts = []
    for point in chosen:
        verdict = await try_point(point, tree)
        verdicts.append(verdict)
        if not as_json:
            mark = "ok" if not verdict.problems else "; ".join(verdict.problems)
            note = "" if verdict.killed or who == "agents" else " (the run was over before)"
            click.echo(f"append {point.append:>3} {point.when:<6} {mark}{note}")
        if not verdict.killed and point.when == "after" and who != "agents":
            break
    if as_json:
        emit({"tree": tree, "verdicts": verdicts, "summary": summary(verdicts)})
    else:
        click.echo(summary(verdicts))
    return 1 if any(verdict.problems for verdict in verdicts) else 0


@bench.command("engine")
@click.option("--tasks", "counts", type=click.IntRange(1), multiple=True, help="By default 200 and 1000.")
@click.option("--parallel", type=click.IntRange(1), default=8, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(["none", "any", "write"]), multiple=True, help="By default all.")
@json_option
def engine(counts: tuple[int, ...], parallel: int, kinds: tuple[str, ...], as_json: bool) -> None:
    """Time, CPU and bytes that Muster adds to each task. Beside the same processes in a bare asyncio loop.

    Kinds: none and any run a command that does nothing, write one that makes
    a file which is then committed and merged. Milliseconds per task.
    """
    import anyio

    from muster.bench.engine import measure

    asked = [(count, parallel, kind) for kind in kinds or ("none", "any", "write") for count in counts or (200, 1000)]
    _tell("figures", [anyio.run(measure, *one) for one in asked], as_json, upright=True)
    if not as_json:
        click.echo("limit = 1.5 x bare + git as used; plain = bare + one worktree per task by plain git;")
        click.echo("own: this process alone; all: with git and the worktrees it fills")


@bench.command("agent")
@click.argument("name", default="scripted")
@click.option("--tasks", type=click.IntRange(2), default=20, show_default=True, help="As often by hand.")
@click.option("--model", default="", help="As the agent's program calls it.")
@click.option("--prompt", default="", help="What it is asked; by default something that only the scripted agent does.")
@json_option
@click.pass_context
def agent(ctx: click.Context, name: str, tasks: int, model: str, prompt: str, as_json: bool) -> None:
    """Time that Muster adds to each task of an agent. Wall and processor time, beside the same program run by hand.

    By hand is in one folder, and then ("fresh") in a new worktree each time. A real agent works three times as often
    as there are tasks, with your own login.
    """
    import anyio

    from muster.bench.agent import CPU_BUDGET_MS, WALL_BUDGET_MS, measure
    from muster.model.errors import InputError

    if name != "scripted" and not prompt:
        raise InputError(f"Say what {name!r} is asked.", hint=f'muster bench agent {name} --prompt "Say hello."')
    figures = anyio.run(lambda: measure(name, tasks, model=model, prompt=prompt))
    _tell("agent", [figures], as_json, upright=True)
    if not as_json:
        click.echo(f"hand: in one folder; fresh: in a new worktree each time; budget of added: {WALL_BUDGET_MS:.0f} ms")
        click.echo(f"wall, {CPU_BUDGET_MS:.0f} ms cpu; beside: the run without its attempts")
    ctx.exit(1 if figures.failed else 0)


@bench.command("review")
@click.option("--repo", type=click.Path(exists=True, file_okay=False), help="A repository instead of a made one.")
@click.option("--commits", type=click.IntRange(1), default=30, show_default=True)
@json_option
def review(repo: str | None, commits: int, as_json: bool) -> None:
    """Time that a review by code alone takes, with git and linters."""
    from pathlib import Path

    import anyio

    from muster.bench.review import measure

    _tell("review", anyio.run(measure, Path(repo).resolve() if repo else None, commits), as_json)


@bench.command("startup")
@click.option("--runs", type=click.IntRange(1), default=10, show_default=True)
@json_option
def startup(runs: int, as_json: bool) -> None:
    """Wall time of muster --help and muster ls, as whole processes."""
    from pathlib import Path

    import anyio

    from muster.bench.startup import measure

    _tell("startup", anyio.run(measure, Path.cwd(), runs), as_json)


@bench.command("telemetry")
@click.option("--calls", type=click.IntRange(100), default=50_000, show_default=True, help="Calls in each round.")
@click.option("--entries", type=click.IntRange(1), default=1_000_000, show_default=True, help="Of summarised logs.")
@json_option
def telemetry(calls: int, entries: int, as_json: bool) -> None:
    """What measuring costs with two labels. Beside prometheus_client and the OTel SDK where they are installed."""
    from muster.bench.telemetry import measure

    _tell("telemetry", list(measure(calls, entries)), as_json)


@bench.command("recovery")
@click.option("--cancels", type=click.IntRange(1), default=20, show_default=True, help="Runs to start and stop.")
@json_option
def recovery(cancels: int, as_json: bool) -> None:
    """Finding interrupted runs, folding, one tick, stopping."""
    import anyio

    from muster.bench.recovery import measure

    _tell("recovery", anyio.run(measure, cancels), as_json)


def _tell(name: str, figures: Sequence[Record], as_json: bool, *, upright: bool = False) -> None:
    """Print figures as one object, or as a table of their fields, whose names have the units; ``upright`` by column."""
    if as_json:
        emit({name: figures})
        return
    from muster.cli.output import table

    names = figures[0].__struct_fields__
    rows = [[name.upper().replace("_", " ") for name in names]]
    rows += [[_cell(getattr(one, name)) for name in names] for one in figures]
    head, *below = zip(*rows, strict=True) if upright else rows
    table(head, below)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value)
