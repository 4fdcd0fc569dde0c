"""``muster inbox``, ``approve`` and ``deny``: questions that wait for a person, and their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muster.cli.options import GO, WHY
from muster.cli.output import emit, json_option
from muster.cli.project import read_project_or, use_project

if TYPE_CHECKING:
    from datetime import datetime

    from muster.model.running.state import RunState
    from muster.wiring.kit import Kit


@click.command()
@json_option
def inbox(as_json: bool) -> None:
    """List what waits for a person in all runs: questions, interrupted runs and tasks that were given up."""
    from muster.model.gates import Boundary
    from muster.reports.text import answers

    gates, interrupted, letters = read_project_or(([], [], []), _inbox)
    if as_json:
        emit({"gates": gates, "interrupted": interrupted, "dead_letters": letters})
        return
    if not (gates or interrupted or letters):
        click.echo("Nothing waits for you.")
    for run in interrupted:
        click.echo(f"{run['run']}  interrupted  {run['age']}\n  {run['question']}")
        click.echo(f"  muster continue {run['run']}\n  muster stop {run['run']}")
    for letter in letters:
        click.echo(f"{letter['id']}  dead-letter  {letter['age']}")
        for line in letter["error"].splitlines()[:1]:
            click.echo(f"  {line}")
        click.echo(f"  muster dead requeue {letter['id']}\n  muster dead drop {letter['id']} -m WHY")
    for gate in gates:
        click.echo(f"{gate['id']}  {gate['boundary']}  {gate['age']}\n  {gate['question']}")
        for line in gate["detail"].splitlines()[:6]:
            click.echo(f"    {line}")
        for line in answers(gate["id"], Boundary(gate["boundary"])):
            click.echo(line)


Rows = list[dict[str, Any]]


async def _inbox(kit: Kit) -> tuple[Rows, Rows, Rows]:
    from muster.cli.output import ago
    from muster.operations.runs import dead_letters, is_driven
    from muster.reports.views import recovery_question, status_of

    now, interrupted = kit.clock.now(), []
    states = await _open_runs(kit)
    for state in states:
        if status_of(state, live=await is_driven(kit, state.run)) == "interrupted":
            age = ago(state.last_at, now)
            interrupted.append({"run": state.run, "age": age, "question": recovery_question(state)})
    letters = [{**row, "age": ago(row["at"], now)} for row in await dead_letters(kit) if row["status"] == "open"]
    return _waiting(states, now), interrupted, letters


async def _open_runs(kit: Kit) -> list[RunState]:
    from muster.engine.journal import load
    from muster.model.running.state import ENDED

    return [await load(kit.store, head.run) for head in await kit.store.runs() if head.state not in ENDED]


def _waiting(states: list[RunState], now: datetime) -> Rows:
    from muster.cli.output import ago
    from muster.reports.views import gate_view

    gates = ((state, gate) for state in states for gate in state.waiting_gates)
    return [{**gate_view(state, gate), "age": ago(gate.asked_at, now)} for state, gate in gates]


@click.command()
@click.argument("gate", default="@last")
@WHY
@click.option("--budget", metavar="AMOUNT", default="", help="At a budget's end: the new limit altogether.")
@GO
@json_option
@click.pass_context
def approve(ctx: click.Context, gate: str, why: str, budget: str, go: bool, as_json: bool) -> None:
    """Say yes at GATE: its id, a unique beginning or ending of it, or a run with one question.

    Without GATE: the one question that waits.

    A budget is raised by its first amount once more, or to --budget.
    """
    ctx.exit(_decide(gate, "approve", why, go, as_json, budget))


@click.command()
@click.argument("gate", default="@last")
@click.option("-m", "--message", "why", required=True, help="Why; it is kept in the journal.")
@GO
@json_option
@click.pass_context
def deny(ctx: click.Context, gate: str, why: str, go: bool, as_json: bool) -> None:
    """Say no at GATE: its id, a unique beginning or ending of it, or a run with one question.

    Without GATE: the one question that waits.
    """
    ctx.exit(_decide(gate, "deny", why, go, as_json))


def _decide(gate: str, answer: str, why: str, go: bool, as_json: bool, budget: str = "") -> int:
    import anyio

    result = use_project(_answer, gate, answer, why, budget)
    if as_json:
        emit(result)
    else:
        click.echo(f"{result['gate']} is {'approved' if answer == 'approve' else 'denied'}: {result['question']}")
    if result["driven"] or result["ended"] or not go:
        if result["ended"] and not as_json:
            click.echo(f"Run {result['run']} is {result['ended']}; muster continue would start a new one.")
        elif not result["driven"] and not as_json:
            click.echo(f"next: muster continue {result['run']}")
        return 0
    from muster.cli.driving import Output
    from muster.cli.resume import go_on

    output = Output(as_json=False, as_jsonl=False, quiet=as_json)
    return anyio.run(go_on, result["run"], True, True, {}, output)


async def _answer(kit: Kit, wanted: str, answer: str, why: str, budget: str) -> dict[str, Any]:
    from muster.operations.runs import deliver, is_driven
    from muster.wiring.kit import message

    gate = _pick(wanted, _waiting(await _open_runs(kit), kit.clock.now()))
    run = gate["run"]
    driven = await is_driven(kit, run)
    sent = message(kit, run, "answer", gate=gate["id"], answer=answer, why=why, budget=budget)
    state = await deliver(kit, sent)
    ended = state.state if state.ended and not driven else ""
    return {
        "gate": gate["id"],
        "run": run,
        "question": gate["question"],
        "answer": answer,
        "driven": driven,
        "ended": ended,
    }


def _pick(wanted: str, gates: list[dict[str, Any]]) -> dict[str, Any]:
    from muster.model.errors import InputError, NotFoundError

    if not gates:
        raise NotFoundError("Nothing waits for an answer.", hint="muster ls shows all runs.")
    if wanted == "@last":
        if len(gates) > 1:
            raise InputError(f"{len(gates)} questions wait; say which.", hint="muster inbox lists them.")
        found = gates
    else:
        wanted = wanted.lower()
        found = [gate for gate in gates if gate["id"] == wanted] or [
            gate for gate in gates if gate["id"].startswith(wanted) or gate["id"].endswith(wanted)
        ]
    if len(found) != 1:
        what = "matches several questions" if found else "matches no waiting question"
        raise NotFoundError(f"{wanted!r} {what}.", hint="muster inbox lists them.")
    return found[0]
