"""The command tree; a command's module is imported only when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from muster.cli.failures import report

# What the overview shows, in the order of a first day: command → module:attribute, and a line that fits 80 columns.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Begin": {
        "demo": ("muster.cli.demo:demo", "Watch a whole run in a temporary repository: no model, no key."),
        "init": ("muster.cli.init:init", "Make this repository, or this folder of it, a project."),
        "doctor": ("muster.cli.doctor:doctor", "Check the machine and the repository; name a cure for each."),
        "brief": ("muster.cli.brief:brief", "Write down what is wanted and how it is judged."),
        "plan": ("muster.cli.plan:plan", "Make, check and draw plans."),
    },
    "Run": {
        "run": ("muster.cli.run:run", "Run a plan, or a workflow on your words."),
        "research": ("muster.cli.phases:research", "Look into it; keep what was found."),
        "execute": ("muster.cli.phases:execute", "Run the plan of a project."),
        "continue": ("muster.cli.resume:continue_", "Go on with a run that waits, was interrupted or failed."),
        "send": ("muster.cli.send:send", "Tell something to an agent while it works."),
        "stop": ("muster.cli.stop:stop", "Stop a run or one of its tasks; nothing is left running."),
    },
    "Look": {
        "ls": ("muster.cli.runs:ls", "List runs."),
        "show": ("muster.cli.runs:show", "Show one run: waves, tasks, attempts."),
        "events": ("muster.cli.events:events", "Print the journal of a run."),
        "log": ("muster.cli.log:log", "Print what a task wrote."),
        "diff": ("muster.cli.diff:diff", "Show what a run or a task changed."),
        "report": ("muster.cli.runs:report", "Print a run's report."),
        "ps": ("muster.cli.ps:ps", "List processes of attempts, and orphans."),
    },
    "Decide": {
        "inbox": ("muster.cli.inbox:inbox", "List what waits for a person."),
        "approve": ("muster.cli.inbox:approve", "Say yes at a gate."),
        "deny": ("muster.cli.inbox:deny", "Say no at a gate."),
        "review": ("muster.cli.review:review", "Review what changed and come to a verdict, without a model."),
        "dead": ("muster.cli.dead:dead", "List, requeue and drop tasks that were given up."),
        "undo": ("muster.cli.undo:undo", "Put the branch back where it was before a run's merge."),
    },
    "Money and metrics": {
        "cost": ("muster.cli.cost:cost", "Show what attempts used and cost, by phase, agent or model."),
        "cache": ("muster.cli.cost:cache", "Say whether agents of a wave shared a cache of prompts."),
        "metrics": ("muster.cli.metrics:metrics", "Show what was measured: counts, durations, tokens, cost."),
        "summary": ("muster.cli.summary:summary", "Show how runs went, from the journal or from files."),
        "baseline": ("muster.cli.baseline:baseline", "Save how runs go, to hold later runs against it."),
        "drift": ("muster.cli.baseline:drift", "Say whether runs go worse than a baseline."),
    },
    "Definitions": {
        "agent": ("muster.cli.agent:agent", "List and try coding agents: found, version, login, abilities."),
        "roles": ("muster.cli.definitions:roles", "List, show and check roles: how an agent is asked to work."),
        "teams": ("muster.cli.definitions:teams", "List, show and check teams."),
        "workflows": ("muster.cli.definitions:workflows", "List, show and check workflows."),
        "profile": ("muster.cli.profile:profile", "List, show, check and make model profiles."),
        "config": ("muster.cli.config:config", "Show every setting and where it comes from."),
        "trust": ("muster.cli.trust:trust", "Allow what this repository defines to run."),
    },
    "Maintenance": {
        "salvage": ("muster.cli.salvage:salvage", "List, show and restore saved work."),
        "gc": ("muster.cli.gc:gc", "Remove leftovers of ended runs."),
        "audit": ("muster.cli.audit:audit", "Prove the journal by its hashes, export it, follow it."),
        "diagnose": ("muster.cli.diagnose:diagnose", "Write down all that helps somebody else to understand a run."),
        "bundle": ("muster.cli.bundle:bundle", "Take a run out as one file; look at such files of others."),
        "bench": ("muster.cli.bench:bench", "Measure Muster's own overhead on this machine."),
        "completion": ("muster.cli.completion:completion", "Print shell completion for bash, zsh or fish."),
        "version": ("muster.cli.version:version", "Show versions."),
    },
}
# Other names of commands, which the overview leaves out.
ALIASES = {"agents": ("muster.cli.definitions:agents", "The same as roles.")}
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}

_COMPLETE = "_MUSTER_COMPLETE"


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if not (found := COMMANDS.get(cmd_name) or ALIASES.get(cmd_name)):
            return None
        module, _, attribute = found[0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the overview from the table, without importing anything."""
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", line) for name, (_, line) in commands.items()])
        formatter.write_paragraph()
        formatter.write_text("RUN is a run's id, its beginning, its last four letters or more, or @last.")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a misspelt one, name the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-C", "directory", type=click.Path(exists=True, file_okay=False), help="Act as if started in this folder."
)
@click.version_option(package_name="muster-agents", prog_name="muster", message="%(prog)s %(version)s")
def cli(directory: str | None) -> None:
    """Run a crew of coding agents on your repository; nothing merges until it passes muster."""
    if directory:
        os.chdir(directory)


def run_cli(args: Sequence[str]) -> int:
    """Run one command; every expected failure becomes one line and an exit code."""
    if _COMPLETE in os.environ:
        # The shell asks; click answers and leaves.
        cli.main(list(args), prog_name="muster", complete_var=_COMPLETE)
    try:
        with cli.make_context("muster", list(args)) as ctx:
            result = cli.invoke(ctx)
    except BaseException as error:
        return report(error, args)
    finally:
        _flush()
    return result if isinstance(result, int) else 0


def _flush() -> None:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        from muster.cli.output import silence

        silence()
