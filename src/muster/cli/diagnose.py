"""``muster diagnose``: all that helps somebody else to understand a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import redactor
from muster.cli.project import RUN, read_project

if TYPE_CHECKING:
    from muster.diagnostics.report import RunReport
    from muster.model.redaction import Redactor
    from muster.wiring.kit import Kit


@click.command()
@RUN
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of the standard output.")
@click.option("--read", "given", type=click.Path(dir_okay=False, path_type=Path), help="Sum up a report instead.")
@click.option("--json", "as_json", is_flag=True, help="The whole report, also at a terminal; a pipe gets it anyway.")
def diagnose(run: str, out: Path | None, given: Path | None, as_json: bool) -> None:
    """Write a report of RUN, by default the newest, as one JSON object without secrets.

    It has the run's manifest, tasks and last 200 events, heartbeats, agents,
    versions, part of the environment, what the doctor finds, and metrics. A
    terminal gets a summary; write the report into a file, or a pipe.
    """
    from muster.diagnostics.report import read_report
    from muster.pipeline.artefacts import read_source, write_text

    if given is not None:
        data = read_source(given)[0]
        found = read_report(data)
        click.echo(data.decode().rstrip("\n") if as_json else _summary(found))
        return
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(_report(run)), indent=1).decode()
    if out is None and sys.stdout.isatty() and not as_json:
        click.echo(f"{_summary(read_report(text.encode()))}\nnext:    muster diagnose {run} --out report.json")
    elif out is None:
        click.echo(text)
    else:
        write_text(out.absolute(), text + "\n")
        click.echo(f"{out}: look through it before you send it to somebody.")


def _report(wanted: str) -> dict[str, Any]:

    import msgspec

    from muster.diagnostics.checks import examine
    from muster.model.redaction import redact_values

    redact = redactor()
    # Before the loop, as checks start loops of their own.
    found = msgspec.to_builtins(examine(Path.cwd()))
    report: dict[str, Any] = read_project(_made, wanted, redact)
    return report | {"doctor": redact_values(found, redact)}


async def _made(kit: Kit, wanted: str, redact: Redactor) -> dict[str, Any]:
    import os

    from muster.diagnostics.report import make_report
    from muster.operations.runs import find_run

    return await make_report(kit, await find_run(kit.store, wanted), os.environ, redact)


def _summary(report: RunReport) -> str:
    from muster.diagnostics.bundle import printable

    wrong = [one for one in report.doctor if one.get("level") != "ok"]
    lines = [
        f"run      {report.run}  {report.manifest.get('status', '')}  (report version {report.schema_version})",
        f"versions {', '.join(f'{name} {version}' for name, version in report.versions.items())}",
        f"tasks    {len(report.tasks)}",
        *(f"  {task.get('status', ''):<10} {task.get('id', '')}  {task.get('reason', '')}" for task in report.tasks),
        f"events   {len(report.events)}, the last {report.events[-1].get('type') if report.events else ''}",
        f"doctor   {len(report.doctor)} findings, {len(wrong)} to look at",
        *(f"  {one.get('level')}  {one.get('check')}: {one.get('message')}" for one in wrong),
    ]
    return printable("\n".join(lines))
