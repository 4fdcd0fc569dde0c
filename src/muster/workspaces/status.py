"""What `git status` and `git diff-tree` say, as values."""

from __future__ import annotations

from muster.model.record import Record

GITLINK = b"160000"


class Change(Record, frozen=True):
    """A tracked path that differs from the last commit."""

    path: bytes
    staged: bool
    unstaged: bool
    submodule: bytes = b"N..."
    new_gitlink: bool = False


class Status(Record, frozen=True):
    """Everything in a worktree that is not as in its last commit.

    ``head`` is empty before the first commit, ``branch`` when detached.
    ``nested`` are repositories that are not part of this one.
    """

    head: str
    branch: str
    changes: tuple[Change, ...] = ()
    untracked: tuple[bytes, ...] = ()
    nested: tuple[bytes, ...] = ()
    ignored: tuple[bytes, ...] = ()


class Difference(Record, frozen=True):
    """One path in which two trees differ."""

    path: bytes
    old_mode: bytes
    new_mode: bytes


STATUS = (
    "status",
    "--porcelain=v2",
    "-z",
    "--branch",
    "--untracked-files=all",
    "--ignored=matching",
    "--no-renames",
    "--no-ahead-behind",
    "--ignore-submodules=none",
)


def parse_status(output: bytes) -> Status:
    """Read ``git status --porcelain=v2 -z --branch``; see the porcelain format in git-status(1)."""
    head = branch = ""
    changes: list[Change] = []
    untracked: list[bytes] = []
    nested: list[bytes] = []
    ignored: list[bytes] = []
    for line in output.split(b"\0"):
        match line[:2]:
            case b"# ":
                _, key, *value = line.split(b" ", 2)
                text = b" ".join(value).decode(errors="surrogateescape")
                if key == b"branch.oid":
                    head = "" if text == "(initial)" else text
                elif key == b"branch.head":
                    branch = "" if text == "(detached)" else text
            case b"1 ":
                _, states, sub, _, index_mode, _, old, _, path = line.split(b" ", 8)
                changes.append(
                    Change(
                        path=path,
                        staged=states[:1] != b".",
                        unstaged=states[1:] != b".",
                        submodule=sub,
                        new_gitlink=index_mode == GITLINK and not old.strip(b"0"),
                    )
                )
            case b"u ":
                _, _, sub, _, _, _, _, _, _, _, path = line.split(b" ", 10)
                changes.append(Change(path=path, staged=False, unstaged=True, submodule=sub))
            case b"? ":
                # A folder, although all files were asked for: git does not look into other repositories.
                (nested if line.endswith(b"/") else untracked).append(line[2:])
            case b"! ":
                ignored.append(line[2:])
            case _:
                pass
    return Status(
        head=head,
        branch=branch,
        changes=tuple(changes),
        untracked=tuple(untracked),
        nested=tuple(nested),
        ignored=tuple(ignored),
    )


def parse_raw(output: bytes) -> tuple[Difference, ...]:
    """Read the raw format of ``git diff-tree -r -z --no-renames``."""
    fields = output.split(b"\0")
    found = []
    for meta, path in zip(fields[0::2], fields[1::2], strict=False):
        old_mode, new_mode, *_ = meta.removeprefix(b":").split(b" ")
        found.append(Difference(path=path, old_mode=old_mode, new_mode=new_mode))
    return tuple(found)
