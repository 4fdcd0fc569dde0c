"""The one way to call git: with its own environment, and nothing that the repository could start."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Mapping
from pathlib import Path

from muster.model.errors import EnvironmentProblem, MusterError
from muster.process.facts import MARKER
from muster.process.short import Completed, run

# What git and the programs that the *user* configured (filters, an askpass) need; no GIT_* comes in from outside.
_ALLOWED = ("PATH", "HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
_FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_EDITOR": "false",
    "LC_ALL": "C",
}
_SETTINGS = (
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "core.quotePath=false",
    "core.safecrlf=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
    "advice.addEmbeddedRepo=false",
    "advice.graftFileDeprecated=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "merge.verifySignatures=false",
    "color.ui=false",
)
_NO_HOOKS = "core.hooksPath=/dev/null"
# Only in folders that are ours: always whole trees, and no trust in anything but all of a file's stat data.
_OWN_FOLDER = (
    "core.sparseCheckout=false",
    "core.checkStat=default",
    "core.trustctime=true",
    "core.untrackedCache=false",
)
_MACHINE = (
    ("No space left on device", "the disk is full"),
    ("Out of diskspace", "the disk is full"),
    ("Read-only file system", "the file system is read-only"),
    ("Permission denied", "a file may not be written or read"),
    ("Disk quota exceeded", "the disk quota is used up"),
    ("Input/output error", "the disk is failing"),
    ("File too large", "a file may not grow any further"),
)


class GitError(MusterError):
    """Git said no, in a way that nobody expected."""

    code = "git"

    def __init__(self, args: Collection[str], completed: Completed) -> None:
        self.completed = completed
        self.said = completed.stderr.decode(errors="replace").strip()
        super().__init__(f"git {' '.join(args)[:200]} failed with {completed.code}: {self.said[-2000:]}")


class Git:
    """Calls git in one repository."""

    def __init__(self, root: Path, *, environ: Mapping[str, str] | None = None) -> None:
        outside = os.environ if environ is None else environ
        self.root = root
        self._env = {name: outside[name] for name in _ALLOWED if name in outside} | _FIXED
        self._settings: tuple[str, ...] = _SETTINGS

    def at(self, folder: Path, admin: Path) -> Git:
        """The same for a linked worktree, whatever its ``.git`` file or its configuration say about places."""
        return self._with(folder, {"GIT_DIR": str(admin), "GIT_WORK_TREE": str(folder)}, _OWN_FOLDER)

    def marked(self, marker: str) -> Git:
        """The same with every process carrying a marker, by which others can find it."""
        return self._with(self.root, {MARKER: marker})

    def elsewhere(self, folder: Path) -> Git:
        """The same in another folder of the user's."""
        return self._with(folder)

    def bare(self, common: Path) -> Git:
        """The same in the repository's own folder, without any work tree."""
        return self._with(common, {"GIT_DIR": str(common)}, ("core.bare=true",))

    def _with(self, root: Path, env: Mapping[str, str] | None = None, settings: tuple[str, ...] = ()) -> Git:
        git = Git(root, environ={})
        git._env, git._settings = {**self._env, **(env or {})}, (*_SETTINGS, *settings)
        return git

    async def __call__(
        self,
        *args: str,
        stdin: bytes = b"",
        index: Path | None = None,
        cwd: Path | None = None,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        hooks: bool = False,
        timeout_s: float | None = None,
    ) -> Completed:
        """Run one git command; ``hooks`` lets the user's hooks run.

        Raises:
            GitError: it ended with another code than 0, if ``check``.
            EnvironmentProblem: git is missing, or the machine said no.
        """
        settings = self._settings if hooks else (*self._settings, _NO_HOOKS)
        argv = ["git", *(part for setting in settings for part in ("-c", setting)), *args]
        environment = {**self._env, **(env or {})}
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        done = await run(argv, cwd=cwd or self.root, env=environment, stdin=stdin, timeout_s=timeout_s)
        if check and done.code != 0:
            raise problem(args, done)
        return done

    async def text(self, *args: str, stdin: bytes = b"") -> str:
        """What a command prints, without the last newline."""
        done = await self(*args, stdin=stdin)
        return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


def problem(args: Collection[str], done: Completed) -> MusterError:
    """The error for a failed command: the machine's when it is the machine's."""
    error = GitError(args, done)
    if "dubious ownership" in error.said:
        return EnvironmentProblem(
            "Git does not trust this repository, because another user owns it.",
            hint=next((line.strip() for line in error.said.splitlines() if "safe.directory" in line), ""),
        )
    if done.code == -signal.SIGXFSZ:
        return EnvironmentProblem("Git cannot go on, a file may not grow any further: ulimit -f limits it.")
    if done.code < 0:
        return EnvironmentProblem(f"Git was ended by signal {-done.code} in git {' '.join(args)[:60]}.")
    for words, meaning in _MACHINE:
        if words in error.said:
            return EnvironmentProblem(f"Git cannot go on, {meaning}: {error.said[-300:]}")
    if "git-lfs" in error.said or "filter 'lfs' failed" in error.said:
        return EnvironmentProblem(
            f"A file needs git-lfs, which does not work here: {error.said[-300:]}", hint="Install git-lfs."
        )
    return error
