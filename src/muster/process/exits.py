"""Waiting until a process has ended, without a thread and without reaping it."""

from __future__ import annotations

import os
import select
import subprocess
import time

import anyio

from muster.process import facts

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


async def await_exit(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a child of ours; it stays unreaped."""
    if not await _await_descriptor(process.pid):
        pause = _FIRST_PAUSE_S
        while process.poll() is None:
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


async def await_gone(pid: int, started: float) -> None:
    """Wait for the end of a process that may be somebody else's child."""
    pause = _FIRST_PAUSE_S
    while (seen := facts.system.facts(pid)) and seen.started == started and not seen.zombie:
        # The look comes first, so that a recycled pid is never waited for.
        if not await _await_descriptor(pid):
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


def await_exit_now(process: subprocess.Popen[bytes], timeout_s: float | None) -> bool:
    """Do the same as `await_exit` without an event loop; False when time ran out."""
    fd = _descriptor(process.pid)
    if fd is not None:
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
        finally:
            os.close(fd)
    pause, waited = _FIRST_PAUSE_S, 0.0
    while process.poll() is None:
        if timeout_s is not None and waited >= timeout_s:
            return False
        time.sleep(pause)
        waited += pause
        pause = min(pause * 2, _LONGEST_PAUSE_S)
    return True


async def _await_descriptor(pid: int) -> bool:
    fd = _descriptor(pid)
    if fd is None:
        return False
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)
    return True


def _descriptor(pid: int) -> int | None:
    """A pidfd, readable from the process's end on; None where there is none or files have run out."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
