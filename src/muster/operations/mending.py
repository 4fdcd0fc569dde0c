"""Putting things back: a damaged journal, a merged branch, folders that nobody needs."""

from __future__ import annotations

from muster.engine.journal import Journal
from muster.engine.ownership import owned
from muster.model.errors import ConflictError, InputError, JournalError
from muster.model.journal.events import MainMergeStarted, MainUndone
from muster.model.running.recovery import cut_after
from muster.model.running.state import ENDED, RunState
from muster.ports import Store
from muster.process import is_alive
from muster.reports.views import left_alone
from muster.wiring.kit import Kit, operator
from muster.wiring.parts import repository_of
from muster.workspaces.salvage import KEPT
from muster.workspaces.workspace import GitWorkspace


async def mend_run(kit: Kit, run: str) -> int:
    """Cut the damaged end off a run's journal, if only its end is damaged; returns how many entries were put aside.

    Raises:
        JournalError: the middle is damaged; nothing was changed.
        BusyError: the run is driven by another process.
    """
    last = next(head.seq for head in await kit.store.runs() if head.run == run)
    good = await kit.store.last_good(run)
    sound = [seq for seq in range(good + 1, last + 1) if await _is_sound(kit.store, run, seq)]
    after = cut_after(good, last, sound)
    if after is None:
        raise JournalError(
            f"Run {run}: entry {good + 1} of {last} is damaged or missing, and it is not the end of the journal. "
            "The run is not resumed and its journal was left alone.",
            hint=f"Restore .muster/state from a backup, or start anew from refs/muster/{run}/integration.",
        )
    async with owned(kit.store, kit.clock, kit.owner, run, is_alive) as lease:
        return await kit.store.cut_tail(run, after, lease=lease)


async def _is_sound(store: Store, run: str, seq: int) -> bool:
    try:
        return bool(await store.read(run, after_seq=seq - 1, limit=1))
    except JournalError:
        return False


async def _other_to_undo(kit: Kit) -> str:
    """The newest run whose merge stands, as a command."""
    for head in reversed(await kit.store.runs()):
        counts = await kit.store.counts(head.run)
        if counts.get("main.merged") and not counts.get("main.undone"):
            return f"The newest merged run: muster undo {head.run}"
    return ""


async def undo_run(kit: Kit, state: RunState) -> MainMergeStarted:
    """Put the branch back where it was before the run's merge, and write that down.

    Raises:
        InputError: the run has merged nothing, or it was undone already.
        ConflictError: the branch has moved since, or its working tree is not clean.
    """
    merged = state.main_started
    if merged is None or not state.main_commit:
        raise InputError(f"Run {state.run} has merged nothing that could be undone.", hint=await _other_to_undo(kit))
    if state.undone:
        raise InputError(f"Run {state.run} was undone already.", hint=await _other_to_undo(kit))
    repository = await repository_of(kit)
    main = await repository.undo(state.run, merged.target, merged.commit, merged.before)
    if main.reason:
        raise ConflictError(f"Not undone: {left_alone(main.reason)}.", hint=main.hint)
    async with owned(kit.store, kit.clock, kit.owner, state.run, is_alive) as lease:
        undone = MainUndone(target=merged.target, before=merged.commit, after=merged.before, by=operator())
        await Journal(kit.store, kit.clock, state, lease).append([undone])
    return merged


async def collect_garbage(kit: Kit, *, dry_run: bool) -> list[str]:
    """Remove the worktrees of runs that have ended or that the store does not know; returns the folders that go.

    A folder that holds repositories of its own stays: nothing else has their work.
    """
    repository = await repository_of(kit)
    folder = kit.project / ".muster" / "worktrees"
    runs = sorted(place for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []
    open_runs = {head.run for head in await kit.store.runs() if head.state not in ENDED}
    ended = [place for place in runs if place.name not in open_runs]
    found = [tree for place in ended for tree in (place, *place.iterdir()) if not tree.name.startswith(KEPT)]
    if not dry_run:
        for place in ended:
            await GitWorkspace(repository, place.name, clock=kit.clock).close()
    return [str(tree.relative_to(kit.project)) for tree in found if dry_run or not tree.exists()]
