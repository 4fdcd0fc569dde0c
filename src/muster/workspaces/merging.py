"""Merges as commits that no branch points to yet, made without a checkout."""

from __future__ import annotations

from muster.ports import CommitNote, Proposal
from muster.process.git import Git, problem
from muster.workspaces.commits import Person, make_commit
from muster.workspaces.names import shown


async def merge_trees(git: Git, onto: str, work: str) -> Proposal:
    """Merge two commits into a tree, or name the files in conflict."""
    command = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", onto, work)
    done = await git(*command, check=False)
    if done.code not in (0, 1) or not done.stdout:
        raise problem(command, done)
    tree, _, rest = done.stdout.partition(b"\0")
    if done.code == 0:
        return Proposal(tree=tree.decode().strip())
    return Proposal(conflicts=tuple(sorted({shown(name) for name in rest.split(b"\0") if name})))


async def merge(git: Git, onto: str, work: str, tree: str, note: CommitNote, committer: Person) -> Proposal:
    """Make the merge commit; ``tree`` is its tree when it is known already."""
    if not tree:
        merged = await merge_trees(git, onto, work)
        if not merged.tree:
            return merged
        tree = merged.tree
    return Proposal(commit=await make_commit(git, tree, (onto, work), note, committer), tree=tree)
