"""What a run is made of before it starts: an accepted plan, its tasks, and big prompts as files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import anyio
import msgspec

from muster.model.errors import EnvironmentProblem, InputError, JournalError
from muster.model.journal import events as ev
from muster.model.journal.entries import MAX_ENTRY_BYTES, encode_event
from muster.model.plan import Changes, Chosen, FileRef, Plan, Task, chosen
from muster.model.planning.roles import DEFAULT_ROLE, ROLES
from muster.model.policy import RunPolicy, agents_for, role_of
from muster.model.running.state import RunState, TaskState, TaskStatus
from muster.model.running.verdicts import mending_task, to_mend
from muster.ports import Agent, Detected, Snapshot

# Room for the rest of the manifest in an entry of at most 64 KiB.
INLINE_PROMPT_BYTES = 16 * 1024


def accept(plan: Plan, policy: RunPolicy, snapshot: Snapshot, start_tree: str, folder: Path) -> ev.PlanAccepted:
    """The first run of a plan, on the commit where the user stands; its brief becomes a file under ``folder``."""
    return ev.PlanAccepted(
        slug=plan.slug,
        plan_sha256=plan.sha256,
        base=snapshot.commit,
        start=snapshot.commit,
        start_tree=start_tree,
        target=snapshot.target,
        policy=policy,
        source=plan.source,
        title=plan.title,
        prefix=snapshot.prefix,
        profile=plan.profile,
        workflow=plan.workflow,
        brief=_keep(folder, "brief.md", plan.brief.encode()) if plan.workflow else None,
        done=(*plan.answers, *plan.passed),
    )


def with_answers(tasks: Iterable[Task], answers: Mapping[str, str], folder: Path) -> tuple[Task, ...]:
    """The tasks with what is known of some already, in files under ``folder``."""
    kept = {name: _keep(folder, f"answers/{name}.md", text.encode()) for name, text in answers.items()}
    return tuple(msgspec.structs.replace(task, answer=kept.get(task.id, task.answer)) for task in tasks)


def carry_on(old: RunState, policy: RunPolicy, snapshot: Snapshot) -> tuple[ev.PlanAccepted, tuple[Task, ...]]:
    """A new run for the open tasks of one that ended, on top of what that one integrated.

    Tasks whose dead letter was dropped are left out.

    Raises:
        InputError: the old run has nothing left to do, or only an agent could and its plan has none.
    """
    done = tuple(name for name, entry in old.tasks.items() if entry.status is TaskStatus.DONE)
    dropped = {name for name, letter in old.dead.items() if letter.settled == "dropped"}
    if len(done) + len(dropped) == len(old.tasks) and (old.main_commit or not old.changed):
        return _mend(old, policy, snapshot)
    accepted = msgspec.structs.replace(
        old.accepted,
        base=old.accepted.base,
        start=old.integration,
        start_tree=old.integration_tree,
        target=snapshot.target if not old.accepted.target else old.accepted.target,
        policy=policy,
        continues=old.run,
        done=done,
        failures={
            name: entry.failure
            for name, entry in old.tasks.items()
            if name not in done and entry.failure is not None and name not in dropped
        },
        brief=_of_run(old.run, old.accepted.brief),
    )
    return accepted, tuple(_carried(old.run, entry) for name, entry in old.tasks.items() if name not in dropped)


def _mend(old: RunState, policy: RunPolicy, snapshot: Snapshot) -> tuple[ev.PlanAccepted, tuple[Task, ...]]:
    """A new run that mends what the review of a merged one found, from where the branch is now."""
    found = to_mend(old)
    if not found:
        raise InputError(f"Run {old.run} is finished; nothing of its plan is open.", hint="muster report @last")
    if not old.policy.fixer:
        place = f".muster/projects/{old.accepted.slug}/review.md"
        why = f"its review found {len(found)} to mend, and its plan has no agent for that"
        raise InputError(f"Run {old.run} is finished; {why}.", hint=f"Look at {place}.")
    accepted = msgspec.structs.replace(
        old.accepted,
        base=snapshot.commit,
        review_base=old.accepted.review_base or old.accepted.base,
        start=snapshot.commit,
        start_tree="",
        target=snapshot.target,
        policy=policy,
        continues=old.run,
        done=(),
        failures={},
        brief=_of_run(old.run, old.accepted.brief),
    )
    return accepted, (mending_task(old),)


def _carried(run: str, entry: TaskState) -> Task:
    """A task with its texts where they are: beside the journal of the run that it comes from."""
    outcome = entry.last.outcome if entry.attempts else None
    said = outcome.answer if outcome is not None and entry.status is TaskStatus.DONE else entry.task.answer
    return msgspec.structs.replace(
        entry.task, prompt_ref=_of_run(run, entry.task.prompt_ref), answer=_of_run(run, said)
    )


def _of_run(run: str, ref: FileRef | None) -> FileRef | None:
    if ref is None or ref.path.startswith("../"):
        return ref
    return msgspec.structs.replace(ref, path=f"../{run}/{ref.path}")


def settle_tasks(
    tasks: Sequence[Task], policy: RunPolicy, agents: Mapping[str, Agent], folder: Path
) -> tuple[Task, ...]:
    """Resolve each task's agent and put prompts that are too big for an entry into files under ``folder``.

    Raises:
        InputError: a task names an agent that there is none of, one that cannot do without
            a tool that the task's role does not get, or a manifest that is too large.
    """
    return tuple(_settle(task, policy, agents, folder) for task in tasks)


async def detect_agents(able: Mapping[str, Agent]) -> dict[str, Detected]:
    """Ask all these agents at once whether they can be used here; sorted by name."""

    async def look(name: str) -> None:
        detected[name] = await able[name].detect()

    detected: dict[str, Detected] = {}
    async with anyio.create_task_group() as group:
        for name in able:
            group.start_soon(look, name)
    return dict(sorted(detected.items()))


async def find_agents(tasks: Iterable[Task], able: Mapping[str, Agent]) -> None:
    """Make sure that for each seat in a plan some agent's program is there, before anything starts.

    Raises:
        EnvironmentProblem: none of the agents of a task can be started here.
    """
    seats = {tuple(chosen(agent).name for agent in (task.agent, *task.fallbacks)) for task in tasks if task.agent}
    detected = await detect_agents({name: able[name] for names in seats for name in names})
    # One that can take the seat is enough.
    for name in sorted(names[0] for names in seats if not any(detected[name].found for name in names)):
        message = f"The agent {name!r} of this plan cannot be started here."
        raise EnvironmentProblem(
            message, hint=f"{detected[name].hint} Or choose another: agents.default in muster.toml."
        )


def _settle(task: Task, policy: RunPolicy, agents: Mapping[str, Agent], folder: Path) -> Task:
    if not task.is_command and not task.milestone:
        agent, role, fallbacks = _agents_of(task, policy, agents)
        task = msgspec.structs.replace(task, agent=agent, role=role, fallbacks=fallbacks)
        own = role_of(policy, task)
        for name in (chosen(one).name for one in (agent, *fallbacks)):
            for kind in own.without if name in agents else ():
                if kind not in (able := agents[name].capabilities.tools):
                    raise InputError(
                        f"Task {task.id!r}: the role {role!r} has no tools for {kind!r}, and agent {name!r} cannot do "
                        f"without; it can without: {', '.join(able) or 'none'}.",
                        hint="Give the role to another agent, or the tools to the role.",
                    )
        if not own.writes and task.changes is Changes.REQUIRED:
            task = msgspec.structs.replace(task, changes=Changes.ANY)
        if own.timeout_s and task.timeout_s == Task(id="").timeout_s:
            task = msgspec.structs.replace(task, timeout_s=own.timeout_s)
    prompt = task.prompt.encode()
    if len(prompt) > INLINE_PROMPT_BYTES:
        ref = _keep(folder, f"prompts/{task.id}.txt", prompt)
        task = msgspec.structs.replace(task, prompt="", prompt_ref=ref)
    if len(task.prose) > INLINE_PROMPT_BYTES:
        task = msgspec.structs.replace(task, prose=task.prose[: INLINE_PROMPT_BYTES // 4] + " …")
    try:
        encode_event(ev.TaskPlanned(task=task))
    except JournalError as error:
        limit = f"{MAX_ENTRY_BYTES // 1024} KiB"
        raise InputError(f"Task {task.id!r} has a manifest of more than {limit}; put texts into files.") from error
    return task


def _keep(folder: Path, name: str, data: bytes) -> FileRef:
    (folder / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / name).write_bytes(data)
    return FileRef(path=name, size=len(data), sha256=sha256(data).hexdigest())


def _agents_of(task: Task, policy: RunPolicy, agents: Collection[str]) -> tuple[str, str, tuple[str, ...]]:
    """The adapter and the role for a task, and who is asked when the adapter cannot be had.

    An adapter is named directly; a role is taken by its seat in the team, or the phase's agent, or the default one.
    """
    named, model, effort = chosen(task.agent)
    usable = sorted(name for name in agents if name != "command")
    if named in usable:
        return task.agent, task.role or DEFAULT_ROLE, task.fallbacks
    roles = {**ROLES, **policy.roles}
    if named not in roles:
        raise InputError(
            f"Task {task.id!r}: there is no role or agent {named!r}; roles: {', '.join(roles)}; "
            f"agents: {', '.join(usable)}.",
            hint="A task can also be a command: run: instead of agent:.",
        )
    able = agents_for(policy, named, task.phase)
    for agent in able:
        if chosen(agent).name not in usable:
            raise InputError(
                f"Task {task.id!r} wants the role {named!r}, and there is no agent {agent!r} to take it; "
                f"agents: {', '.join(usable)}.",
                hint="Set agents.default in muster.toml, or name an agent in the task.",
            )
    first, *others = (_with_wishes(agent, model, effort) for agent in able)
    return first, named, tuple(others)


def _with_wishes(agent: str, model: str, effort: str) -> str:
    """An agent with the model or effort that a task asks for in place of its own; another model drops its effort."""
    if model:
        return str(Chosen(chosen(agent).name, model, effort))
    return str(chosen(agent)._replace(effort=effort)) if effort else agent
