"""Whatever a task does with git, in whatever order: nothing is lost, and nothing of the user's changes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muster.workspaces.workspace import GitWorkspace
from tests.integration.git_project import GitProject, note

FILES = ("a.txt", "new.txt", "dir/n w.txt", "odd\n\u00fc.txt")


class Story:
    """One task's folder, what a task may do in it, and the blobs that must never be lost."""

    def __init__(self, root: Path) -> None:
        self.repo = GitProject.create(root)
        self.base = self.repo.commit("Second", {"a.txt": "second\n"})
        self.precious: set[str] = set()
        self.attempt = 0
        self.written = 0
        self.place = root
        # Without it, git in a folder whose .git was deleted would go up and work on the user's tree.
        self.repo.env["GIT_CEILING_DIRECTORIES"] = str(self.repo.top / ".muster/worktrees/r1")

    async def begin(self) -> None:
        self.work: GitWorkspace = await self.repo.workspace()
        self.users = self.fingerprint()
        await self.prepare()

    def fingerprint(self) -> dict[str, str]:
        found = self.repo.users()
        lines = found["refs"].splitlines()
        return {**found, "refs": "\n".join(line for line in lines if "refs/heads/theirs" not in line)}

    def git(self, *args: str) -> str:
        return self.repo.git(*args, cwd=self.place, ok=False)

    # What the task does

    async def write(self) -> None:
        self.written += 1
        path = self.place / FILES[self.written % len(FILES)]
        if not path.is_dir():
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"content {self.written}\n")

    async def delete(self) -> None:
        (self.place / FILES[self.written % len(FILES)]).unlink(missing_ok=True)

    async def stage(self) -> None:
        self.git("add", "-A")

    async def commit(self) -> None:
        self.git("commit", "-q", "-m", "theirs")
        self.precious |= self.committed()

    async def amend(self) -> None:
        self.git("commit", "-q", "--amend", "-m", "amended")
        self.precious |= self.committed()

    async def branch(self) -> None:
        self.git("checkout", "-q", "-b", f"theirs{self.written}")

    async def go_back(self) -> None:
        self.git("checkout", "-q", "-f", "--detach", "HEAD~1")

    async def reset(self) -> None:
        self.git("reset", "-q", "--hard", self.base)

    async def unstage(self) -> None:
        self.git("rm", "-q", "--cached", "a.txt")

    async def hide(self) -> None:
        self.git("update-index", "--skip-worktree", "a.txt")

    async def orphan(self) -> None:
        self.git("checkout", "-q", "--orphan", f"theirs-orphan{self.written}")

    async def cut_off(self) -> None:
        (self.place / ".git").unlink(missing_ok=True)

    # What Muster does

    async def prepare(self) -> None:
        self.attempt += 1
        self.place = await self.work.prepare("T1", self.attempt, self.base)
        assert self.repo.git("status", "--porcelain", "--ignored", cwd=self.place) == ""

    async def collect(self) -> None:
        self.precious |= self.present()
        await self.work.collect("T1", self.attempt, self.base, note(), hooks=False)
        left = await self.work.collect("T1", self.attempt, self.base, note(), hooks=False)
        assert self.on_disk() <= self.blobs(left.commit)
        assert self.present() <= self.reachable()

    async def salvage(self) -> None:
        self.precious |= self.present()
        await self.work.salvage("T1", self.attempt)
        assert self.precious <= self.reachable()

    async def again(self) -> None:
        self.precious |= self.present()
        await self.prepare()
        assert self.precious <= self.reachable()

    async def collected_and_disposed(self) -> None:
        await self.collect()
        await self.work.dispose("T1", untouched=True)
        assert self.precious <= self.reachable()
        await self.prepare()

    async def restart(self) -> None:
        self.work = await self.repo.workspace()
        assert await self.work.place("T1") == self.place

    async def end(self) -> None:
        self.precious |= self.present()
        await self.work.close()
        assert self.precious <= self.reachable()
        assert self.fingerprint() == self.users
        assert not (self.repo.top / ".muster/worktrees/r1").exists()

    # What is where

    def on_disk(self) -> set[str]:
        found = set()
        for folder, _, names in os.walk(self.place):
            for name in names:
                if name != ".git":
                    content = (Path(folder) / name).read_bytes()
                    found.add(hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
        return found

    def present(self) -> set[str]:
        staged = self.git("ls-files", "-s") if (self.place / ".git").exists() else ""
        return self.on_disk() | {line.split()[1] for line in staged.splitlines() if line[:1] == "1"}

    def committed(self) -> set[str]:
        return self.blobs("HEAD") if (self.place / ".git").exists() else set()

    def blobs(self, commit: str) -> set[str]:
        return {line.split()[2] for line in self.git("ls-tree", "-r", "-z", commit).split("\0") if line}

    def reachable(self) -> set[str]:
        listed = self.repo.git("rev-list", "--objects", "--no-object-names", "--glob=refs/*")
        return set(listed.split())


Deed = Callable[[Story], Awaitable[None]]
THEIRS: list[Deed] = [
    Story.write,
    Story.write,
    Story.write,
    Story.delete,
    Story.stage,
    Story.stage,
    Story.commit,
    Story.commit,
    Story.amend,
    Story.branch,
    Story.go_back,
    Story.reset,
    Story.unstage,
    Story.hide,
    Story.orphan,
    Story.cut_off,
]
OURS: list[Deed] = [Story.collect, Story.salvage, Story.again, Story.collected_and_disposed, Story.restart]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.sampled_from(THEIRS), st.sampled_from(THEIRS), st.sampled_from(OURS)), max_size=14))
def test_every_blob_stays_reachable_and_the_user_sees_nothing(deeds: list[Deed]) -> None:
    async def play(root: Path) -> None:
        story = Story(root)
        await story.begin()
        for deed in deeds:
            await deed(story)
        await story.end()

    with tempfile.TemporaryDirectory() as root:
        anyio.run(play, Path(root))
