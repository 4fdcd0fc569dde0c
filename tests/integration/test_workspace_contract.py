"""Git keeps the promises of a Workspace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from muster.ports import Workspace
from tests.contracts.workspace_contract import FILES, WorkspaceContract
from tests.integration.git_project import GitProject


class TestGitWorkspace(WorkspaceContract):
    project: GitProject

    async def start(self, tmp_path: Path) -> None:
        self.project = GitProject.create(tmp_path, FILES)

    async def open(self) -> Workspace:
        return await self.project.workspace("r1")

    async def base(self) -> tuple[str, str]:
        return self.project.head(), "refs/heads/main"

    async def content(self, commit: str) -> Mapping[str, bytes]:
        return {
            name: self.project.git("show", f"{commit}:{name}").encode() + b"\n" for name in self.project.names(commit)
        }

    async def is_kept(self, content: bytes) -> bool:
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return oid in self.project.git("rev-list", "--objects", "--all")
