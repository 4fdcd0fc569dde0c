"""All the ways in which a step can turn out, as the facts that it would bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from muster.model.attempts import Cause, Ending, Failure, Outcome, Problem, Receipt, Usage
from muster.model.findings import Finding, Severity, Verdict
from muster.model.journal import events as ev
from muster.model.plan import Changes, Plan, Task
from muster.model.record import Record
from muster.model.running import steps as do
from muster.model.running.answers import fan_out
from muster.model.running.state import RunState, Station, TaskState, replace
from muster.model.running.verification import main_checks, missing_checks, still_to_run, wave_receipts

Effect = (
    do.Work
    | do.Adopt
    | do.Audit
    | do.Merge
    | do.Finish
    | do.GiveUp
    | do.StopTask
    | do.Halt
    | do.VerifyWave
    | do.Review
    | do.PrepareMain
    | do.MoveMain
)


class Menu(Record, frozen=True):
    """What may go wrong in a simulated run.

    ``restarts`` counts how often its owner may die, ``grants`` how often people
    may say yes after a failure, ``requeues`` how often they may ask for a dead
    letter again, ``late`` says that a cancelled step may still bring its facts.
    ``uses`` are what attempts may use, as multiples of what is set aside for
    them; None stands for an agent that does not tell.
    """

    work: tuple[Cause, ...] = ()
    audit: tuple[Cause, ...] = ()
    merge: tuple[Cause, ...] = ()
    verify_fails: bool = False
    main_blocks: bool = False
    verdicts: tuple[Verdict, ...] = ()
    stops_run: bool = False
    stops_task: bool = False
    answers: bool = True
    grants: int = 2
    restarts: int = 0
    loses_heartbeats: bool = False
    requeues: int = 0
    late: bool = False
    uses: tuple[float | None, ...] = ()


class Result(Record, frozen=True):
    """One way a step turns out: its facts, and where the refs are afterwards if they moved."""

    name: str
    facts: tuple[ev.Event, ...]
    integration: str = ""
    main: str = ""


def results(step: Effect, state: RunState, menu: Menu, integration: str, main: str) -> Iterator[Result]:
    """Every way in which ``step`` can turn out when the refs are where they are."""
    match step:
        case do.Work():
            for result in _worked(state.tasks[step.task], menu):
                yield from _used(result, state, state.tasks[step.task], menu)
        case do.Halt():
            yield _ended(state.tasks[step.task], Ending.INTERRUPTED)
        case do.Adopt():
            yield _ended(state.tasks[step.task], Ending.OK)
            yield _ended(state.tasks[step.task], Ending.INTERRUPTED)
        case do.Audit():
            yield from _audited(state, state.tasks[step.task], menu)
        case do.Merge():
            yield from _merged(state.tasks[step.task], step.onto, menu)
        case do.Finish():
            if step.after and integration not in (step.before, step.after):
                raise AssertionError(f"integration is at {integration}, not between {step.before} and {step.after}")
            yield Result(
                name=f"{step.task} finishes", facts=(ev.TaskSucceeded(task=step.task),), integration=step.after
            )
        case do.GiveUp():
            entry = state.tasks[step.task]
            working = entry.station is Station.WORKING
            ended = _ended(entry, Ending.STALLED, step.failure).facts if working else ()
            failed = ev.TaskFailed(task=step.task, failure=step.failure)
            letter = _letter(entry, step.reason, step.failure)
            yield Result(name=f"{step.task} is given up", facts=(*ended, failed, letter))
        case do.StopTask():
            yield _stopped(state.tasks[step.task], step.source)
        case do.VerifyWave():
            yield from _verified(state, step, menu)
        case do.Review():
            yield from (_reviewed(step, verdict) for verdict in menu.verdicts)
        case do.PrepareMain():
            yield from _prepared(state, menu, main)
        case do.MoveMain():
            if main in (step.before, step.after):
                moved = ev.MainMerged(target=step.target, before=step.before, commit=step.after)
                yield Result(name="main moves", facts=(moved,), main=step.after)
            if main != step.after and (menu.main_blocks or main != step.before):
                yield _blocked(step.target)
        case _:
            assert_never(step)


def _worked(entry: TaskState, menu: Menu) -> Iterator[Result]:
    yield _ended(entry, Ending.OK)
    for cause in menu.work:
        failure = Failure(cause=cause, message=f"ended with {cause.value}")
        if cause is Cause.RATE_LIMIT:
            failure = Failure(cause=cause, message="429", retry_after_s=30.0)
        yield _ended(entry, Ending.ERROR, failure)


def _used(result: Result, state: RunState, entry: TaskState, menu: Menu) -> Iterator[Result]:
    """The same result for each amount that the attempt may have used; no agent takes back what it told before."""
    hold = state.ledger.holds.get(f"{entry.task.id}:{entry.last.number}")
    if hold is None or not menu.uses:
        yield result
        return
    (ended,) = (fact for fact in result.facts if isinstance(fact, ev.AttemptEnded))
    for part in menu.uses:
        if part is None:
            usage = Usage()
        else:
            usd = max(part * hold.reserved.usd, hold.used.usd)
            usage = Usage(output=int(max(part * hold.reserved.tokens, hold.used_tokens)), cost_usd=usd)
        outcome = replace(ended.outcome, usage=usage)
        yield replace(result, name=f"{result.name} having used {part}", facts=(replace(ended, outcome=outcome),))


def heard(entry: TaskState, state: RunState, menu: Menu) -> Iterator[ev.AgentUsed]:
    """What a running attempt may tell that it has used so far."""
    hold = state.ledger.holds.get(f"{entry.task.id}:{entry.last.number}")
    for part in menu.uses:
        if hold is not None and part is not None and part * hold.reserved.usd > hold.used.usd:
            tokens, usd = int(part * hold.reserved.tokens), part * hold.reserved.usd
            yield ev.AgentUsed(task=hold.task, attempt=hold.attempt, output=tokens, cost_usd=usd)


def _ended(entry: TaskState, ending: Ending, failure: Failure | None = None) -> Result:
    outcome = Outcome(ending=ending, failure=failure)
    name = f"{entry.task.id} ends {failure.cause.value if failure else ending.value}"
    return Result(name=name, facts=(ev.AttemptEnded(task=entry.task.id, attempt=entry.last.number, outcome=outcome),))


def _audited(state: RunState, entry: TaskState, menu: Menu) -> Iterator[Result]:
    task, attempt = entry.task, entry.last
    if task.produces == "plan":
        yield from _planned(state, entry)
        return
    work = f"{attempt.base}{task.id}.{attempt.number};"
    for changed in (True, False):
        tree = work if changed else attempt.base
        audited = ev.TaskAudited(
            task=task.id,
            attempt=attempt.number,
            ok=True,
            commit=tree,
            tree=tree,
            changed=changed,
            receipts=_passing(task.verify, tree),
        )
        if task.changes is not (Changes.NONE if changed else Changes.REQUIRED):
            yield Result(name=f"{task.id} audited {'changed' if changed else 'unchanged'}", facts=(audited,))
    for cause in menu.audit:
        failure = Failure(cause=cause, message=f"audit: {cause.value}")
        failed = ev.TaskAudited(
            task=task.id, attempt=attempt.number, ok=False, commit=work, tree=work, changed=True, failure=failure
        )
        yield Result(name=f"{task.id} audit fails {cause.value}", facts=(failed,))


def _planned(state: RunState, entry: TaskState) -> Iterator[Result]:
    """An agent's plan of a task, with and without something against it, and an answer that is none."""
    plan = Plan(slug="p", tasks=(Task(id="new", run="x"),))
    name, base = entry.task.id, entry.last.base
    added = [ev.TaskPlanned(task=task) for task in fan_out(plan, entry.task, state)]
    fact = ev.TaskAudited(task=name, attempt=entry.last.number, ok=True, commit=base, tree=base)
    objection = Problem(rule="command", message="new would run `x`")
    yield Result(name=f"{name} plans", facts=(*added, fact))
    yield Result(name=f"{name} plans what nobody named", facts=(*added, replace(fact, problems=(objection,))))
    failure = Failure(cause=Cause.AUDIT, message="no plan")
    yield Result(name=f"{name} says no plan", facts=(replace(fact, ok=False, failure=failure),))


def _merged(entry: TaskState, onto: str, menu: Menu) -> Iterator[Result]:
    name, attempt = entry.task.id, entry.last
    merged = f"{onto}{name}.{attempt.number};"
    receipts = _passing(still_to_run(entry.task, merged, attempt.receipts), merged)
    fact = ev.TaskMerged(task=name, attempt=attempt.number, commit=merged, tree=merged, onto=onto, receipts=receipts)
    yield Result(name=f"{name} merges", facts=(fact,))
    for cause in menu.merge:
        failure = Failure(cause=cause, message=f"merge: {cause.value}")
        failed = ev.TaskMergeFailed(task=name, attempt=attempt.number, onto=onto, failure=failure)
        yield Result(name=f"{name} merge fails {cause.value}", facts=(failed,))


def _stopped(entry: TaskState, source: str) -> Result:
    failure = Failure(cause=Cause.CANCELLED, message=f"stopped by {source}")
    facts: tuple[ev.Event, ...] = (ev.TaskFailed(task=entry.task.id, failure=failure),)
    if entry.station is Station.WORKING:
        facts = (*_ended(entry, Ending.CANCELLED, failure).facts, *facts)
    if entry.stop_source:
        facts = (*facts, _letter(entry, "manual", failure))
    return Result(name=f"{entry.task.id} stops", facts=facts)


def _letter(entry: TaskState, reason: str, failure: Failure) -> ev.DeadLetterAdded:
    return ev.DeadLetterAdded(task=entry.task.id, reason=reason, attempts=len(entry.attempts), failure=failure)


def _verified(state: RunState, step: do.VerifyWave, menu: Menu) -> Iterator[Result]:
    tree, known, commands = state.integration_tree, wave_receipts(state), missing_checks(state)
    passed = (*known, *_passing(commands, tree))
    ok = ev.WaveFinished(wave=step.wave, ok=True, tree=tree, receipts=passed)
    yield Result(name=f"wave {step.wave} verifies", facts=(ok,))
    if menu.verify_fails and commands:
        broken = Receipt(command=commands[0], exit_code=1, tree=tree, environment="", tail="no")
        failed = ev.WaveFinished(wave=step.wave, ok=False, tree=tree, receipts=(*known, broken))
        yield Result(name=f"wave {step.wave} fails", facts=(failed,))


def _reviewed(step: do.Review, verdict: Verdict) -> Result:
    blocker = Finding(
        rule="X",
        severity=Severity.BLOCKER,
        path="a",
        line=1,
        title="t",
        detail="d",
        id=f"f-{len(step.commit):016x}",
    )
    finished = ev.ReviewFinished(
        slug="demo",
        verdict=verdict.value,
        round=step.round,
        commit=step.commit,
        findings=(blocker,) if verdict is Verdict.BLOCK else (),
        known=(blocker.id,) if verdict is Verdict.BLOCK else (),
    )
    return Result(name=f"review says {verdict.value}", facts=(finished,))


def _prepared(state: RunState, menu: Menu, main: str) -> Iterator[Result]:
    target, commit = state.accepted.target, f"{main}<{state.integration}>"
    receipts = _passing(main_checks(state, commit), commit)
    started = ev.MainMergeStarted(target=target, before=main, commit=commit, receipts=receipts)
    yield Result(name="main prepared", facts=(started,))
    if menu.main_blocks:
        yield _blocked(target)


def _blocked(target: str) -> Result:
    return Result(name="main blocked", facts=(ev.MainMergeBlocked(target=target, reason="it has local changes"),))


def _passing(commands: tuple[str, ...], tree: str) -> tuple[Receipt, ...]:
    return tuple(Receipt(command=command, exit_code=0, tree=tree, environment="") for command in commands)
