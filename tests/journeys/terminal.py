"""A command at a terminal of its own: what a person types and sees."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class Terminal:
    """The command sees a real terminal; `type` and `press` are the keyboard, `sees` reads the screen."""

    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], patience_s: float) -> None:
        self._patience_s = patience_s
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.pid = self._process.pid
        self.screen = ""

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._master, f"{text}\n".encode())

    def press(self, key: str) -> None:
        r"""Press one key, such as ``\x03`` for Ctrl-C."""
        os.write(self._master, key.encode())

    def sees(self, text: str) -> str:
        """Wait until the text is on the screen; returns all that is."""
        while text not in self.screen:
            if not self._read():
                raise AssertionError(f"the command ended and never showed {text!r}:\n{self.screen}")
        return self.screen

    def end(self) -> int:
        """Read until the command ends; returns its exit code."""
        while self._read():
            pass
        return self._process.wait(self._patience_s)

    def hang_up(self) -> int:
        """Close the window; returns the exit code."""
        self._close()
        return self._process.wait(self._patience_s)

    def close(self) -> None:
        self._close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(self._patience_s)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], self._patience_s)[0]:
            raise AssertionError(f"nothing happened on the screen any more:\n{self.screen}")
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # Linux says EIO when nobody has the terminal open any more.
            return False
        self.screen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def _close(self) -> None:
        with suppress(OSError):
            os.close(self._master)
        self._master = -1
