"""What the scripted model does: neutral steps, turned into calls of whatever tools a program offers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

HELLO = "hello from the scripted model\n"
READY = "DONE. I wrote hello.txt, edited README.md and ran a command."


@dataclass(frozen=True)
class Step:
    """One answer of the model: a sentence, then at most one action."""

    text: str
    action: str = ""
    path: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A call of one of the program's own tools."""

    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One answer in terms of the program that asked."""

    text: str
    call: Call | None = None


@dataclass(frozen=True)
class Fault:
    """What goes wrong: from step ``at`` on, ``times`` times or for ever."""

    kind: str
    at: int = 0
    times: int | None = None


@dataclass(frozen=True)
class Said:
    """One part of a conversation: who is ``user``, ``model`` or ``tool``."""

    who: str
    text: str


# The five-step job; it expects a README.md that holds "old line".
JOB = (
    Step("I will read the readme.", "read", "README.md"),
    Step("Now I write a file.", "write", "hello.txt", {"content": HELLO}),
    Step("Now I edit the readme.", "edit", "README.md", {"old": "old line", "new": "new line"}),
    Step("Now I run a shell command.", "shell", more={"command": "echo shell-ran > shell.txt && cat hello.txt"}),
    Step(READY),
)
SCRIPTS: dict[str, tuple[Step, ...]] = {
    "job": JOB,
    # The job without the shell, which an agent with permission "edit" may not have.
    "files": (*JOB[:3], Step("DONE. I wrote hello.txt and edited README.md.")),
    "text": (Step("I have nothing to do."),),
    "lie": (Step("DONE. I wrote hello.txt, and all tests pass."),),
    # An answer to a review in its form, and without a proof that anything was read.
    "blind": (Step('{"findings": [], "read": []}'),),
}
# What each role of a workflow does where the request names no script.
PLAN = """## Say it aloud
```yaml
id: T1
agent: executor
prompt: |
  Carry out the planned change. [[s:job]]
expected_paths: [hello.txt, shell.txt]
```"""
ROLES: dict[str, tuple[Step, ...]] = {
    "explorer": (JOB[0], Step("README.md, line 2: the old line has to change.")),
    "executor": JOB,
    "planner": (JOB[0], Step(PLAN)),
    "verifier": (JOB[0], Step("README.md holds the new line.\n\nVERDICT: HOLDS")),
}
SIDE = Step("A scripted conversation")

_KIT = "# Carry out each line below"
_SCRIPT = re.compile(r"\[\[s:([\w-]+)\]\]")
_ROLE = re.compile(r"You are the ([\w-]+) of task")
_REVIEW = re.compile(r"You judge whether .*?<<<(\w+)\n(.*)\n\1>>>", re.DOTALL)
_SECTION = re.compile(r"^--- .*\n\+\+\+ (.*) \(status \w\)$", re.MULTILINE)
_HUNK = re.compile(r"@@ -\d+,\d+ \+(\d+),")
_RUN = re.compile(r"\[\[run:(.+?)\]\]", re.DOTALL)
_PATH = re.compile(r"\[\[path:(.+?)\]\]")
_FAULT = re.compile(r"\[\[fault:(\w+?)(?:@(\d+))?(?:x(\d+))?\]\]")
# The five programs tell the model where they work; no two in the same words.
_WORKDIR = re.compile(r"(?:<cwd>|[Ww]orking directory:|Workspace Directories:\*\*\s+-)\s*(/[^\s<]+)")

_TOOLS = {
    "read": ("Read", "read_file", "read"),
    "write": ("Write", "write_file", "write"),
    "edit": ("Edit", "replace", "edit"),
    "shell": ("Bash", "run_shell_command", "bash", "exec_command", "shell_command", "shell"),
}


def steps_of(conversation: Sequence[Said]) -> tuple[str, tuple[Step, ...], int, str]:
    """The script that the newest request names, its steps, how many of them are done, and the request's text."""
    for index in range(len(conversation) - 1, -1, -1):
        part = conversation[index]
        if part.who == "user" and _KIT in part.text:
            done = sum(1 for later in conversation[index:] if later.who == "tool")
            return "kit", _carried_out(part.text), done, part.text
        if part.who == "user" and (found := _SCRIPT.findall(part.text)):
            done = sum(1 for later in conversation[index:] if later.who == "tool")
            return found[-1], _script(found[-1], part.text), done, part.text
        if part.who == "user" and (role := _ROLE.search(part.text)):
            done = sum(1 for later in conversation[index:] if later.who == "tool")
            return role[1], ROLES[role[1]], done, part.text
        if part.who == "user" and (review := _REVIEW.search(part.text)):
            done = sum(1 for later in conversation[index:] if later.who == "tool")
            return "review", _reviewed(review[2]), done, part.text
    return "", (SIDE,), 0, ""


def _reviewed(shown: str) -> tuple[Step, ...]:
    """A review as an honest model does it: it opens the first file, proves what it read, and blames what came last."""
    _, *parts = _SECTION.split(shown)
    read, findings = [], []
    for path, diff in zip(parts[::2], parts[1::2], strict=True):
        number, last, at = 0, "", 0
        for line in diff.splitlines():
            if hunk := _HUNK.match(line):
                number = int(hunk[1]) - 1
            elif not line.startswith("-"):
                number += 1
                last, at = (line[1:], number) if line.startswith("+") else (last, at)
        read.append({"file": path, "hunks": diff.count("\n@@ "), "last_added": last})
        findings.append(
            {
                "rule": "MISSING_ERROR_HANDLING",
                "severity": "MAJOR",
                "file": path,
                "line": at,
                "title": "Nobody looks at what this comes to",
                "detail": "Raise when it fails.",
                "impact": "A failure looks like success.",
                "evidence": last.strip(),
                "brief_ref": "NFR-baseline",
            }
        )
    return Step("I open the file.", "read", parts[0]), Step(json.dumps({"findings": findings, "read": read}))


def _carried_out(text: str) -> tuple[Step, ...]:
    """What `muster agent test` asks for, as a model would understand it."""
    lines = text[text.index(_KIT) :].splitlines()
    script = "\n".join(line for line in lines if line.startswith(("- ", "    ", "#")))
    steps = []
    for one in yaml.safe_load(script):
        ((word, given),) = one.items()
        match word:
            case "write":
                steps.append(Step("I write it.", "write", given["path"], {"content": given["text"]}))
            case "run":
                steps.append(Step("I run it.", "shell", more={"command": given}))
            case _:
                pass
    return (*steps, Step("done"))


def fault_of(text: str) -> Fault | None:
    """What the request's text says that goes wrong."""
    found = _FAULT.findall(text)
    if not found:
        return None
    kind, at, times = found[-1]
    return Fault(kind, int(at or 0), int(times) if times else None)


def workdir_of(everything: str) -> str:
    """Where the program says that it works; empty when it does not."""
    found = _WORKDIR.search(everything)
    return found[1] if found else ""


def turn_of(step: Step, tools: Mapping[str, Mapping[str, Any]], workdir: str) -> Turn:
    """The step as an answer to a program that offers these tools: their JSON schemas by name."""
    if not step.action or not tools:
        return Turn(step.text)
    name = next((name for name in _TOOLS[step.action] if name in tools), "")
    if not name:
        # Codex has a shell and nothing else.
        step = (
            step if step.action == "shell" else Step(step.text, "shell", more={"command": _as_command(step, workdir)})
        )
        name = next((name for name in _TOOLS["shell"] if name in tools), "")
    if not name:
        return Turn("I have no tool for this.")
    return Turn(step.text, Call(name, _arguments(step, tools[name], workdir)))


def _script(name: str, text: str) -> tuple[Step, ...]:
    if name == "run":
        commands = _RUN.findall(text)
        return (*(Step("I run a command.", "shell", more={"command": one}) for one in commands), Step("DONE."))
    if name == "outside":
        return (
            *(Step("I write there.", "write", one, {"content": HELLO}) for one in _PATH.findall(text)),
            Step("DONE."),
        )
    return SCRIPTS[name]


def _arguments(step: Step, schema: Mapping[str, Any], workdir: str) -> dict[str, Any]:
    known: Mapping[str, Any] = schema.get("properties") or {}
    said: dict[str, Any] = {}
    for key, kind in known.items():
        match key:
            case "file_path" | "filePath" | "absolute_path" | "path":
                said[key] = str(PurePosixPath(workdir) / step.path)
            case "content":
                said[key] = step.more["content"]
            case "old_string" | "oldString":
                said[key] = step.more["old"]
            case "new_string" | "newString":
                said[key] = step.more["new"]
            case "edits":
                said[key] = [{"oldText": step.more["old"], "newText": step.more["new"]}]
            case "command" | "cmd":
                command = step.more["command"]
                said[key] = ["bash", "-lc", command] if kind.get("type") == "array" else command
            case "description" | "instruction" if step.action in ("shell", "edit"):
                said[key] = "scripted"
            case "yield_time_ms":
                said[key] = 30_000
    # A shell's folder is where it works anyway, and no tool needs more than one path.
    return {key: value for key, value in said.items() if step.path or key not in ("path", "file_path", "filePath")}


def _as_command(step: Step, workdir: str) -> str:
    path = PurePosixPath(workdir) / step.path
    match step.action:
        case "shell":
            return step.more["command"]
        case "read":
            return f"cat '{path}'"
        case "write":
            return f"printf '%s' '{step.more['content']}' > '{path}'"
        case _:
            return f"sed -i 's/{step.more['old']}/{step.more['new']}/' '{path}'"
