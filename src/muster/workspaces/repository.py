"""A git repository as its user's commands see it: where it stands, what was salvaged, what can be cleared away."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from muster.model.errors import InputError, NotFoundError, RefusedError
from muster.model.record import Record
from muster.ports import MainState, Snapshot
from muster.process.git import Git
from muster.workspaces.commits import NEUTRAL, Person
from muster.workspaces.location import STATE, WORKTREES, Location, exclude, locate, refuse_links
from muster.workspaces.mainline import Mainline
from muster.workspaces.names import NAMESPACE, component, integration_ref, raw, shown
from muster.workspaces.trust import Setting, commands, settings


class Salvaged(Record, frozen=True):
    """Work that was saved: its ref without the common beginning, commit, first line and time of the commit."""

    name: str
    ref: str
    commit: str
    subject: str
    at: str


class Repository:
    """The repository around a folder; made by `discover`."""

    def __init__(self, git: Git, location: Location, config: tuple[Setting, ...]) -> None:
        self.git = git
        self.location = location
        self._config = config

    @classmethod
    async def discover(cls, cwd: Path, *, environ: Mapping[str, str] | None = None) -> Repository:
        """Find the repository and the project around a folder.

        Raises:
            InputError: there is none that Muster can work in.
            EnvironmentProblem: git is missing, too old, or does not trust the repository.
        """
        here = Git(cwd, environ=environ)
        location = await locate(cwd, here)
        git = here.elsewhere(location.toplevel)
        return cls(git, location, await settings(git))

    @property
    def project(self) -> Path:
        """The project's folder in the user's working tree."""
        return self.location.project

    async def snapshot(self) -> Snapshot:
        """Where the user's HEAD is.

        Raises:
            InputError: there is no commit yet.
        """
        done = await self.git("rev-parse", "HEAD", "--symbolic-full-name", "HEAD", check=False)
        if done.code != 0:
            raise InputError(
                f"{self.location.toplevel} has no commit yet; tasks start from one.",
                hint="git add -A && git commit -m 'First commit'",
            )
        commit, name = done.stdout.decode(errors="surrogateescape").split("\n")[:2]
        return Snapshot(commit=commit, target="" if name == "HEAD" else name, prefix=self.location.prefix)

    async def untrusted_commands(self, *, hooks: bool = False) -> tuple[str, ...]:
        """The keys of the repository's own configuration that would run something; hooks only if they are wanted."""
        return commands(self._config, self.location.toplevel, self.location.common, hooks=hooks)

    async def make_state_folders(self) -> None:
        """Make our folders and let git in this repository overlook them, after making sure that they are ours.

        Raises:
            RefusedError: there is a symbolic link in the way, or git keeps what is in them, so that it came with the
                repository: somebody else's runs, whose commands nobody here has agreed to.
        """
        refuse_links(self.location)
        ours = [self.location.prefix + name for name in (STATE, WORKTREES)]
        tracked = (await self.git("ls-files", "-z", "--", *ours)).stdout.split(b"\0")[0]
        if tracked:
            raise RefusedError(
                f"{shown(tracked)} is kept in git, so the runs in it came with the repository.",
                hint=f"git rm -r --cached {' '.join(ours)}, then delete them or look at what they would run.",
            )
        exclude(self.location)
        for name in (STATE, WORKTREES):
            (self.location.project / name).mkdir(parents=True, exist_ok=True)

    def committer(self) -> Person:
        """Who Muster's commits are committed by: the user, as far as configured."""
        values = {setting.key: setting.value for setting in self._config}
        name = values.get("committer.name") or values.get("user.name")
        email = values.get("committer.email") or values.get("user.email")
        return Person(name=name or NEUTRAL[0], email=email or NEUTRAL[1])

    # Looking at work

    async def diff(self, base: str, commit: str, paths: Collection[str] = (), *, stat: bool = False) -> bytes:
        """What changed between two commits, in the project or in some paths of it: a patch, or the sizes only."""
        prefix = self.location.prefix
        chosen = [prefix + os.fsdecode(raw(path)) for path in paths] or ([prefix] if prefix else [])
        form = "--stat=100" if stat else "--patch"
        command = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", form, base, commit, "--")
        return (await self.git(*command, *chosen)).stdout

    async def resolve(self, name: str) -> str:
        """The commit that a ref or an id means.

        Raises:
            NotFoundError: none.
        """
        done = await self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", check=False)
        if done.code != 0:
            raise NotFoundError(f"There is no commit {name!r} in {self.location.toplevel}.")
        return done.stdout.decode().strip()

    # Salvage

    async def salvages(self, run: str = "") -> tuple[Salvaged, ...]:
        """Everything that was saved, the oldest first."""
        root = f"{NAMESPACE}/salvage/"
        listed = await self.git.text(
            "for-each-ref",
            "--sort=creatordate",
            "--format=%(refname)%00%(objectname)%00%(contents:subject)%00%(creatordate:iso-strict)",
            root + (f"{component(run)}/" if run else ""),
        )
        rows = [line.split("\0") for line in listed.splitlines() if line]
        return tuple(Salvaged(name=r[0].removeprefix(root), ref=r[0], commit=r[1], subject=r[2], at=r[3]) for r in rows)

    async def salvaged(self, name: str) -> Salvaged:
        """One saved work by its ref or by the end of it.

        Raises:
            NotFoundError: there is none of that name.
        """
        found = [each for each in await self.salvages() if name in (each.ref, each.name)]
        if not found:
            raise NotFoundError(f"Nothing was salvaged as {name!r}.", hint="muster salvage ls")
        return found[0]

    async def show_salvage(self, name: str) -> bytes:
        """What was saved, as a patch against the commit the work began from."""
        found = await self.salvaged(name)
        command = ("show", "--no-ext-diff", "--no-textconv", "--no-color", "--diff-merges=first-parent")
        return (await self.git(*command, "--format=fuller", "--stat", "--patch", found.commit)).stdout

    async def restore_salvage(self, name: str, branch: str) -> str:
        """Make a branch of saved work, touching nothing else; returns the branch's ref.

        Raises:
            InputError: there is such a branch already, or the name is no name for one.
        """
        found = await self.salvaged(name)
        checked = await self.git("check-ref-format", "--branch", branch, check=False)
        ref = f"refs/heads/{branch}"
        if checked.code != 0:
            raise InputError(f"{branch!r} is no name for a branch.")
        done = await self.git("update-ref", "--stdin", stdin=f"create {ref} {found.commit}\n".encode(), check=False)
        if done.code != 0:
            raise InputError(f"The branch {branch} could not be made: {done.stderr.decode(errors='replace').strip()}")
        return ref

    # The user's branch

    async def main(self, run: str, target: str) -> MainState:
        """Where the branch is that a run would move, and why it could not be moved as things are now."""
        return await Mainline(self.git, integration_ref(run)).state(target)

    async def undo(self, run: str, target: str, before: str, after: str) -> MainState:
        """Put a branch from ``before`` back to ``after``, if nobody moved it and nothing can be hurt."""
        return await Mainline(self.git, integration_ref(run)).back(target, before, after)
