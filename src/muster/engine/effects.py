"""Performing one step: the side effects of a run, each giving back what happened as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import assert_never

from muster.engine.answers import answer_of, judge_answer, stored
from muster.engine.notes import agent_name, main_note, merge_note, task_note
from muster.model.attempts import Attempt, Cause, Ending, Failure, Outcome, Problem, Receipt
from muster.model.errors import ConflictError
from muster.model.ids import attempt_folder, attempt_id
from muster.model.journal import events as ev
from muster.model.plan import Task, chosen
from muster.model.planning.audit import AuditFacts, failure_of, judge, judge_work
from muster.model.policy import model_of, role_of
from muster.model.running import steps as do
from muster.model.running.messages import answered
from muster.model.running.packet import packet
from muster.model.running.sessions import spent_before
from muster.model.running.state import Gate, RunState, Station, TaskState, replace
from muster.model.running.verification import main_checks, missing_checks, still_to_run, wave_receipts
from muster.ports import Approver, AttemptSpec, CheckSpec, Clock, Examiner, Executor, News, Swept, Tell, Workspace

# What stands in an entry is for people; the whole list is in the commit.
MAX_PATHS = 100

Facts = tuple[ev.Event, ...]


class Effects:
    """The hands of a run: workspace, executor and the person who is present."""

    def __init__(
        self,
        workspace: Workspace,
        executor: Executor,
        approver: Approver | None,
        examiner: Examiner | None,
        clock: Clock,
        folder: Path,
        on_news: Callable[[str, int, News], None],
    ) -> None:
        self._workspace = workspace
        self._executor = executor
        self._approver = approver
        self._clock = clock
        self._examiner = examiner
        self._folder = folder
        self._on_news = on_news

    async def perform(self, step: do.Effect, state: RunState) -> Facts:
        """Do what ``step`` says and return the facts; doing it again after a crash is harmless."""
        match step:
            case do.Work():
                return await self._work(state, state.tasks[step.task])
            case do.Adopt():
                return await self._adopt(state, state.tasks[step.task])
            case do.Audit():
                return await self._audit(state, state.tasks[step.task])
            case do.Merge():
                return await self._merge(state, state.tasks[step.task], step.onto)
            case do.Finish():
                if step.after:
                    await self._workspace.advance(step.before, step.after)
                entry = state.tasks[step.task]
                self._executor.forget(self._folder / attempt_folder(step.task, entry.last.number))
                # Verify commands may have left something; without any, nothing ran since the work was collected.
                untouched = not entry.task.verify
                await self._workspace.dispose(step.task, untouched=untouched)
                return (ev.TaskSucceeded(task=step.task),)
            case do.GiveUp():
                return await self._give_up(state, state.tasks[step.task], step)
            case do.StopTask():
                return await self._stop(state, state.tasks[step.task], step)
            case do.Halt():
                return await self._halt(state, state.tasks[step.task], step)
            case do.VerifyWave():
                return await self._verify_wave(state, step)
            case do.Review():
                return await self._review(state, step)
            case do.PrepareMain():
                return await self._prepare_main(state)
            case do.MoveMain():
                return await self._move_main(step)
            case do.Ask():
                return await self._ask(state, state.gates[step.gate])
            case _:
                assert_never(step)

    async def _work(self, state: RunState, entry: TaskState) -> Facts:
        attempt, name = entry.last, entry.task.id
        facts: list[ev.Event] = []
        # A folder that the next attempt goes on in loses nothing.
        keep = bool(attempt.resumes) and await self._workspace.place(name) is not None
        if attempt.number > 1 and not keep:
            facts.extend(await self._salvage(name, attempt.number - 1))
        try:
            workdir = await self._workspace.prepare(name, attempt.number, attempt.base, keep=keep)
        except ConflictError as error:
            failure = Failure(cause=Cause.ENVIRONMENT, message=f"{error.message} {error.hint}".strip())
            outcome = Outcome(ending=Ending.ERROR, failure=failure)
        else:
            spec = self._spec(state, entry, attempt, workdir)
            outcome = await self._executor.run(spec, self._tell(name, attempt.number))
        facts.extend(_ended(name, attempt, outcome))
        if outcome.ok and not entry.task.verify:
            # Without commands to run an audit is over in a moment: both facts are stored in one step.
            after = replace(entry, attempts=(*entry.attempts[:-1], replace(attempt, outcome=outcome)))
            facts.extend(await self._audit(state, after))
        return tuple(facts)

    async def _adopt(self, state: RunState, entry: TaskState) -> Facts:
        attempt, name = entry.last, entry.task.id
        workdir = await self._workspace.place(name)
        spec = self._spec(state, entry, attempt, workdir or self._folder)
        outcome = await self._executor.adopt(spec, self._tell(name, attempt.number))
        if workdir is None and outcome.ok:
            failure = Failure(cause=Cause.INTERRUPTED, message="its folder is gone")
            outcome = Outcome(ending=Ending.INTERRUPTED, failure=failure)
        return _ended(name, attempt, outcome)

    async def _audit(self, state: RunState, entry: TaskState) -> Facts:
        attempt, task = entry.last, entry.task
        note = task_note(state, entry, attempt)
        workdir = await self._workspace.place(task.id)
        if workdir is None:
            failure = Failure(cause=Cause.AUDIT, message="The task's folder is gone; there is nothing to audit.")
            return (
                ev.TaskAudited(task=task.id, attempt=attempt.number, ok=False, commit="", tree="", failure=failure),
            )
        left = await self._workspace.collect(task.id, attempt.number, attempt.base, note, hooks=state.policy.run_hooks)
        missing = [
            wanted
            for wanted in task.must_contain
            if not await self._workspace.contains(left.tree, wanted.path, wanted.text)
        ]
        facts = AuditFacts(
            paths=left.paths,
            outside=left.outside,
            embedded=left.embedded,
            files=await self._workspace.files(left.tree) if task.expected_paths else (),
            missing_texts=tuple(missing),
            message=left.message,
            hook_failure=left.hook_failure,
            read_only=not (task.is_command or role_of(state.policy, task).writes),
        )
        receipts: tuple[Receipt, ...] = ()
        problems = judge_work(task, facts)
        if not problems:
            marker = attempt_id(state.run, task.id, attempt.number)
            commands = still_to_run(task, left.tree, ())
            receipts = await self._check(state, commands, left.tree, workdir, f"{marker}:verify", task.timeout_s)
            problems = judge(task, replace(facts, receipts=receipts))
        added: tuple[Task, ...] = ()
        objections: tuple[Problem, ...] = ()
        if task.produces and not problems:
            problems, objections, added = judge_answer(self._folder, state, entry)
        audited = ev.TaskAudited(
            task=task.id,
            attempt=attempt.number,
            ok=not problems,
            commit=left.commit,
            tree=left.tree,
            changed=left.commit != attempt.base,
            paths=left.paths[:MAX_PATHS],
            path_count=len(left.paths),
            receipts=receipts,
            problems=problems or objections,
            failure=failure_of(problems) if problems else None,
        )
        # The plan counts with the last of these, so that a crash in between leaves nothing half planned.
        return (*(ev.TaskPlanned(task=each) for each in added), audited)

    async def _merge(self, state: RunState, entry: TaskState, onto: str) -> Facts:
        attempt, name = entry.last, entry.task.id
        proposal = await self._workspace.propose(onto, attempt.commit, merge_note(state, entry, attempt))
        if proposal.conflicts:
            named = ", ".join(proposal.conflicts[:5])
            failure = Failure(
                cause=Cause.CONFLICT,
                message=f"The work conflicts with what was merged before, in {named}.",
                files=proposal.conflicts[:MAX_PATHS],
            )
            return (ev.TaskMergeFailed(task=name, attempt=attempt.number, onto=onto, failure=failure),)
        marker = f"{attempt_id(state.run, name, attempt.number)}:merge"
        commands = still_to_run(entry.task, proposal.tree, attempt.receipts)
        receipts = await self._check_commit(state, commands, proposal.commit, proposal.tree, marker)
        broken = next((receipt for receipt in receipts if not receipt.ok), None)
        if broken is not None:
            failure = Failure(
                cause=Cause.BROKE_INTEGRATION,
                message=f"`{broken.command}` passes alone and fails (exit {broken.exit_code}) together with what was "
                f"merged before:\n{broken.tail}",
            )
            return (
                ev.TaskMergeFailed(task=name, attempt=attempt.number, onto=onto, failure=failure, receipts=receipts),
            )
        return (
            ev.TaskMerged(
                task=name,
                attempt=attempt.number,
                commit=proposal.commit,
                tree=proposal.tree,
                onto=onto,
                receipts=receipts,
            ),
        )

    async def _give_up(self, state: RunState, entry: TaskState, step: do.GiveUp) -> Facts:
        ended: Facts = ()
        if entry.station is Station.WORKING:
            swept = await self._executor.sweep(attempt_id(state.run, step.task, entry.last.number))
            outcome = Outcome(ending=Ending.STALLED, failure=step.failure, swept=swept.pids)
            ended = _ended(step.task, entry.last, outcome)
        facts = (*ended, *await self._salvage(step.task, entry.last.number))
        failed = ev.TaskFailed(task=step.task, failure=step.failure)
        return (*facts, failed, _letter(entry, step.reason, step.failure, facts))

    async def _stop(self, state: RunState, entry: TaskState, step: do.StopTask) -> Facts:
        failure = Failure(cause=Cause.CANCELLED, message=f"stopped by {step.source}")
        facts: list[ev.Event] = []
        if entry.attempts:
            # The process tree is gone with the cancelled effect; this also finds what a dead owner left.
            swept = await self._executor.sweep(attempt_id(state.run, step.task, entry.last.number))
            if entry.station is Station.WORKING:
                took = self._clock.now() - entry.last.started_at
                length = max(0, took // timedelta(milliseconds=1))
                outcome = Outcome(ending=Ending.CANCELLED, failure=failure, swept=swept.pids, duration_ms=length)
                facts.append(ev.AttemptEnded(task=step.task, attempt=entry.last.number, outcome=outcome))
            facts.extend(_swept(step.task, entry.last, swept))
            facts.extend(await self._salvage(step.task, entry.last.number))
        failed = ev.TaskFailed(task=step.task, failure=failure)
        # Of a task that was stopped by itself the rest of the run goes on, so somebody has to remember it.
        return (*facts, failed, _letter(entry, "manual", failure, facts)) if entry.stop_source else (*facts, failed)

    async def _halt(self, state: RunState, entry: TaskState, step: do.Halt) -> Facts:
        # The process tree is gone with the cancelled effect; the task is not to blame and comes back.
        swept = await self._executor.sweep(attempt_id(state.run, step.task, step.attempt))
        failure = Failure(cause=Cause.INTERRUPTED, message=step.why)
        return _ended(step.task, entry.last, Outcome(ending=Ending.INTERRUPTED, failure=failure, swept=swept.pids))

    async def _verify_wave(self, state: RunState, step: do.VerifyWave) -> Facts:
        known, tree = wave_receipts(state), state.integration_tree
        marker = f"{state.run}:@wave-{step.wave}"
        fresh = await self._check_commit(state, missing_checks(state), step.commit, tree, marker)
        receipts = (*known, *fresh)
        ok = all(receipt.ok for receipt in receipts)
        return (ev.WaveFinished(wave=step.wave, ok=ok, tree=tree, receipts=receipts),)

    async def _review(self, state: RunState, step: do.Review) -> Facts:
        if self._examiner is None:
            raise RuntimeError(f"run {state.run} wants a review and there is nobody to do it")
        return (await self._examiner.examine(state, step.base, step.commit, step.round),)

    async def _prepare_main(self, state: RunState) -> Facts:
        target = state.accepted.target
        main = await self._workspace.main_state(target)
        if main.reason:
            return (ev.MainMergeBlocked(target=target, reason=main.reason, hint=main.hint),)
        proposal = await self._workspace.propose(main.commit, state.integration, main_note(state))
        if proposal.conflicts:
            reason = f"it moved meanwhile and conflicts in {', '.join(proposal.conflicts[:5])}"
            hint = f"git merge refs/muster/{state.run}/integration"
            return (ev.MainMergeBlocked(target=target, reason=reason, hint=hint),)
        commands = main_checks(state, proposal.tree)
        marker = f"{state.run}:@main"
        receipts = await self._check_commit(state, commands, proposal.commit, proposal.tree, marker)
        broken = next((receipt for receipt in receipts if not receipt.ok), None)
        if broken is not None:
            reason = f"it moved meanwhile, and `{broken.command}` fails (exit {broken.exit_code}) on the merged tree"
            hint = f"git merge --no-commit refs/muster/{state.run}/integration"
            return (ev.MainMergeBlocked(target=target, reason=reason, hint=hint),)
        return (ev.MainMergeStarted(target=target, before=main.commit, commit=proposal.commit, receipts=receipts),)

    async def _move_main(self, step: do.MoveMain) -> Facts:
        main = await self._workspace.move_main(step.target, step.before, step.after)
        if main.reason:
            return (ev.MainMergeBlocked(target=step.target, reason=main.reason, hint=main.hint),)
        return (ev.MainMerged(target=step.target, before=step.before, commit=step.after),)

    async def _ask(self, state: RunState, gate: Gate) -> Facts:
        if self._approver is None or gate.asked is None:
            return ()
        decision = await self._approver.ask(gate.asked)
        if decision is None:
            return ()
        return answered(state, gate, decision.answer, decision.by, decision.why)

    async def _salvage(self, task: str, attempt: int) -> tuple[ev.WorkSalvaged, ...]:
        saved = await self._workspace.salvage(task, attempt)
        if saved is None:
            return ()
        return (ev.WorkSalvaged(task=task, attempt=attempt, ref=saved.ref, commit=saved.commit, kept=saved.kept),)

    async def _check_commit(
        self, state: RunState, commands: Sequence[str], commit: str, tree: str, marker: str
    ) -> tuple[Receipt, ...]:
        if not commands:
            return ()
        timeout_s = max(entry.task.timeout_s for entry in state.tasks.values())
        use = partial(self._check, state, commands, tree, marker=marker, timeout_s=timeout_s)
        return await self._workspace.in_tree(commit, lambda place: use(workdir=place))

    async def _check(
        self, state: RunState, commands: Sequence[str], tree: str, workdir: Path, marker: str, timeout_s: float
    ) -> tuple[Receipt, ...]:
        """Run commands in order; the first that fails ends it, since the rest would prove nothing."""
        receipts: list[Receipt] = []
        for number, command in enumerate(commands, start=1):
            spec = CheckSpec(
                id=f"{marker}:{number}",
                command=command,
                tree=tree,
                workdir=workdir,
                folder=self._folder / "checks" / f"{marker}:{number}".replace(":", "_"),
                env=self._workspace.environment(),
                env_allow=state.policy.env_allow,
                timeout_s=timeout_s,
                grace_s=state.policy.grace_s,
            )
            receipt = await self._executor.check(spec)
            receipts.append(receipt)
            if not receipt.ok:
                break
        return tuple(receipts)

    def _spec(self, state: RunState, entry: TaskState, attempt: Attempt, workdir: Path) -> AttemptSpec:
        task, policy = entry.task, state.policy
        env = self._workspace.environment()
        if entry.failure is not None:
            env["MUSTER_LAST_FAILURE"] = entry.failure.message[:4000]
        prompt = task.prompt if task.prompt_ref is None else stored(self._folder, task.prompt_ref)
        agent = agent_name(entry)
        if not task.is_command:
            brief = stored(self._folder, state.accepted.brief) if state.accepted.brief is not None else ""
            told = {name: answer_of(self._folder, state.tasks[name]) for name in task.reads if name in state.tasks}
            answers = {name: text for name, text in told.items() if text}
            prompt = packet(state, entry, prompt, token_hex(8), brief=brief, answers=answers)
        _, model, effort = chosen(attempt.agent or task.agent)
        role = role_of(policy, task)
        return AttemptSpec(
            id=attempt_id(state.run, task.id, attempt.number),
            run=state.run,
            task=task.id,
            number=attempt.number,
            agent=agent,
            workdir=workdir,
            folder=self._folder / attempt_folder(task.id, attempt.number),
            command=task.run,
            prompt=prompt,
            model=model or model_of(policy, agent, task.phase),
            effort=effort or role.effort,
            permission=policy.permissions.get(agent, "edit") if task.is_command or role.writes else "read",
            session=attempt.resumes,
            spent=spent_before(entry, attempt),
            max_cost_usd=task.max_cost.usd if task.max_cost is not None else None,
            without=() if task.is_command else role.without,
            max_turns=None if task.is_command else role.max_turns,
            env=env,
            env_allow=policy.env_allow,
            timeout_s=task.timeout_s,
            stall_timeout_s=policy.stall_timeout_s,
            grace_s=policy.grace_s,
            keep_raw=policy.keep_raw,
        )

    def _tell(self, task: str, attempt: int) -> Tell:
        return lambda news: self._on_news(task, attempt, news)


def _ended(task: str, attempt: Attempt, outcome: Outcome) -> Facts:
    ended = ev.AttemptEnded(task=task, attempt=attempt.number, outcome=outcome)
    return (ended, *_swept(task, attempt, Swept(pids=outcome.swept)))


def _swept(task: str, attempt: Attempt, swept: Swept) -> Facts:
    if not (swept.pids or swept.left):
        return ()
    return (ev.ProcessSwept(task=task, attempt=attempt.number, pids=swept.pids, left=swept.left),)


def _letter(entry: TaskState, reason: str, failure: Failure, facts: Sequence[ev.Event]) -> ev.DeadLetterAdded:
    salvaged = [fact.ref for fact in facts if isinstance(fact, ev.WorkSalvaged)]
    return ev.DeadLetterAdded(
        task=entry.task.id,
        reason=reason,
        attempts=len(entry.attempts),
        failure=failure,
        salvage=salvaged[0] if salvaged else "",
    )
