"""Short trusted programs, git above all: run to their end, output in memory."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio

from muster.model.errors import EnvironmentProblem, TooMuchOutput
from muster.model.record import Record
from muster.process.exits import await_exit, await_exit_now
from muster.process.table import table

OUTPUT_LIMIT = 64 * 1024 * 1024
_LOOK_S = 0.1
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
        EnvironmentProblem: it cannot be started, takes longer than ``timeout_s``, or ``check`` is set and it fails.
        TooMuchOutput: it prints more than 64 MiB.
    """
    with ExitStack() as stack:
        started = _Started(stack, argv, cwd, env, stdin)
        with anyio.move_on_after(timeout_s) as scope:
            while not started.too_long():
                with anyio.move_on_after(_LOOK_S) as look:
                    await await_exit(started.process)
                if not look.cancelled_caught:
                    break
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
        left_s = timeout_s
        while not started.too_long() and not await_exit_now(
            started.process, _LOOK_S if left_s is None else min(left_s, _LOOK_S)
        ):
            if left_s is not None:
                left_s -= _LOOK_S
                if left_s <= 0:
                    return started.completed(argv, timeout_s, check)
        return started.completed(argv, None, check)


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
        self.out = _memory(stack)
        self.err = _memory(stack)
        source = subprocess.DEVNULL
        if stdin:
            source = _memory(stack)
            _write_all(source, stdin)
            os.lseek(source, 0, os.SEEK_SET)
        try:
            self.process = table.spawn(argv, cwd=cwd, env=env, stdin=source, stdout=self.out, stderr=self.err)
        except (OSError, ValueError) as problem:
            raise cannot_start(argv, cwd, problem) from problem
        stack.callback(self._kill)

    def too_long(self) -> bool:
        """Whether the program has printed more than it may."""
        return max(os.fstat(self.out).st_size, os.fstat(self.err).st_size) > OUTPUT_LIMIT

    def completed(self, argv: Sequence[str], out_of_time_s: float | None, check: bool) -> Completed:
        name = " ".join(argv[:2])
        if out_of_time_s is not None:
            raise EnvironmentProblem(f"`{name}` did not end within {out_of_time_s:g} s.")
        if self.too_long():
            raise TooMuchOutput(f"`{name}` printed more than {OUTPUT_LIMIT >> 20} MiB.")
        table.reap(self.process)
        code = self.process.returncode
        stdout, stderr = _read_all(self.out), _read_all(self.err)
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


def _memory(stack: ExitStack) -> int:
    """A nameless file, in memory where that is possible."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("muster", os.MFD_CLOEXEC)
    else:
        fd, name = tempfile.mkstemp()
        Path(name).unlink()
    stack.callback(os.close, fd)
    # A script that opens /dev/stderr anew writes at a place of its own; appending keeps others from writing over it.
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    parts = []
    at = 0
    while at < size and (part := os.pread(fd, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
