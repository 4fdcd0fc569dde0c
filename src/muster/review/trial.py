"""Runs commands on a tree in a folder that is thrown away: verify commands of the brief, and other linters."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import anyio

from muster.model.errors import EnvironmentProblem
from muster.process import Command, Supervised, supervise
from muster.review.scope import Scope

_TIMEOUT_S = 600.0
_GRACE_S = 2.0
_MOST_OUTPUT = 32 * 1024 * 1024
# What programs need to work at all; whatever else the user's shell holds, secrets above all, stays there.
_ENV = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV")


class Trial:
    """Runs commands on the trees of one scope; each gets a fresh copy, and none leaves a process behind."""

    def __init__(self, scope: Scope, linters: tuple[str, ...] = ()) -> None:
        self._scope = scope
        self._linters = linters

    async def check(self, command: str, tree: str) -> bool | None:
        """Whether a command passes on a tree; None when it could not be run to its end."""
        code, _ = await self._run(command, tree)
        return None if code is None else code == 0

    async def lint(self, tree: str) -> tuple[bytes, ...]:
        """What each linter prints on a tree; a linter's exit code says no more than its report."""
        return tuple([(await self._run(command, tree))[1] for command in self._linters])

    async def _run(self, command: str, tree: str) -> tuple[int | None, bytes]:
        folder = Path(tempfile.mkdtemp(prefix="muster-trial-"))
        try:
            place, said = folder / "tree", folder / "said"
            with self._scope.objects() as objects:
                await objects.export(tree, place)
            code = await _supervised(command, place / self._scope.prefix, said, folder)
            return code, await anyio.to_thread.run_sync(_head, said)
        except OSError as error:
            raise EnvironmentProblem(f"Cannot try `{command}`: {error.strerror or error}.") from error
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


async def _supervised(command: str, cwd: Path, said: Path, folder: Path) -> int | None:
    late = False

    async def during(supervised: Supervised) -> None:
        nonlocal late
        with anyio.move_on_after(_TIMEOUT_S) as scope:
            await supervised.wait()
        late = scope.cancelled_caught

    env = {name: os.environ[name] for name in _ENV if name in os.environ} | {"TMPDIR": str(folder)}
    started = Command(
        argv=("/bin/sh", "-c", command),
        cwd=cwd,
        env=env,
        marker=folder.name,
        stdout=said,
        stderr=said.with_suffix(".err"),
    )
    ended = await supervise(started, during, lambda: _GRACE_S)
    return None if late else ended.code


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_OUTPUT)
