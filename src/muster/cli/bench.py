"""``muster bench``: Muster's own overhead, measured on this machine beside the bare alternative."""

from __future__ import annotations

import click

from muster.cli.output import emit, json_option


@click.group()
def bench() -> None:
    """Measure instead of claiming: every figure is taken on this machine, in this call."""


@bench.command("crash")
@click.option("--sample", type=click.IntRange(1), help="Only so many points, spread evenly.")
@json_option
@click.pass_context
def crash(ctx: click.Context, sample: int | None, as_json: bool) -> None:
    """Kill the orchestrator at every append of the demo run, continue it, and compare."""
    import anyio

    ctx.exit(anyio.run(_crash, sample, as_json))


async def _crash(sample: int | None, as_json: bool) -> int:
    from muster.bench.crash import points, reference, summary, try_point

    tree, appends = await reference()
    chosen = points(appends)
    if sample is not None:
        chosen = chosen[:: max(1, len(chosen) // sample)][:sample]
    verdicts = []
    for point in chosen:
        verdict = await try_point(point, tree)
        verdicts.append(verdict)
        if not as_json:
            mark = "ok" if not verdict.problems else "; ".join(verdict.problems)
            note = "" if verdict.killed else " (the run was over before)"
            click.echo(f"append {point.append:>3} {point.when:<6} {mark}{note}")
        if not verdict.killed and point.when == "after":
            break
    if as_json:
        emit({"tree": tree, "verdicts": verdicts, "summary": summary(verdicts)})
    else:
        click.echo(summary(verdicts))
    return 1 if any(verdict.problems for verdict in verdicts) else 0
