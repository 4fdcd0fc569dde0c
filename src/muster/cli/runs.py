"""``muster ls``, ``muster show`` and ``muster report``: runs as their journals tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import coloured, emit, json_option
from muster.cli.project import RUN, read_project, read_project_or

if TYPE_CHECKING:
    from muster.diagnostics.imported import Imported
    from muster.wiring.kit import Kit


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Not only the newest 20.")
@click.option("--session", default="", metavar="KEY", help="Only the runs of this session.")
@json_option
def ls(everything: bool, session: str, as_json: bool) -> None:
    """List runs, newest first."""
    rows = read_project_or([], _rows, None if everything else 20, session)
    if as_json:
        emit({"runs": rows})
        return
    if not rows and session:
        click.echo(f"No run belongs to the session {session!r}.")
        return
    if not rows:
        click.echo("No runs yet. Start one with: muster run --plan plan.md")
        return
    from muster.cli.output import table

    table(
        ["RUN", "STATUS", "TASKS", "AGE", "PLAN"],
        [(r["run"], r["status"], f"{r['done']}/{r['tasks']}", r["age"], r["title"] or r["slug"]) for r in rows],
    )


async def _rows(kit: Kit, limit: int | None, session: str) -> list[dict[str, Any]]:
    from muster.cli.output import ago
    from muster.diagnostics.imported import imported_runs
    from muster.operations.runs import is_driven, session_of
    from muster.reports.views import head_status

    heads = sorted(await kit.store.runs(), key=lambda head: head.run, reverse=True)
    rows: list[dict[str, Any]] = []
    for head in heads:
        if len(rows) == limit:
            break
        belongs = await session_of(kit.store, head.run)
        if session and belongs != session:
            continue
        counts = await kit.store.counts(head.run)
        earlier = await _done_before(kit, head.run)
        rows.append(
            {
                "run": head.run,
                "status": head_status(head, await is_driven(kit, head.run), counts),
                "tasks": counts.get("task.planned", 0),
                "done": earlier + counts.get("task.succeeded", 0),
                "started_at": head.first_at,
                "last_at": head.last_at,
                "age": ago(head.first_at, kit.clock.now()),
                "slug": head.slug,
                "title": head.title,
                "session": belongs,
            }
        )
    if session:
        return rows
    rows += [_replayed(one, ago(one.started_at, kit.clock.now())) for one in imported_runs(kit.project)]
    return rows


def _replayed(one: Imported, age: str) -> dict[str, Any]:
    """A run that came as a bundle, as a row like the others."""
    return {
        "run": one.run,
        "status": one.tag,
        "tasks": one.tasks,
        "done": one.done,
        "started_at": one.started_at,
        "last_at": one.imported_at,
        "age": age,
        "slug": one.slug,
        "title": one.title,
        "session": "",
    }


async def _done_before(kit: Kit, run: str) -> int:
    """How many tasks of a run had been done by the run that it continues."""
    from muster.model.journal.events import PlanAccepted

    for entry in await kit.store.read(run, limit=2):
        if entry.type == PlanAccepted.type and isinstance(accepted := entry.event, PlanAccepted):
            return len(accepted.done)
    return 0


@click.command()
@RUN
@click.option("-f", "--follow", is_flag=True, help="Print what happens as muster run does, until the run ends.")
@json_option
def show(run: str, follow: bool, as_json: bool) -> None:
    """Show RUN, by default the newest: waves, tasks, attempts, gates."""
    if follow:
        if as_json:
            raise click.UsageError("--follow is for people; for programs there is muster events --follow --jsonl.")
        read_project(_follow, run)
        return
    view, text = read_project(_show, run)
    if as_json:
        emit(view)
        return
    click.echo(coloured(text))


async def _show(kit: Kit, wanted: str) -> tuple[dict[str, Any], str]:
    from muster.operations.runs import is_driven, load_run
    from muster.reports.text import next_step, run_text
    from muster.reports.views import run_view

    state = await load_run(kit, wanted)
    live = await is_driven(kit, state.run)
    step = "" if live else next_step(state)
    return run_view(state, live), run_text(state, live) + (f"\n\nnext    {step}" if step else "")


async def _follow(kit: Kit, wanted: str) -> None:
    from muster.cli.watching import LinePrinter
    from muster.model.journal.entries import Entry
    from muster.model.running.state import ends_run
    from muster.operations.runs import find_run

    printer = LinePrinter()

    async def on_entry(entry: Entry) -> bool:
        printer.on_entry(entry, entry.event)
        return not ends_run(entry.event)

    await kit.store.follow(0, on_entry, run=await find_run(kit.store, wanted))


@click.command()
@RUN
@json_option
def report(run: str, as_json: bool) -> None:
    """Print the report of RUN, by default the newest, as Markdown."""
    found, text = read_project(_report, run)
    if as_json:
        emit({"run": found, "markdown": text})
    else:
        click.echo(text, nl=False)


async def _report(kit: Kit, wanted: str) -> tuple[str, str]:
    from muster.operations.runs import load_run
    from muster.reports.markdown import report as markdown

    state = await load_run(kit, wanted)
    return state.run, markdown(state)
