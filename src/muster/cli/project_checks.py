"""What `muster doctor` looks at in a project: its repository, its journal and what runs left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio

from muster.cli.findings import Finding, Level
from muster.config.places import PROJECT_FOLDER
from muster.ports import RunHead

OVER = frozenset({"complete", "cancelled", "error"})


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
    """Whether the journal can be read."""
    heads = _heads(project)
    if heads is None:
        yield Finding(check="store", level=Level.OK, message="no run yet")
    else:
        yield Finding(check="store", level=Level.OK, message=f"{len(heads)} runs can be read")


def leftovers(project: Path) -> Iterator[Finding]:
    """Folders and processes of runs that are over, or whose owner is gone."""
    heads = {head.run: head for head in _heads(project) or ()}
    folder = project / PROJECT_FOLDER / "worktrees"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    over = [name for name in names if name in heads and heads[name].state in OVER]
    if over:
        message = f"{len(over)} runs that are over left worktrees, the first is {over[0]}."
        yield Finding(check="leftovers", level=Level.WARN, message=message, fix="muster gc")
    orphans = anyio.run(_orphans, project, heads)
    if orphans:
        message = f"{orphans} processes belong to runs that nobody drives any more."
        yield Finding(check="leftovers", level=Level.WARN, message=message, fix="muster continue")
    if not over and not orphans:
        yield Finding(check="leftovers", level=Level.OK, message="no worktree or process is left behind")


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


def _heads(project: Path) -> tuple[RunHead, ...] | None:
    path = project / PROJECT_FOLDER / "state" / "muster.db"
    return anyio.run(_read_heads, path) if path.exists() else None


async def _read_heads(path: Path) -> tuple[RunHead, ...]:
    from muster.stores.sqlite import SqliteStore

    store = await SqliteStore.open(path, read_only=True)
    try:
        return await store.runs()
    finally:
        await store.close()


async def _orphans(project: Path, heads: dict[str, RunHead]) -> int:
    from muster.process import is_alive, list_marked
    from muster.stores.sqlite import SqliteStore

    marked = [run for found in list_marked() if (run := found.marker.partition(":")[0]) in heads]
    if not marked:
        return 0
    store = await SqliteStore.open(project / PROJECT_FOLDER / "state" / "muster.db", read_only=True)
    try:
        leases = {run: await store.lease(run) for run in set(marked)}
    finally:
        await store.close()
    driven = {run for run, lease in leases.items() if lease and is_alive(lease.owner.pid, lease.owner.pid_started)}
    return sum(run not in driven for run in marked)
