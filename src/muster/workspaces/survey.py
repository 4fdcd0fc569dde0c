"""What is in a worktree that its last commit does not hold, even if somebody tried to hide it."""

from __future__ import annotations

from muster.process.git import GitError
from muster.workspaces.status import STATUS, Status, parse_status
from muster.workspaces.worktree import Worktree

# The index here is not the user's. Files as young as it have to be read again by every look, until one may write it.
_REFRESH = {"GIT_OPTIONAL_LOCKS": "1"}


async def survey(tree: Worktree) -> Status:
    """Look at all of a worktree; one git process when its index is as we left it.

    Raises:
        ConflictError: it is no worktree any more.
    """
    tree.mend()
    if tree.known_index is None or tree.index_mark() != tree.known_index:
        await _show_hidden(tree)
    try:
        done = await tree.git(*STATUS, env=_REFRESH)
    except GitError as error:
        if "index" not in error.said:
            raise
        await _new_index(tree)
        done = await tree.git(*STATUS, env=_REFRESH)
    tree.known_index = tree.index_mark()
    return parse_status(done.stdout)


async def _show_hidden(tree: Worktree) -> None:
    """Undo `update-index --assume-unchanged` and `--skip-worktree`, which make git blind for changes."""
    listed = await tree.git("ls-files", "-v", "-z", check=False)
    if listed.code != 0:
        await _new_index(tree)
        return
    lines = listed.stdout.split(b"\0")
    assumed = [line[2:] for line in lines if line[:1].islower()]
    skipped = [line[2:] for line in lines if line[:1] in b"Ss" and line]
    if assumed:
        await tree.git("update-index", "--no-assume-unchanged", "-z", "--stdin", stdin=b"\0".join(assumed) + b"\0")
    if skipped:
        await tree.git("update-index", "--no-skip-worktree", "-z", "--stdin", stdin=b"\0".join(skipped) + b"\0")
    tree.known_index = tree.index_mark()


async def _new_index(tree: Worktree) -> None:
    """Replace an index that cannot be read by that of the last commit; the files stay as they are."""
    (tree.admin / "index").unlink(missing_ok=True)
    await tree.git("read-tree", "HEAD")
