"""What an attempt left in its worktree, as one commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from muster.ports import Collected, CommitNote
from muster.process.git import GitError
from muster.workspaces.commits import Described, Person, describe, identity, make_commit, person
from muster.workspaces.names import shown
from muster.workspaces.status import GITLINK, Difference, Status
from muster.workspaces.survey import survey
from muster.workspaces.worktree import Worktree

# A hook is the user's program and may run a whole test suite; without a limit it could block a run for ever.
_HOOK_LIMIT_S = 1800.0


class Collector:
    """Commits what attempts left; ``prefix`` is the project's folder in the repository."""

    def __init__(self, prefix: str, committer: Person, shared: tuple[str, ...] = ()) -> None:
        self._prefix = prefix.encode()
        self._committer = committer
        self._shared = tuple(self._prefix + path.encode() for path in shared)

    async def collect(
        self,
        tree: Worktree,
        ref: str,
        base: str,
        base_tree: str,
        note: CommitNote,
        *,
        hooks: bool,
        keep_index: Callable[[Worktree, Status], Awaitable[None]],
    ) -> Collected:
        """Commit what is not committed, keep it under ``ref``, and name what changed since ``base``.

        No ref is made when there is nothing but ``base``. ``keep_index`` is
        called before staged content is replaced by other content.
        """
        tree.litter = None
        found = await self._detached(tree, base)
        embedded = {*found.nested, *await self._strangers(tree, found)}
        if any(change.staged and change.unstaged for change in found.changes):
            await keep_index(tree, found)
        failure = await self._commit(tree, found, embedded, note, hooks=hooks)
        commit = await self._head(tree, found, base, note)
        described = Described(tree=base_tree, message="", differences=())
        if commit != base:
            described = await describe(tree.git, base, commit)
            await tree.git("update-ref", "--no-deref", ref, commit)
        embedded |= await self._committed_strangers(tree, described.differences)
        if not (hooks or embedded or failure):
            tree.known_index, tree.head = tree.index_mark(), commit
            tree.litter = found.ignored
        strangers = tuple(sorted(shown(path.rstrip(b"/")) for path in embedded))
        return self.report(commit, described, strangers, failure)

    def report(
        self,
        commit: str,
        described: Described,
        embedded: tuple[str, ...] = (),
        hook_failure: str = "",
    ) -> Collected:
        """Say what a commit changed, inside of the project and outside."""
        skip = len(self._prefix)
        paths = [each.path for each in described.differences]
        return Collected(
            commit=commit,
            tree=described.tree,
            message=described.message,
            paths=tuple(shown(path[skip:]) for path in paths if path.startswith(self._prefix)),
            outside=tuple(shown(path) for path in paths if not path.startswith(self._prefix)),
            embedded=embedded,
            hook_failure=hook_failure,
        )

    async def _detached(self, tree: Worktree, base: str) -> Status:
        """Look at the worktree; a branch that the task made or switched to keeps what it has but gets nothing more."""
        found = await survey(tree)
        if found.branch or not found.head:
            await tree.git("update-ref", "--no-deref", "HEAD", found.head or base)
            found = await survey(tree)
        return found

    async def _strangers(self, tree: Worktree, found: Status) -> set[bytes]:
        """Repositories that were staged as if they were submodules; they are taken out of the index."""
        staged = {change.path for change in found.changes if change.new_gitlink}
        strangers = staged - await self._registered(tree) if staged else set()
        if strangers:
            paths = b"".join(path + b"\0" for path in sorted(strangers))
            await tree.git("update-index", "--force-remove", "-z", "--stdin", stdin=paths)
        return strangers

    async def _committed_strangers(self, tree: Worktree, differences: tuple[Difference, ...]) -> set[bytes]:
        new = {each.path for each in differences if each.new_mode == GITLINK and each.old_mode != GITLINK}
        return new - await self._registered(tree) if new else set()

    async def _registered(self, tree: Worktree) -> set[bytes]:
        listed = await tree.git(
            *("config", "--file", ".gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$"), check=False
        )
        return {line.split(b"\n", 1)[1] for line in listed.stdout.split(b"\0") if b"\n" in line}

    async def _commit(
        self, tree: Worktree, found: Status, embedded: set[bytes], note: CommitNote, *, hooks: bool
    ) -> str:
        """Commit what is not committed; returns what a hook said when it refused."""
        unstaged = [change.path for change in found.changes if change.unstaged and change.path not in embedded]
        paths = [path for path in (*unstaged, *found.untracked) if not self._is_shared(path)]
        if paths:
            await tree.git(
                *("update-index", "--add", "--remove", "--replace", "-z", "--stdin"),
                stdin=b"".join(path + b"\0" for path in paths),
            )
        staged = any(change.staged for change in found.changes) or (tree.admin / "MERGE_HEAD").exists()
        if not paths and not staged:
            return ""
        if hooks and not await self._anything_staged(tree):
            return ""
        author = person(note.author)
        command = (
            *("commit", "--quiet", "--cleanup=verbatim", "--allow-empty-message", "--no-post-rewrite", "--file=-"),
            *(f"--author={author.name} <{author.email}>", f"--date={int(note.at.timestamp())} +0000"),
        )
        done = await tree.git(
            *command,
            stdin=note.message.encode(errors="replace"),
            env=identity(note, self._committer),
            check=False,
            hooks=hooks,
            timeout_s=_HOOK_LIMIT_S if hooks else None,
        )
        if done.code == 0:
            return ""
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        if hooks:
            return said or f"A commit hook ended with {done.code} and no word."
        if done.code == 1 and not await self._anything_staged(tree):
            return ""
        raise GitError(command, done)

    async def _anything_staged(self, tree: Worktree) -> bool:
        if (tree.admin / "MERGE_HEAD").exists():
            return True
        return (await tree.git("diff-index", "--cached", "--quiet", "HEAD", check=False)).code != 0

    async def _head(self, tree: Worktree, found: Status, base: str, note: CommitNote) -> str:
        """The commit that holds everything; work that does not descend from ``base`` is tied to it."""
        head = (tree.admin / "HEAD").read_text().strip()
        if head == base or found.head == base:
            return head
        if (await tree.git("merge-base", "--is-ancestor", base, head, check=False)).code == 0:
            return head
        described = await tree.git.text("rev-parse", f"{head}^{{tree}}")
        tied = await make_commit(tree.git, described, (base, head), note, self._committer)
        await tree.git("update-ref", "--no-deref", "HEAD", tied)
        return tied

    def _is_shared(self, path: bytes) -> bool:
        return any(path == shared or path.startswith(shared + b"/") for shared in self._shared)
