"""``muster demo``: a whole run in a temporary repository."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import click

from muster.cli.output import json_option

if TYPE_CHECKING:
    from muster.model.journal.events import GateAsked
    from muster.ports import Decision


@click.command()
@click.option("--ask", is_flag=True, help="Decide at the gate yourself.")
@json_option
@click.pass_context
def demo(ctx: click.Context, ask: bool, as_json: bool) -> None:
    """Run six tasks in three waves: a retry, a conflict, a gate, and the merge. No model, no key, no network."""
    import anyio

    folder = Path(tempfile.mkdtemp(prefix="muster-demo-"))
    # So that what is said at the end can be typed there as it is.
    os.chdir(folder)
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
        click.echo(f"In {folder}, a new repository: commands and scripted agents do the work.")
    async with open_project(folder) as kit:
        journal = await start_run(kit, read_plan(folder, path=plan, slug=None))
        approver = None if ask else _DemoApprover(tell=output.for_people)
        code = await drive_and_tell(kit, journal, output, interactive=ask, approver=approver)
    if output.for_people:
        click.echo(f"there:  cd {folder}\nremove: rm -r {folder}")
        if not which("muster"):
            click.echo(f"path:   export PATH={Path(sys.executable).parent}:$PATH")
        click.echo("yours:  in a repository of your own: muster init")
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
