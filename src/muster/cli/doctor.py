"""``muster doctor``: check the machine and the repository."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, json_option, style
from muster.model.errors import EnvironmentProblem

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check the machine and the repository; one mending command each.

    Nothing is changed. The exit code is 8 when something would keep a run
    from working.
    """
    from muster.cli.checks import examine
    from muster.cli.findings import Level

    findings = examine(Path.cwd())
    failed = sum(finding.level is Level.FAIL for finding in findings)
    warned = sum(finding.level is Level.WARN for finding in findings)
    if as_json:
        emit({"ok": not failed, "findings": findings})
    else:
        for finding in findings:
            level = style(f"{finding.level.value:<4}", fg=_COLOURS[finding.level.value])
            click.echo(f"{level}  {finding.check:<10}  {finding.message}")
            if finding.fix:
                click.echo(f"{'':<18}{finding.fix}")
        click.echo(f"\n{len(findings)} findings: {failed} fail, {warned} warn.")
    return EnvironmentProblem.exit_code if failed else 0
