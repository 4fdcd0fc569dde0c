"""Short trusted programs, git above all: run to their end, output in memory."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio

from muster.model.errors import EnvironmentProblem
from muster.model.record import Record
from muster.process.exits import await_exit, await_exit_now
from muster.process.table import table

OUTPUT_LIMIT = 64 * 1024 * 1024
_SLACK = 4 * 1024 * 1024  # larger than any chunk that the kernel writes or refuses as a whole
_KILL_WAIT_S = 2.0


class Completed(Record, frozen=True):
    """How a program ended: ``code`` is negative when a signal killed it."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0


async def run(
    argv: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    stdin: bytes = b"",
    timeout_s: float | None = None,
    check: bool = False,
) -> Completed:
    """Run a program to its end; cancelled, it is killed with its process group.

    Raises:
        EnvironmentProblem: it cannot be started, takes longer than ``timeout_s``, prints more
            than 64 MiB, or ``check`` is set and it fails.
    """
    with ExitStack() as stack:
        started = _Started(stack, argv, cwd, env, stdin)
        with anyio.move_on_after(timeout_s) as scope:
            await await_exit(started.process)
        return started.completed(argv, timeout_s if scope.cancelled_caught else None, check)


def run_now(
    argv: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    stdin: bytes = b"",
    timeout_s: float | None = None,
    check: bool = False,
) -> Completed:
    """Do the same as `run` without an event loop."""
    with ExitStack() as stack:
        started = _Started(stack, argv, cwd, env, stdin)
        ended = await_exit_now(started.process, timeout_s)
        return started.completed(argv, None if ended else timeout_s, check)


class _Started:
    """One program with its output in files that live in memory.

    Files cannot fill up like pipes, so nothing has to be read while the program
    runs and no grandchild that keeps a pipe open can make us wait.
    """

    def __init__(
        self,
        stack: ExitStack,
        argv: Sequence[str],
        cwd: str | os.PathLike[str],
        env: Mapping[str, str],
        stdin: bytes,
    ) -> None:
        self.out = _memory(stack, OUTPUT_LIMIT)
        self.err = _memory(stack, OUTPUT_LIMIT)
        source = subprocess.DEVNULL
        if stdin:
            source = _memory(stack, None)
            _write_all(source, stdin)
            os.lseek(source, 0, os.SEEK_SET)
        try:
            self.process = table.spawn(argv, cwd=cwd, env=env, stdin=source, stdout=self.out, stderr=self.err)
        except (OSError, ValueError) as problem:
            raise cannot_start(argv, cwd, problem) from problem
        stack.callback(self._kill)

    def completed(self, argv: Sequence[str], out_of_time_s: float | None, check: bool) -> Completed:
        name = " ".join(argv[:2])
        if out_of_time_s is not None:
            raise EnvironmentProblem(f"`{name}` did not end within {out_of_time_s:g} s.")
        table.reap(self.process)
        code = self.process.returncode
        # The program shares our file offset: where it stands is how much was written.
        sizes = [os.lseek(fd, 0, os.SEEK_CUR) for fd in (self.out, self.err)]
        if max(sizes) > OUTPUT_LIMIT:
            raise EnvironmentProblem(f"`{name}` printed more than {OUTPUT_LIMIT >> 20} MiB.")
        stdout, stderr = (_read_all(fd, size) for fd, size in zip((self.out, self.err), sizes, strict=True))
        if check and code != 0:
            words = stderr.decode("utf-8", "replace").strip() or f"exit code {code}"
            raise EnvironmentProblem(f"`{name}` failed: {words[-500:]}")
        return Completed(code=code, stdout=stdout, stderr=stderr)

    def _kill(self) -> None:
        if self.process.returncode is None and not table.reap(self.process):
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await_exit_now(self.process, _KILL_WAIT_S)
            table.reap(self.process)


def cannot_start(argv: Sequence[str], cwd: str | os.PathLike[str], problem: Exception) -> EnvironmentProblem:
    """Say in one line why a program could not be started."""
    program = argv[0] if argv else ""
    if isinstance(problem, FileNotFoundError | NotADirectoryError):
        if not Path(cwd).is_dir():
            return EnvironmentProblem(f"Cannot start {program!r}: the folder {os.fspath(cwd)} is not there.")
        return EnvironmentProblem(f"{program!r} is not installed, or not on PATH.")
    if isinstance(problem, OSError):
        if problem.errno == errno.E2BIG:
            return EnvironmentProblem(f"Cannot start {program!r}: its arguments or environment are too long.")
        return EnvironmentProblem(f"Cannot start {program!r}: {problem.strerror or problem}.")
    return EnvironmentProblem(f"Cannot start {program!r}: {problem}.")


def _memory(stack: ExitStack, limit: int | None) -> int:
    """A nameless file in memory; with a limit, a write past it (and some slack) fails in the writer."""
    if not hasattr(os, "memfd_create"):
        fd, name = tempfile.mkstemp()
        stack.callback(os.close, fd)
        Path(name).unlink()
        return fd
    import fcntl

    fd = os.memfd_create("muster", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, fd)
    if limit is not None:
        os.ftruncate(fd, limit + _SLACK)  # sparse: costs nothing
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int, size: int) -> bytes:
    parts = []
    at = 0
    while at < size and (part := os.pread(fd, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
