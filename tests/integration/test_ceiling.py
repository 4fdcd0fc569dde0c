"""A task that destroys its own worktree's link to git does not find the user's repository instead."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from muster.process import run
from muster.workspaces.repository import Repository
from muster.workspaces.workspace import GitWorkspace


@pytest.mark.anyio
async def test_git_in_a_folder_without_its_git_file_finds_no_repository(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@localhost"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Start"], check=True)
    repository = await Repository.discover(tmp_path)
    await repository.make_state_folders()
    workspace = GitWorkspace(repository, "01run")
    place = await workspace.prepare("T1", 1, (await repository.snapshot()).commit)
    (place / ".git").unlink()
    env = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(tmp_path)}

    bare = await run(["git", "rev-parse", "--show-toplevel"], cwd=place, env=env)
    ours = await run(["git", "rev-parse", "--show-toplevel"], cwd=place, env={**env, **workspace.environment()})

    assert bare.stdout.decode().strip() == str(tmp_path)
    assert ours.code == 128
