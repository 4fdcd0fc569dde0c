"""A real git repository in a temporary folder, and a fingerprint of all in it that is the user's."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from muster.ports import CommitNote
from muster.workspaces.repository import Repository
from muster.workspaces.workspace import GitWorkspace

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def note(message: str = "Work\n") -> CommitNote:
    return CommitNote(message=message, author="Agent <agent@example.org>", at=AT)


class GitProject:
    """What a user and an agent do with git on the command line."""

    def __init__(self, root: Path, *, folder: str = "repo") -> None:
        self.root = root
        self.top = root / folder
        self.home = root / "home"
        self.home.mkdir(exist_ok=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    @classmethod
    def create(cls, root: Path, files: Mapping[str, str | bytes] | None = None, *, folder: str = "repo") -> GitProject:
        project = cls(root, folder=folder)
        project.top.mkdir()
        project.git("init", "-q", "-b", "main")
        project.git("config", "--global", "user.name", "Uma User")
        project.git("config", "--global", "user.email", "uma@example.org")
        project.commit(
            "First", files if files is not None else {"a.txt": "one\n", "b.txt": "two\n", "dir/c.txt": "three\n"}
        )
        return project

    def git(self, *args: str, cwd: Path | None = None, ok: bool = True, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.top, env=self.env, capture_output=True, input=stdin, check=False
        )
        assert done.returncode == 0 or not ok, (args, done.stdout, done.stderr)
        return done.stdout.decode(errors="surrogateescape").rstrip("\n")

    def run(self, script: str, *, cwd: Path | None = None) -> None:
        subprocess.run(["sh", "-ec", script], cwd=cwd or self.top, env=self.env, capture_output=True, check=True)

    def write(self, files: Mapping[str, str | bytes], *, at: Path | None = None) -> None:
        for name, content in files.items():
            path = (at or self.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, message: str, files: Mapping[str, str | bytes], *, at: Path | None = None) -> str:
        self.write(files, at=at)
        self.git("add", "-A", cwd=at)
        self.git("commit", "-q", "--allow-empty", "-m", message, cwd=at)
        return self.git("rev-parse", "HEAD", cwd=at)

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def show(self, commit: str, path: str) -> str:
        return self.git("show", f"{commit}:{path}")

    def names(self, commit: str) -> list[str]:
        return self.git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")[:-1]

    async def repository(self, below: str = "") -> Repository:
        repository = await Repository.discover(self.top / below, environ=self.env)
        await repository.make_state_folders()
        return repository

    async def workspace(
        self, run: str = "r1", *, below: str = "", link: tuple[str, ...] = (), copy: tuple[str, ...] = ()
    ) -> GitWorkspace:
        return GitWorkspace(await self.repository(below), run, link=link, copy=copy)

    def users(self) -> dict[str, str]:
        """A fingerprint of everything that is the user's: files, index, configuration, refs that are not ours."""
        git_dir = Path(self.git("rev-parse", "--absolute-git-dir"))
        found = {
            "refs": self.git("for-each-ref", "refs/heads", "refs/tags", "refs/remotes", "refs/stash"),
            "HEAD": (git_dir / "HEAD").read_text(),
            "config": (git_dir / "config").read_text(),
            "reflog": self.git("reflog", "HEAD", ok=False),
        }
        index = git_dir / "index"
        if index.exists():
            found["index"] = hashlib.sha256(index.read_bytes()).hexdigest()
        for folder, folders, files in os.walk(self.top):
            for ours in ({".git"} if folder == str(self.top) else set()) | (
                {"worktrees", "state"} & set(folders) if folder.endswith(".muster") else set()
            ):
                folders.remove(ours)
            for name in (*files, *folders):
                path = Path(folder) / name
                content = path.readlink() if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
                found[str(path)] = f"{path.lstat().st_mode:o} {content}"
        return found
