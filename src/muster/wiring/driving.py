"""Driving a run to its end, with everybody who listens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from muster.config.policy import notification_rules, on_terms, review_seats
from muster.engine.actor import Actor
from muster.engine.herald import Herald
from muster.engine.journal import Journal
from muster.model.errors import MusterError
from muster.model.redaction import Redactor, secret_values
from muster.model.running.state import RunState
from muster.pipeline.artefacts import write_progress, write_text
from muster.pipeline.reviewing import ProjectExaminer, agent_reviewers
from muster.ports import Agent, Approver, Executor, Listener
from muster.reports.markdown import report
from muster.review.review import ReviewRequest
from muster.telemetry.following import Follower, following
from muster.telemetry.handing import hand_over, resource_of
from muster.telemetry.notices import NOTICES, notice_sinks
from muster.telemetry.session import TelemetrySession
from muster.telemetry.spans import Span
from muster.wiring.kit import METRICS, STATE, Kit, message
from muster.wiring.parts import agents, executor_of, exporters_of, mirror_of, receiver_of, repository_of, workspace_of

if TYPE_CHECKING:
    from muster.telemetry.receiver import Receiver


async def drive(kit: Kit, journal: Journal, approver: Approver | None, listeners: Iterable[Listener] = ()) -> RunState:
    """Drive an owned run until it ends, waits for a person or is interrupted; then let go of it."""
    session = None
    if kit.resolved.settings.telemetry.enabled:
        resource = resource_of(kit.project)
        session = TelemetrySession(kit.clock, kit.project / METRICS, environ=os.environ, resource=resource)
        session.start(await kit.store.read(journal.state.run))
    receiver = receiver_of(kit)
    async with following(session, mirror_of(kit), receiver) as followers:
        return await _drive(kit, journal, approver, (*listeners, *followers), followers, receiver)


async def _drive(
    kit: Kit,
    journal: Journal,
    approver: Approver | None,
    listeners: Iterable[Listener],
    followers: Sequence[Follower],
    receiver: Receiver | None,
) -> RunState:
    able = agents(kit.resolved.settings.agents)
    executor = executor_of(kit, able, receiver)
    actor = await _actor_of(kit, journal, approver, able, executor)
    herald = _herald_of(kit, journal, actor)
    journal.listen((*listeners, herald))
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_obey_signals, kit, actor, name="signals")
            for follower in followers:
                group.start_soon(follower.keep, name=type(follower).__name__.lower())
            group.start_soon(herald.serve, name="notifications")
            await actor.drive()
            await herald.finish()
            group.cancel_scope.cancel()
        with suppress(MusterError):
            # The run is over; what could not be written any more was told all the same.
            await journal.append()
    except BaseException as error:
        # What went wrong first is what is told, not what then fails for the same reason.
        with suppress(MusterError):
            await _let_go(kit, journal)
        raise (error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error) from error
    finally:
        executor.close()
    if kit.resolved.settings.telemetry.enabled:
        await _hand_over(kit, journal, receiver.take_spans() if receiver else ())
    await _let_go(kit, journal)
    return journal.state


async def _actor_of(
    kit: Kit, journal: Journal, approver: Approver | None, able: Mapping[str, Agent], executor: Executor
) -> Actor:
    """Whoever works through the run, with its workspace and those who will review what it integrates."""
    run, policy, settings = journal.state.run, journal.state.policy, kit.resolved.settings
    workspace = workspace_of(kit, await repository_of(kit), run, policy)
    reviewers = agent_reviewers(review_seats(settings, policy), able, executor, workspace, kit.folder(run))
    terms = on_terms(ReviewRequest(repo=kit.project), settings.review)
    examiner = ProjectExaminer(kit.project, kit.clock, terms, Redactor(secret_values(os.environ)), reviewers)
    parts = (journal, kit.store, workspace, executor, kit.clock)
    return Actor(*parts, folder=kit.folder(run), approver=approver, examiner=examiner)


def _herald_of(kit: Kit, journal: Journal, actor: Actor) -> Herald:
    """Whoever tells people what the run needs of them, through the sinks that the settings ask for."""
    notify = kit.resolved.settings.notify
    sinks = notice_sinks(
        kit.project / STATE / NOTICES if notify.jsonl else None,
        Redactor(secret_values(os.environ)),
        bell=notify.bell,
        webhook=notify.webhook,
        allow_private=notify.webhook_allow_private,
    )
    return Herald(kit.store, kit.clock, sinks, notification_rules(notify), journal.state, actor.mention)


def write_artefacts(kit: Kit, state: RunState) -> Path:
    """Write the run's report and the project's progress file; returns the path of the report."""
    place = kit.folder(state.run) / "report.md"
    write_text(place, report(state))
    write_progress(kit.project, state)
    if state.accepted.workflow:
        from muster.pipeline.flows import write_answers  # brings YAML along

        write_answers(kit.project, kit.folder(state.run), state)
    return place


async def _hand_over(kit: Kit, journal: Journal, received: Sequence[Span]) -> None:
    """Tell the exporters how things are; that one could not be told is a fact of the run and no failure of it."""
    if not (exporters := exporters_of(kit.resolved.settings.telemetry, os.environ)):
        return
    with anyio.CancelScope(shield=True):
        parts = (kit.project, kit.store, kit.clock, journal.state)
        failed = await hand_over(exporters, *parts, os.environ, received)
        with suppress(MusterError):
            await journal.append(failed)


async def _let_go(kit: Kit, journal: Journal) -> None:
    with anyio.CancelScope(shield=True):
        try:
            write_artefacts(kit, journal.state)
        finally:
            await kit.store.release(journal.lease)


async def _obey_signals(kit: Kit, actor: Actor) -> None:
    """Ctrl-C once stops the run, twice at once; a lost terminal or a SIGTERM leaves it to be continued."""
    asked = False
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            if number is not signal.SIGINT:
                actor.shut_down(f"shutdown ({number.name})")
            elif asked:
                actor.hurry()
            else:
                asked = True
                await kit.store.post(message(kit, actor.state.run, "stop", source="signal"))
