"""``muster demo``: a whole run in a temporary repository."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.output import json_option

if TYPE_CHECKING:
    from muster.model.events import GateAsked
    from muster.ports import Decision


@click.command()
@click.option("--ask", is_flag=True, help="Decide at the gate yourself.")
@json_option
@click.pass_context
def demo(ctx: click.Context, ask: bool, as_json: bool) -> None:
    """Run six tasks in three waves: a retry, a conflict, a gate, and the merge. No model, no key, no network."""
    import anyio

    folder = Path(tempfile.mkdtemp(prefix="muster-demo-"))
    ctx.exit(anyio.run(_demo, folder, ask, as_json))


async def _demo(folder: Path, ask: bool, as_json: bool) -> int:
    from muster.cli.driving import Output, drive_and_tell
    from muster.pipeline.artefacts import read_plan
    from muster.testing import demo_project
    from muster.wiring.kit import open_project
    from muster.wiring.starting import start_run

    plan = await demo_project.make(folder)
    output = Output(as_json=as_json, as_jsonl=False, quiet=False)
    if output.for_people:
        click.echo(f"A repository with one commit is in {folder}; the work is done by commands and scripted agents.")
    async with open_project(folder) as kit:
        journal = await start_run(kit, read_plan(folder, path=plan, slug=None))
        approver = None if ask else _DemoApprover(tell=output.for_people)
        code = await drive_and_tell(kit, journal, output, interactive=ask, approver=approver)
    if output.for_people:
        click.echo(f"look:   cd {folder} && muster show && git log --graph --oneline")
        click.echo("yours:  in a repository of your own: muster init, muster plan new, muster run --plan plan.md")
    return code


class _DemoApprover:
    """Says yes for whoever watches."""

    def __init__(self, *, tell: bool) -> None:
        self._tell = tell

    async def ask(self, gate: GateAsked) -> Decision:
        """Approve, and say that here a person would have been asked."""
        from muster.model.gates import Answer
        from muster.ports import Decision

        if self._tell:
            click.echo("  (here you would be asked; the demo says yes)")
        return Decision(answer=Answer.APPROVE, by="demo", why="nobody is asked in a demo")
