"""A repository in a temporary folder, and a person at a terminal who uses Muster in it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.journeys.terminal import Terminal

PATIENCE_S = 40.0
MUSTER = (sys.executable, "-P", "-m", "muster")

# A process that gets away from its parent as daemons do: two forks, a session of its own, no terminal, deaf to
# SIGTERM. It says that it is there by writing its pid into the file (or FIFO) that it is given.
DAEMON = """\
import os, signal, sys
if os.fork():
    sys.exit()
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for fd in (0, 1, 2):
    os.dup2(os.open(os.devnull, os.O_RDWR), fd)
with open(sys.argv[1], "w") as place:
    place.write(f"{os.getpid()}\\n")
while True:
    signal.pause()
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on the standard output."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The objects on the standard output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Started:
    """A command in the background; `end` waits for it, `kill` and `send` address it by its own pid."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.pid = process.pid

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> Ran:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return checked(Ran(self.process.returncode, out.decode(), err.decode()))


class Meeting:
    """A place in a task's command where it says its pid and waits until the test lets it go."""

    def __init__(self, folder: Path, name: str) -> None:
        self.here, self.go = folder / f"{name}.here", folder / f"{name}.go"
        os.mkfifo(self.here)
        os.mkfifo(self.go)
        # Open for both, so that no side waits for the other to come.
        self._here = os.open(self.here, os.O_RDWR)
        self._go = os.open(self.go, os.O_RDWR)
        self._read = b""

    @property
    def command(self) -> str:
        """What the task does: say that it is there, and wait."""
        return f"echo $$ > {self.here}; read _ < {self.go}"

    def reached(self) -> int:
        """Wait until the task is there; returns the pid that it told."""
        while b"\n" not in self._read:
            if not select.select([self._here], [], [], PATIENCE_S)[0]:
                raise AssertionError(f"nobody came to {self.here.name}")
            self._read += os.read(self._here, 4096)
        line, _, self._read = self._read.partition(b"\n")
        return int(line)

    def leave(self) -> None:
        os.write(self._go, b"\n")

    def close(self) -> None:
        os.close(self._here)
        os.close(self._go)


def task(id: str, run: str, **manifest: Any) -> str:
    """One section of a plan."""
    fields = {"id": id, "run": run, **manifest}
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    return f"## {fields.get('title', id)}\n\n```yaml\n{lines}\n```\n"


def adds(name: str, **manifest: Any) -> str:
    """A task that adds a file of its own name."""
    return task(name, f"echo {name} > {name}.txt", expected_paths=[f"{name}.txt"], **manifest)


def plan(*tasks: str, slug: str = "journey") -> str:
    """A plan as a person would write it."""
    return "\n".join([f"---\ntype: plan\nslug: {slug}\n---\n# A journey\n", *tasks])


class Site:
    """The person's repository; `muster` is the person at the first terminal."""

    def __init__(self, root: Path, *, below: str = "repo") -> None:
        self.root = root
        self.top = root / below
        self.home = root / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(root / "tmp"),
            **({"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}),
        }
        (root / "tmp").mkdir(exist_ok=True)
        self._started: list[subprocess.Popen[bytes]] = []
        self._terminals: list[Terminal] = []
        self._meetings: list[Meeting] = []

    @classmethod
    def create(cls, root: Path, files: Mapping[str, str | bytes] | None = None, *, below: str = "repo") -> Site:
        """Make a repository with one commit on ``main``."""
        site = cls(root, below=below)
        site.top.mkdir(parents=True)
        user = "[user]\n\tname = Uma User\n\temail = uma@example.org\n"
        (site.home / ".gitconfig").write_text(f"{user}[init]\n\tdefaultBranch = main\n")
        site.git("init", "-q")
        site.commit("First", {"a.txt": "one\n", "b.txt": "two\n"} if files is None else files)
        return site

    # The person's own work

    def git(self, *args: str, cwd: Path | None = None, ok: bool = True, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.top, env=self.env, capture_output=True, input=stdin, check=False
        )
        assert done.returncode == 0 or not ok, (args, done.stdout, done.stderr)
        return done.stdout.decode(errors="surrogateescape").rstrip("\n")

    def write(self, files: Mapping[str, str | bytes], *, at: Path | None = None) -> None:
        for name, content in files.items():
            path = (at or self.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, message: str, files: Mapping[str, str | bytes]) -> str:
        self.write(files)
        self.git("add", "--", *files)
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def plan(self, *tasks: str, at: str = "plan.md") -> None:
        """Write a plan; it stays uncommitted."""
        self.write({at: plan(*tasks)})

    def head(self, name: str = "HEAD") -> str:
        return self.git("rev-parse", "--verify", name)

    def tree(self, name: str = "main") -> list[str]:
        """The names of the files in a commit."""
        return self.git("ls-tree", "-r", "-z", "--name-only", name).split("\0")[:-1]

    # Muster

    def muster(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        wrapper: Sequence[str] = (),
    ) -> Ran:
        """Run a command to its end, away from any terminal."""
        done = subprocess.run(
            [*wrapper, *MUSTER, *args],
            cwd=cwd or self.top,
            env={**self.env, **(env or {})},
            capture_output=True,
            input=stdin or b"",
            timeout=PATIENCE_S,
            check=False,
        )
        return checked(Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")))

    def start(self, *args: str, cwd: Path | None = None, program: Sequence[str] = MUSTER) -> Started:
        """Start a command in the background."""
        process = subprocess.Popen(
            [*program, *args],
            cwd=cwd or self.top,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._started.append(process)
        return Started(process)

    def terminal(self, *args: str, env: Mapping[str, str] | None = None) -> Terminal:
        """Start a command at a terminal of its own."""
        terminal = Terminal([*MUSTER, *args], self.top, {**self.env, "TERM": "xterm", **(env or {})}, PATIENCE_S)
        self._terminals.append(terminal)
        return terminal

    def wait_for(self, type_: str, **data: Any) -> dict[str, Any]:
        """Wait until the newest run's journal has an entry of this type with these data; returns its data."""
        follow = [*MUSTER, "events", "--jsonl", "--follow", "--type", type_]
        gave_up = threading.Event()
        while not gave_up.is_set():
            process = subprocess.Popen(
                follow, cwd=self.top, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            with process, alarm(process, gave_up):
                assert process.stdout is not None
                for line in process.stdout:
                    # An error, such as that there is no run yet, has no data.
                    said: dict[str, Any] = json.loads(line).get("data", {})
                    if said and all(said.get(key) == value for key, value in data.items()):
                        process.kill()
                        return said
            # 2: there is no run yet.
            assert gave_up.is_set() or process.returncode == 2, f"the run ended without {type_} {data}"
        raise AssertionError(f"no {type_} {data} came within {PATIENCE_S} s: {self.events()}")

    def events(self, run: str = "@last") -> list[tuple[str, Any]]:
        """Type and data of all entries of a run."""
        return [(line["type"], line["data"]) for line in self.muster("events", run, "--jsonl").lines]

    def of(self, type_: str, run: str = "@last") -> list[Any]:
        """The data of a run's entries of one type."""
        return [data for kind, data in self.events(run) if kind == type_]

    def show(self, run: str = "@last") -> Any:
        return self.muster("show", run, "--json").json

    # What tasks meet and leave

    def meeting(self, name: str = "meeting") -> Meeting:
        meeting = Meeting(self.root, name)
        self._meetings.append(meeting)
        return meeting

    def daemon(self, place: Path, *, wiped: bool = False) -> str:
        """A command that leaves a daemon behind, which writes its pid to ``place``; with ``wiped``, unmarked."""
        script = self.root / "daemon.py"
        script.write_text(DAEMON)
        wipe = "env -i " if wiped else ""
        return f"{wipe}{sys.executable} -S -E {script} {place}"

    def left(self) -> dict[int, str]:
        """The living processes that have to do with this site and were not started by the test, by pid."""
        ours = {process.pid for process in self._started} | {terminal.pid for terminal in self._terminals}
        found: dict[int, str] = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid in ours or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                words = process.cmdline()
                if any(str(self.root) in word for word in (*words, process.cwd())):
                    found[process.pid] = " ".join(words)
        return found

    def users(self) -> dict[str, bytes]:
        """Every byte that is the person's: files, modes, index, HEAD, branches, stash, reflogs, configuration."""
        found: dict[str, bytes] = {}
        for folder, folders, files in os.walk(os.fsencode(self.top)):
            below = os.path.relpath(folder, os.fsencode(self.top))
            if below == b".":
                folders[:] = [name for name in folders if name != b".muster"]
            if below == b".git":
                folders[:] = [name for name in folders if name not in (b"objects", b"worktrees")]
            if below == b".git/refs":
                folders[:] = [name for name in folders if name != b"muster"]
            for name in files:
                path = os.path.join(folder, name)  # noqa: PTH118 - a Path cannot hold bytes
                key = os.path.relpath(path, os.fsencode(self.top))
                if key == b".git/info/exclude":
                    continue
                mode = b"%o " % os.lstat(path).st_mode
                link = os.path.islink(path)  # noqa: PTH114
                content = os.readlink(path) if link else Path(os.fsdecode(path)).read_bytes()  # noqa: PTH115
                found[os.fsdecode(key)] = mode + content
        return found

    def close(self) -> None:
        """End what was started and has not ended."""
        for terminal in self._terminals:
            terminal.close()
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=PATIENCE_S)
        for pid in self.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for meeting in self._meetings:
            meeting.close()
        self._started, self._terminals, self._meetings = [], [], []


def checked(ran: Ran) -> Ran:
    """No journey ever shows a traceback."""
    said = ran.out + ran.err
    assert "Traceback (most recent call last)" not in said, said
    assert "This is a bug in Muster" not in said, said
    return ran


@contextmanager
def alarm(process: subprocess.Popen[bytes], rang: threading.Event) -> Iterator[None]:
    """Kill a process when patience ends."""

    def ring() -> None:
        rang.set()
        process.kill()

    timer = threading.Timer(PATIENCE_S, ring)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
