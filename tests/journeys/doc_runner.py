"""Runs the console blocks of a page in a temporary folder and holds what is printed against what the page shows.

What a page may use:

* a ```` ```console ```` block: lines with ``$ `` are commands, ``> `` continues one, all else is what they print. A
  line ``...`` stands for any lines. A command must succeed unless the next one is ``echo $?``.
* a ```` ```console terminal-1 ```` block runs its command on a terminal of its own and goes on once the block was
  printed; a later block of the same name shows what follows, up to the end of the command.
* ``<!-- file: NAME -->`` before a block: the block is what a reader saves under that name.
* ``<!-- either: A B -->`` before a block: A and B may change their roles in it.
* ``<!-- not run: WHY -->`` before a block.

Ids, hashes, times and widths of columns differ from run to run and are not compared; neither is the order of
neighbouring lines about tasks, which work at the same time.
"""

from __future__ import annotations

import difflib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LIMIT_S = 60.0
_FENCE = re.compile(
    r"^(?:<!-- (?P<note>.*?) -->\n)?(?P<ticks>`{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=ticks)$",
    re.MULTILINE | re.DOTALL,
)
_TASK_LINE = re.compile(r"^  [>!+~xs-] ")
_VARYING = (
    (re.compile(r"\S*/muster-demo-\w+"), "<folder>"),
    (re.compile(r"\b0[0-9a-hjkmnp-tv-z]{25}\b"), "<run>"),
    (re.compile(r"\[[0-9a-z]{6}\.(\d+)\]"), r"[<run>.\1]"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+\S*|\b\d\d:\d\d:\d\d\.\d+"), "<moment>"),
    (re.compile(r"\b(?=\d*[a-f]*\d)[0-9a-f]{7,64}\b"), "<hash>"),
    (re.compile(r"\b\d+(?:\.\d+)?(?:ms|s|m|h|d)\b"), "<time>"),
    (re.compile(r"(?<=\S) {2,}"), "  "),
    (re.compile(r"─{2,}"), "──"),
)


@dataclass
class Step:
    """A command and what it is said to print; without a command, the rest of what a terminal shows."""

    line: int
    command: str
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """A block of a page that is run, or saved as a file."""

    line: int
    terminal: str
    steps: tuple[Step, ...]
    file: str = ""
    text: str = ""
    either: tuple[str, ...] = ()


def blocks(page: str) -> Iterator[Block]:
    """All blocks that a reader would act on, in order."""
    for found in _FENCE.finditer(page):
        line = page.count("\n", 0, found.start("text")) + 1
        note, _, value = (found["note"] or "").partition(": ")
        words = found["info"].split()
        if note == "file":
            yield Block(line, "", (), file=value, text=found["text"])
        elif words[:1] == ["console"] and note != "not run":
            either = tuple(value.split()) if note == "either" else ()
            yield Block(line, words[1] if len(words) > 1 else "", tuple(_steps(found["text"], line)), either=either)


def _steps(text: str, line: int) -> Iterator[Step]:
    step: Step | None = None
    for number, written in enumerate(text.splitlines(), start=line):
        if written.startswith("$ "):
            if step:
                yield step
            step = Step(number, written[2:])
        elif written.startswith("> ") and step and not step.shown:
            step.command += "\n" + written[2:]
        else:
            step = step or Step(number, "")
            step.shown.append(written)
    if step:
        yield step


def plain(text: str) -> list[str]:
    """The lines of an output without what differs from run to run."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    lines: list[str] = []
    together: list[str] = []
    for line in [*(line.rstrip() for line in text.splitlines()), ""]:
        if _TASK_LINE.match(line):
            together.append(line)
        else:
            lines += [*sorted(together), line]
            together = []
    return "\n".join(lines).rstrip().split("\n")


def fits(shown: list[str], printed: str) -> bool:
    """Whether an output is what a page shows."""
    pattern = "".join(r"(?:.*\n)*" if line == "..." else re.escape(line) + r"\n" for line in plain("\n".join(shown)))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in plain(printed))) is not None


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: str, cwd: Path, env: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=cwd,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._printed = ""

    def read_until(self, shown: list[str]) -> str:
        """What was printed since the last time, once it fits; whatever there is after a while or at the end."""
        deadline = time.monotonic() + LIMIT_S
        while not fits(shown, self._printed) and time.monotonic() < deadline and self._more():
            pass
        printed, self._printed = self._printed, ""
        return printed

    def close(self) -> None:
        """End the command, if it has not ended by itself."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(LIMIT_S)
        os.close(self._ours)

    def _more(self) -> bool:
        if not select.select([self._ours], [], [], 0.5)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False
        self._printed += data.decode("utf-8", "replace").replace("\r", "")
        return bool(data)


class Reader:
    """Does what a page says, as somebody who starts in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self._cwd = folder
        self._status = 0
        self._terminals: dict[str, Terminal] = {}
        home = folder.parent / "home"
        home.mkdir()
        self._env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(folder.parent),
            "USER": "ada",
            "LOGNAME": "ada",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def read(self, path: Path) -> None:
        """Follow a page from top to bottom; an assertion fails where the page is wrong."""
        try:
            for block in blocks(path.read_text(encoding="utf-8")):
                if block.file:
                    (self._cwd / block.file).write_text(block.text, encoding="utf-8")
                elif block.terminal:
                    self._watch(block, path.name)
                else:
                    self._follow(block, path.name)
        finally:
            for terminal in self._terminals.values():
                terminal.close()

    def _follow(self, block: Block, page: str) -> None:
        for step, following in zip(block.steps, [*block.steps[1:], Step(0, "")], strict=True):
            printed = self._run(step.command)
            if not (block.either and fits(_swapped(step.shown, *block.either), printed)):
                _hold(f"{page}:{step.line}: $ {step.command}", step.shown, printed)
            if following.command != "echo $?":
                assert self._status == 0, f"{page}:{step.line}: $ {step.command} ended with {self._status}:\n{printed}"

    def _watch(self, block: Block, page: str) -> None:
        for step in block.steps:
            if step.command:
                self._terminals[block.terminal] = Terminal(step.command, self._cwd, self._env)
            printed = self._terminals[block.terminal].read_until(step.shown)
            _hold(f"{page}:{step.line}: {block.terminal}", step.shown, printed)

    def _run(self, command: str) -> str:
        """Run a command as one of many in the same shell: folder and status go on from the last."""
        place = self._env["HOME"] + "/.cwd"
        script = f'(exit {self._status})\n{command}\nstatus=$?; pwd >"{place}"; exit $status'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
        self._cwd, self._status = Path(Path(place).read_text().rstrip("\n")), done.returncode
        return done.stdout.decode("utf-8", "replace")


def _swapped(lines: list[str], one: str, other: str) -> list[str]:
    """The lines with two names changed for each other, but for those that list both."""
    names = {one: other, other: one}
    either = re.compile(rf"\b({one}|{other})\b")
    return [
        line if len(set(either.findall(line))) == 2 else either.sub(lambda at: names[at[0]], line) for line in lines
    ]


def _hold(where: str, shown: list[str], printed: str) -> None:
    if fits(shown, printed):
        return
    difference = difflib.unified_diff(plain("\n".join(shown)), plain(printed), "the page", "reality", lineterm="", n=99)
    raise AssertionError("\n".join([where, *difference, "", "printed as it is:", printed]))
