"""The scripted agent's program: reads a script on stdin and does what it says.

A script is a list of steps, or a mapping from attempt numbers to such lists:

    attempts:
      1: [{say: "I try"}, {exit: {code: 1, class: rate_limit, message: "try later"}}]
    default:
      - write: {path: hello.txt, text: "hello"}
      - commit: {message: "Say hello"}

In a file of its own, it may say so for each task, and ``default`` for the others:

    tasks:
      explore: [{say: "Look at hello.txt."}]
    default: [{write: {path: hello.txt, text: "hello"}}]

Steps: say, think, write {path, text}, append {path, text}, delete, patch {path, old, new}, run,
commit {message}, sleep, usage {input, output, cache_read, cache_write, cost_usd}, tool {name, ok},
result {ok, class, message, retry_after_s}, exit, lie {text}, and for tests hang, garbage {bytes}, flood {bytes},
daemon {seconds, setsid, clean_env}, ignore_term, crash {signal}, read_stdin, close_stdout.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

_BLOCK = 64 * 1024


class ScriptError(Exception):
    """The script is wrong."""


class StepError(Exception):
    """A step could not be done."""


class Player:
    """Does steps one after the other, telling each as a line of JSON."""

    def __init__(self) -> None:
        self._told_result = False
        self._steps = {**_STEPS, "result": self.result, "lie": self._lie, "exit": self._exit}

    def play(self, text: str) -> NoReturn:
        """Follow the script to its end, which is a positive result unless a step says otherwise."""
        tell(type="session", id=os.environ.get("MUSTER_ATTEMPT", ""))
        try:
            task = os.environ.get("MUSTER_TASK", "")
            for step in steps_of(text, int(os.environ.get("MUSTER_ATTEMPT_NUMBER") or 1), task):
                self._do(step)
        except ScriptError as problem:
            self.result({"ok": False, "class": "bad_request", "message": str(problem)})
            leave(1)
        except (StepError, OSError) as problem:
            self.result({"ok": False, "class": "exit", "message": str(problem)})
            leave(1)
        if not self._told_result:
            self.result({"ok": True})
        leave(0)

    def _do(self, step: object) -> None:
        if isinstance(step, str):
            step = {step: None}
        if not isinstance(step, dict) or len(step) != 1:
            raise ScriptError(f"a step is one word with its argument, not {step!r}")
        ((word, argument),) = step.items()
        action = self._steps.get(str(word))
        if action is None:
            raise ScriptError(f"there is no step {word!r}; known: {', '.join(sorted(self._steps))}")
        try:
            action(argument)
        except (KeyError, TypeError, ValueError) as problem:
            raise ScriptError(f"step {word!r}: wrong argument {argument!r} ({problem!r})") from problem

    def result(self, argument: dict[str, Any]) -> None:
        """Say how the whole went."""
        self._told_result = True
        tell(**{"type": "result", "ok": True, **(argument or {})})

    def _lie(self, argument: dict[str, Any] | None) -> None:
        """Claim success without work."""
        tell(type="text", text=(argument or {}).get("text", "All done, all tests pass."))
        self.result({"ok": True})
        leave(0)

    def _exit(self, argument: int | dict[str, Any]) -> None:
        """End with a code; a code other than 0 comes with a negative result, unless there was one already."""
        details = argument if isinstance(argument, dict) else {"code": argument}
        code = int(details.get("code", 1))
        if "class" in details or "message" in details:
            self.result({"ok": False, "class": details.get("class"), "message": details.get("message", "")})
        leave(code)


def tell(**what: Any) -> None:
    """Say something in the tongue of the program that is played."""
    speak(what)


def write_line(what: object) -> None:
    """Write one line of JSON."""
    write_out(json.dumps(what).encode() + b"\n")


def write_out(data: bytes) -> None:
    """Write to stdout, whole and unbuffered; a closed stdout is the script's wish."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except OSError:
            return


def leave(code: int) -> NoReturn:
    """End at once."""
    os._exit(code)


def steps_of(text: str, attempt: int, task: str = "") -> list[object]:
    """The steps for this attempt of this task."""
    script = _load(text)
    if isinstance(script, dict) and isinstance(script.get("tasks"), dict):
        script = script["tasks"].get(task, script.get("default"))
    if isinstance(script, dict):
        attempts = script.get("attempts") or {}
        if not isinstance(attempts, dict) or set(script) - {"attempts", "default"}:
            raise ScriptError("a script is a list of steps, or has `attempts` and `default`")
        numbered = {str(number): steps for number, steps in attempts.items()}
        script = numbered.get(str(attempt), script.get("default"))
    if script is None:
        script = []
    if not isinstance(script, list):
        raise ScriptError("the prompt of a scripted agent is its script, a list of steps in JSON or YAML")
    return script


def _load(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        pass
    import yaml

    try:
        # Only the first document: what follows `---` may be added by whoever writes the prompt.
        return next(iter(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))), None)
    except yaml.YAMLError as problem:
        raise ScriptError(f"the prompt is no YAML: {problem}") from problem


def _run(argument: str | dict[str, Any]) -> None:
    import subprocess  # noqa: TID251 - a program of its own: an executor is in charge of it and of what it starts

    command = argument["command"] if isinstance(argument, dict) else argument
    done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    tell(type="tool", name="run", ok=done.returncode == 0, command=command, code=done.returncode, text=output[-4000:])
    if done.returncode and not (isinstance(argument, dict) and argument.get("may_fail")):
        raise StepError(f"`{command}` ended with {done.returncode}: {output[-500:]}")


def _commit(argument: dict[str, Any]) -> None:
    import subprocess  # noqa: TID251 - a program of its own: an executor is in charge of it and of what it starts

    name = ["-c", "user.name=Scripted", "-c", "user.email=scripted@localhost"]
    for command in (["add", "-A"], [*name, "commit", "-q", "--no-verify", "-m", argument["message"]]):
        done = subprocess.run(["git", *command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise StepError(f"git {command[0]}: {(done.stdout + done.stderr).decode('utf-8', 'replace')}")
    tell(type="tool", name="commit", ok=True)


def _write(argument: dict[str, str], mode: str = "w") -> None:
    place = Path(argument["path"])
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open(mode, encoding="utf-8") as file:
        file.write(argument["text"])
    tell(type="tool", name="write", ok=True, path=str(place))


def _patch(argument: dict[str, str]) -> None:
    place = Path(argument["path"])
    before = place.read_text(encoding="utf-8")
    if argument["old"] not in before:
        tell(type="tool", name="patch", ok=False, path=str(place))
        raise StepError(f"{place} does not hold {argument['old']!r}")
    place.write_text(before.replace(argument["old"], argument["new"], 1), encoding="utf-8")
    tell(type="tool", name="patch", ok=True, path=str(place))


def _delete(argument: str | dict[str, str]) -> None:
    place = Path(argument["path"] if isinstance(argument, dict) else argument)
    place.unlink()
    tell(type="tool", name="delete", ok=True, path=str(place))


def _daemon(argument: dict[str, Any] | None) -> None:
    """Leave a process behind in the way that is hardest to find."""
    details = argument or {}
    reader, writer = os.pipe()
    first = os.fork()
    if first == 0:
        if details.get("setsid", True):
            os.setsid()
        if os.fork() == 0:
            os.write(writer, b"%d" % os.getpid())
            os.close(writer)
            command = [sys.executable, "-S", "-c", f"import time; time.sleep({float(details.get('seconds', 600))})"]
            os.execve(command[0], command, {} if details.get("clean_env") else dict(os.environ))
        os._exit(0)
    os.close(writer)
    os.waitpid(first, 0)
    tell(type="tool", name="daemon", ok=True, pid=int(os.read(reader, 32)))
    os.close(reader)


def _repeat(argument: dict[str, Any], block: bytes) -> None:
    left = int(argument["bytes"])
    while left > 0:
        write_out(block[:left])
        left -= len(block)


def _crash(argument: dict[str, Any] | None) -> None:
    number = (argument or {}).get("signal", "KILL")
    chosen = getattr(signal, f"SIG{number}") if isinstance(number, str) else signal.Signals(number)
    if chosen != signal.SIGKILL:
        signal.signal(chosen, signal.SIG_DFL)
    os.kill(os.getpid(), chosen)
    time.sleep(5)


def _hang(_: object) -> None:
    while True:
        time.sleep(3600)


def _ignore_term(_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


# What is told is written as it is, unless it is played in another program's words.
speak: Callable[[dict[str, Any]], None] = write_line

_STEPS: dict[str, Callable[[Any], None]] = {
    "say": lambda text: tell(type="text", text=str(text)),
    "think": lambda text: tell(type="thought", text=str(text)),
    "write": _write,
    "append": lambda argument: _write(argument, "a"),
    "delete": _delete,
    "patch": _patch,
    "run": _run,
    "commit": _commit,
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "usage": lambda argument: tell(**{**argument, "type": "usage"}),
    "tool": lambda argument: tell(**{"ok": True, **argument, "type": "tool"}),
    "hang": _hang,
    "garbage": lambda argument: _repeat(argument, bytes(range(256)) * 256),
    "flood": lambda argument: _repeat(argument, b"x" * _BLOCK),
    "daemon": _daemon,
    "ignore_term": _ignore_term,
    "crash": _crash,
    "read_stdin": lambda _: tell(type="text", text=sys.stdin.read()),
    "close_stdout": lambda _: os.close(1),
}


def main() -> NoReturn:
    """Read the script, all of it, and play it; the prompt, unless a file is named."""
    prompt = sys.stdin.buffer.read()
    script = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else prompt
    Player().play(script.decode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    main()
