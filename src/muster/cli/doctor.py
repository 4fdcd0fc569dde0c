"""``muster doctor``: check the machine and the repository."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, json_option, style, wrapped
from muster.model.errors import EnvironmentProblem

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--fix", is_flag=True, help="Do what is safe: clear away what runs that are over left behind.")
@click.option("--live", is_flag=True, help="Also ask each agent that is installed for a short task, with your login.")
@json_option
def doctor(fix: bool, live: bool, as_json: bool) -> int:
    """Check the machine and the repository; one mending command each.

    Without --fix nothing is changed. The exit code is 8 when something would
    keep a run from working.
    """
    from muster.diagnostics.checks import examine, mend
    from muster.diagnostics.findings import Level

    findings = examine(Path.cwd())
    fixed, not_fixed = mend(Path.cwd(), findings) if fix else ([], [])
    if fixed:
        findings = examine(Path.cwd())
    if live:
        from muster.diagnostics.live_agents import try_agents

        findings += try_agents(Path.cwd())
    failed = sum(finding.level is Level.FAIL for finding in findings)
    warned = sum(finding.level is Level.WARN for finding in findings)
    if as_json:
        emit({"ok": not failed, "findings": findings, "fixed": fixed, "not_fixed": not_fixed})
    else:
        for finding in findings:
            level = finding.level.value
            line = wrapped(f"{level:<4}  {finding.check:<11}  ", finding.message)
            click.echo(style(level, fg=_COLOURS[level]) + line[len(level) :])
            if finding.fix:
                click.echo(f"{'':<19}{finding.fix}")
        click.echo(f"\n{len(findings)} findings: {failed} fail, {warned} warn.")
        for line in [*(f"done: {each}" for each in fixed), *(f"not done: {each}" for each in not_fixed)]:
            click.echo(line)
    return EnvironmentProblem.exit_code if failed else 0
