"""What `muster doctor` looks at in a project: its repository, its journal and what runs left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from muster.config.places import PROJECT_FOLDER
from muster.diagnostics.findings import Finding, Level
from muster.model.running.state import ENDED
from muster.ports import RunHead

if TYPE_CHECKING:
    from muster.stores.sqlite import SqliteStore

JOURNAL = Path(PROJECT_FOLDER) / "state" / "muster.db"


def repository(project: Path) -> Iterator[Finding]:
    """Whether a run could start from here and end on the user's branch."""
    facts = anyio.run(_ask_git, project)
    if not facts["head"]:
        fix = 'git commit --allow-empty -m "Start"'
        yield Finding(check="repository", level=Level.FAIL, message=f"{project} has no commit yet.", fix=fix)
        return
    yield Finding(check="repository", level=Level.OK, message=f"{project} at {facts['head'][:12]}")
    if not facts["branch"]:
        message = "HEAD is detached, so a run's result cannot go to a branch."
        yield Finding(check="repository", level=Level.WARN, message=message, fix="git switch <branch>")
    if facts["commands"]:
        message = f"The repository's own git configuration would run commands: {facts['commands']}."
        yield Finding(check="repository", level=Level.WARN, message=message, fix="muster trust")
    if facts["changed"]:
        message = "Tracked files have changes, so a run's result would not be merged in place."
        yield Finding(check="repository", level=Level.WARN, message=message, fix="git commit -a")
    if facts["prunable"]:
        message = f"{facts['prunable']} worktrees lost their folder."
        yield Finding(check="repository", level=Level.WARN, message=message, fix="git worktree prune")


def store(project: Path) -> Iterator[Finding]:
    """Whether the journal can be read, and every entry of it is as it was written."""
    heads = _heads(project)
    if heads is None:
        yield Finding(check="store", level=Level.OK, message="no run yet")
        return
    path = project / JOURNAL
    pages, broken = anyio.run(_damage, path, heads)
    if pages:
        message = f"{path}: SQLite finds it damaged: {pages[0]}."
        fix = f"sqlite3 '{path}' .recover > recovered.sql"
        yield Finding(check="store", level=Level.FAIL, message=message, fix=fix)
    for run, good in broken.items():
        message = f"Run {run}: what follows entry {good} is damaged or missing."
        yield Finding(check="store", level=Level.FAIL, message=message, fix=f"muster continue {run}")
    if not pages and not broken:
        message = f"{len(heads)} runs can be read, every entry as it was written"
        yield Finding(check="store", level=Level.OK, message=message)


def leftovers(project: Path) -> Iterator[Finding]:
    """Folders and processes of runs that are over or unknown, or whose owner is gone."""
    heads = _heads(project) or {}
    folder = project / PROJECT_FOLDER / "worktrees"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    over = [name for name in names if name not in heads or heads[name].state in ENDED]
    if over:
        message = f"{len(over)} runs that are over left worktrees, the first is {over[0]}."
        yield Finding(check="leftovers", level=Level.WARN, message=message, fix="muster gc")
    orphans = anyio.run(_orphans, project, heads)
    if orphans:
        message = f"{len(orphans)} processes belong to runs that nobody drives any more."
        yield Finding(check="leftovers", level=Level.WARN, message=message, fix=f"muster continue {orphans[0]}")
    if not over and not orphans:
        yield Finding(check="leftovers", level=Level.OK, message="no worktree or process is left behind")


async def _prune(cwd: Path) -> None:
    from muster.process.git import Git

    await Git(cwd)("worktree", "prune")


async def _collect(cwd: Path) -> None:
    from muster.operations.mending import collect_garbage
    from muster.wiring.kit import open_project

    async with open_project(cwd) as kit:
        await collect_garbage(kit, dry_run=False)


# The fixes by which nothing can be lost: worktrees without a folder, and folders whose work is saved first.
SAFE: dict[str, Callable[[Path], Awaitable[None]]] = {"git worktree prune": _prune, "muster gc": _collect}


async def _ask_git(project: Path) -> dict[str, str]:
    from muster.process.git import Git

    git = Git(project)
    head = await git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False)
    branch = await git("symbolic-ref", "--quiet", "HEAD", check=False)
    # Asked with a check, so that a repository that git refuses is named as such.
    commands = await _commands(project)
    # To look for changes is to run the filters of a repository, so it has to be trusted.
    look = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    changed = "" if commands else await git.text(*look)
    worktrees = await git.text("worktree", "list", "--porcelain")
    prunable = sum(line.startswith("prunable") for line in worktrees.splitlines())
    return {
        "head": head.stdout.decode().strip(),
        "branch": branch.stdout.decode(errors="replace").strip(),
        "changed": changed,
        "commands": ", ".join(commands),
        "prunable": str(prunable) if prunable else "",
    }


async def _commands(project: Path) -> tuple[str, ...]:
    from muster.config.trust import TrustState, trust_state
    from muster.workspaces.repository import Repository

    if trust_state(project) is TrustState.TRUSTED:
        return ()
    return await (await Repository.discover(project)).untrusted_commands()


def _heads(project: Path) -> dict[str, RunHead] | None:
    path = project / JOURNAL
    return anyio.run(_read_heads, path) if path.exists() else None


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[SqliteStore]:
    from muster.stores.sqlite import SqliteStore

    store = await SqliteStore.open(path, read_only=True)
    try:
        yield store
    finally:
        await store.close()


async def _read_heads(path: Path) -> dict[str, RunHead]:
    async with _opened(path) as store:
        return {head.run: head for head in await store.runs()}


async def _damage(path: Path, heads: dict[str, RunHead]) -> tuple[tuple[str, ...], dict[str, int]]:
    """What SQLite finds wrong, and up to where the chain of each run that is not whole holds."""
    async with _opened(path) as store:
        good = {run: await store.last_good(run) for run in heads}
        return await store.damage(), {run: seq for run, seq in good.items() if seq != heads[run].seq}


async def _orphans(project: Path, heads: dict[str, RunHead]) -> list[str]:
    """The runs that nobody drives, once for each of their processes."""
    from muster.process import is_alive, list_marked

    marked = [run for found in list_marked() if (run := found.marker.partition(":")[0]) in heads]
    if not marked:
        return []
    async with _opened(project / JOURNAL) as store:
        leases = await store.leases()
    driven = {run for run, lease in leases.items() if is_alive(lease.owner.pid, lease.owner.pid_started)}
    return [run for run in marked if run not in driven]
