"""``muster dead``: tasks that were given up, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muster.cli.groups import Listing
from muster.cli.options import GO, INPUT, QUIET, WHY
from muster.cli.output import emit, json_option
from muster.cli.project import read_project, read_project_or, use_project
from muster.model.quantities import counted

if TYPE_CHECKING:
    from muster.wiring.kit import Kit


_LETTER = "LETTER is RUN/TASK as `muster dead ls` prints it, or a TASK that only one open letter has."


@click.group(cls=Listing)
def dead() -> None:
    """List, show, requeue and drop dead letters: tasks that were given up."""


@dead.command("ls")
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that were requeued or dropped.")
@json_option
def ls(everything: bool, as_json: bool) -> None:
    """List the tasks that were given up, of all runs of this project."""
    rows = [row for row in read_project_or([], _letters) if everything or row["status"] == "open"]
    if as_json:
        emit({"dead_letters": rows})
        return
    if not rows:
        click.echo("No dead letters.")
        return
    for row in rows:
        tries = counted(row["attempts"], "attempt")
        click.echo(
            f"{row['id']}  {row['status']}  {row['reason']} after {tries}, {row['age']}\n  {_first(row)}".rstrip()
        )


@dead.command("show", epilog=_LETTER)
@click.argument("letter")
@json_option
def show(letter: str, as_json: bool) -> None:
    """Show a dead letter with all its attempts."""
    row, task = read_project(_show, letter)
    if as_json:
        emit({**row, "task": task})
        return
    click.echo(f"{row['id']}  {row['status']}  given up {row['age']} ({row['reason']})")
    for attempt in task["attempts"]:
        error = (attempt["error"].strip().splitlines() or ["ended without an error"])[0]
        click.echo(f"  attempt {attempt['attempt']}: {attempt['cause'] or attempt['ending']}: {error}")
    if row["salvage"]:
        click.echo(f"  its work is saved as {row['salvage']}")
    click.echo(f"  muster dead requeue {row['id']}\n  muster dead drop {row['id']} -m WHY")


@dead.command("requeue", epilog=_LETTER)
@click.argument("letter")
@GO
@INPUT
@QUIET
@json_option
@click.pass_context
def requeue(ctx: click.Context, letter: str, go: bool, no_input: bool, quiet: bool, as_json: bool) -> None:
    """Try a given-up task again; it is told what went wrong before.

    In a run that goes on it gets one more attempt. One that has ended is gone
    on with as `muster continue` does, in a new run.
    """
    import anyio

    from muster.cli.driving import Output
    from muster.cli.resume import go_on

    row = use_project(_requeue, letter)
    if row["ended"] or (go and not row["driven"]):
        output = Output(as_json=as_json, as_jsonl=False, quiet=quiet)
        ctx.exit(anyio.run(go_on, row["run"], True, not no_input, {}, output))
    if as_json:
        emit({"id": row["id"], "run": row["run"], "driven": row["driven"]})
    elif not quiet:
        click.echo(f"{row['id']} gets one more attempt.")
        if not row["driven"]:
            click.echo(f"next: muster continue {row['run']}")


@dead.command("drop", epilog=_LETTER)
@click.argument("letter")
@WHY
@json_option
def drop(letter: str, why: str, as_json: bool) -> None:
    """Put a given-up task aside for good. Its saved work stays, and `muster continue` leaves it out."""
    row = use_project(_drop, letter, why)
    if as_json:
        emit({"id": row["id"], "status": "dropped"})
    else:
        click.echo(f"{row['id']} is dropped.")


async def _letters(kit: Kit) -> list[dict[str, Any]]:
    from muster.cli.output import ago
    from muster.operations.runs import dead_letters

    return [{**row, "age": ago(row["at"], kit.clock.now())} for row in await dead_letters(kit)]


async def _show(kit: Kit, wanted: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from muster.cli.output import ago
    from muster.operations.runs import dead_letters, load_run
    from muster.reports.views import task_view

    row = _pick(wanted, await dead_letters(kit), only_open=False)
    row["age"] = ago(row["at"], kit.clock.now())
    state = await load_run(kit, row["run"])
    return row, task_view(state.tasks[row["task"]])


async def _requeue(kit: Kit, wanted: str) -> dict[str, Any]:
    from muster.operations.runs import dead_letters, deliver, is_driven
    from muster.wiring.kit import message

    row = _pick(wanted, await dead_letters(kit))
    if not row["ended"]:
        await deliver(kit, message(kit, row["run"], "requeue", task=row["task"]))
    return {**row, "driven": await is_driven(kit, row["run"])}


async def _drop(kit: Kit, wanted: str, why: str) -> dict[str, Any]:
    from muster.operations.runs import dead_letters, deliver
    from muster.wiring.kit import message

    row = _pick(wanted, await dead_letters(kit))
    await deliver(kit, message(kit, row["run"], "drop", task=row["task"], why=why))
    return row


def _pick(wanted: str, rows: list[dict[str, Any]], *, only_open: bool = True) -> dict[str, Any]:
    from muster.model.errors import ConflictError, NotFoundError

    run, _, task = wanted.rpartition("/")
    found = [row for row in rows if row["task"] == task and (row["run"].startswith(run) or row["run"].endswith(run))]
    still_open = [row for row in found if row["status"] == "open"]
    found = still_open if len(found) > 1 and still_open else found
    if len(found) != 1:
        what = "means several dead letters" if found else "means no dead letter"
        raise NotFoundError(f"{wanted!r} {what}.", hint="muster dead ls --all lists them.")
    if only_open and found[0]["status"] != "open":
        by = f" by {found[0]['by']}" if found[0]["by"] else ""
        raise ConflictError(f"{found[0]['id']} is {found[0]['status']}{by} already.", hint="muster dead ls --all")
    return found[0]


def _first(row: dict[str, Any]) -> str:
    error: str = row["error"]
    return (error.strip().splitlines() or [""])[0][:80]
