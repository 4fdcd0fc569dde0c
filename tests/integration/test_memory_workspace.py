"""The workspace that tests of the engine use keeps the same promises as git."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from muster.ports import Workspace
from tests.contracts.memory_workspace import MemoryWorkspace, Objects
from tests.contracts.workspace_contract import FILES, WorkspaceContract


class TestMemoryWorkspace(WorkspaceContract):
    objects: Objects

    async def start(self, tmp_path: Path) -> None:
        self.objects = Objects(tmp_path, FILES)

    async def open(self) -> Workspace:
        return MemoryWorkspace(self.objects, "r1")

    async def base(self) -> tuple[str, str]:
        return self.objects.refs["refs/heads/main"], "refs/heads/main"

    async def content(self, commit: str) -> Mapping[str, bytes]:
        return self.objects.commits[commit].files

    async def is_kept(self, content: bytes) -> bool:
        return any(content in self.objects.commits[commit].files.values() for commit in self.objects.kept())
