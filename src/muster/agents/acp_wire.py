"""The pipe to an ACP agent: its process and the frames that go both ways."""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from muster.agents.acp_lines import frames_in, tell, write_out

_BLOCK = 256 * 1024
_LONGEST_LINE = 32 * 1024 * 1024
_LINGER_S = 0.25  # for what is told after the end of a turn
_LEAVE_S = 1.0


class FailedError(Exception):
    """There will be no turn, for a reason that the agent did not tell."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class GoneError(Exception):
    """The agent has left."""


class StoppedError(Exception):
    """Somebody told us to stop."""


class Wire:
    """The agent's process, and the frames that go to it and come from it."""

    def __init__(self, command: Sequence[str], cwd: str) -> None:
        import subprocess  # noqa: TID251 - a program of its own: an executor is in charge of it and of what it starts

        self.stopping = False
        self._frames: deque[dict[str, Any]] = deque()
        self._parts: list[bytes] = []
        self._held = 0
        self._out = bytearray()
        self._open = True
        self._selector = selectors.DefaultSelector()
        self._woken, waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(one, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken by it
        self._selector.register(self._woken, selectors.EVENT_READ)
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(command, cwd=cwd, stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True)
        except FileNotFoundError:
            raise FailedError("not-installed", f"{command[0]!r} is not installed, or not on PATH.") from None
        except (OSError, ValueError) as problem:
            raise FailedError("environment", f"{command[0]!r} cannot be started: {problem}.") from problem
        assert child.stdin is not None
        assert child.stdout is not None
        self._child, self._stdin, self._stdout = child, child.stdin, child.stdout
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._selector.register(self._stdout, selectors.EVENT_READ)

    def send(self, **frame: object) -> None:
        """Send a frame; what the agent does not take now is sent while waiting for it."""
        self._out += json.dumps({"jsonrpc": "2.0", **frame}).encode() + b"\n"
        self._write()

    def next(self, limit_s: float | None, *, heed_stop: bool = True) -> dict[str, Any] | None:
        """The next frame; None when there is none in time.

        Raises:
            GoneError: the agent has left, and all that it said was handed out.
            StoppedError: somebody told us to stop.
        """
        until = None if limit_s is None else time.monotonic() + limit_s
        while not self._frames:
            if heed_stop and self.stopping:
                raise StoppedError
            if not self._open:
                raise GoneError
            left_s = None if until is None else until - time.monotonic()
            if left_s is not None and left_s <= 0:
                return None
            self._turn(left_s)
        return self._frames.popleft()

    def leave(self) -> int:
        """End the agent, gently first, and return its exit code; what it says meanwhile is still written down."""
        self._listen_no_more()
        with suppress(OSError):
            self._stdin.close()
        for patience_s, harsher in ((_LINGER_S, signal.SIGTERM), (_LEAVE_S, signal.SIGKILL)):
            until = time.monotonic() + patience_s
            while self._child.poll() is None and (left_s := until - time.monotonic()) > 0:
                self._turn(left_s)
            if self._child.returncode is None:
                with suppress(OSError):
                    os.killpg(self._child.pid, harsher)
        code = self._child.wait()
        while self._read():
            pass
        return code

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _turn(self, limit_s: float | None) -> None:
        ready = [key.fileobj for key, _ in self._selector.select(limit_s)]
        if self._woken in ready:
            os.read(self._woken, _BLOCK)
        if self._stdin in ready:
            self._write()
        if self._stdout in ready:
            self._read()
        elif self._child.poll() is not None:
            # A process that it left behind may hold the pipe for ever.
            while self._read():
                pass
            self._open = False

    def _write(self) -> None:
        try:
            while self._out:
                del self._out[: os.write(self._stdin.fileno(), self._out[:_BLOCK])]
        except BlockingIOError:
            if self._stdin not in self._selector.get_map():
                self._selector.register(self._stdin, selectors.EVENT_WRITE)
            return
        except OSError:
            self._out.clear()  # it listens no more; whether it still talks is another question
        self._listen_no_more()

    def _listen_no_more(self) -> None:
        if not self._stdin.closed and self._stdin in self._selector.get_map():
            self._selector.unregister(self._stdin)

    def _read(self) -> bool:
        """Take what is there; False when that is nothing."""
        if self._stdout.closed:
            return False
        try:
            block = os.read(self._stdout.fileno(), _BLOCK)
        except OSError:
            return False
        if block:
            self._take(block)
            return True
        self._take(b"\n" if self._parts else b"")
        self._selector.unregister(self._stdout)
        self._stdout.close()
        self._open = False
        return False

    def _take(self, block: bytes) -> None:
        *ended, rest = block.split(b"\n")
        for part in ended:
            self._hold(part)
            if self._held > _LONGEST_LINE:
                tell("notice", message=f"A line of {self._held} bytes was left out.")
            else:
                line = b"".join(self._parts)
                write_out(line + b"\n")
                self._frames.extend(frames_in(line))
            self._parts, self._held = [], 0
        self._hold(rest)

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > _LONGEST_LINE:
            self._parts = []
        elif part:
            self._parts.append(part)
