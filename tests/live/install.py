"""Installs the agents' programs for the live tests: by package name, into a cache folder of this user.

``python -m tests.live.install`` installs what is missing, ``--upgrade`` also what is there; it never fails, as
a program that cannot be installed is one that the tests skip, with the reason kept beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Node comes first: npm picks older versions of the others where it runs on an older Node.
PACKAGES = {
    "node": "node@26",
    "claude": "@anthropic-ai/claude-code",
    "codex": "@openai/codex",
    "gemini": "@google/gemini-cli",
    "opencode": "opencode-ai",
    # The newest that was measured; the project is young and changes its protocol.
    "pi": "@earendil-works/pi-coding-agent@0.87.1",
}
INSTALL_S, START_S = 600, 30


@dataclass(frozen=True)
class Program:
    """One installed program, or why there is none."""

    name: str
    path: Path
    version: str = ""
    problem: str = ""


def cache_folder() -> Path:
    """Where the programs are."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "muster-live"


def search_path(name: str) -> str:
    """A PATH on which the program and its Node come first."""
    folders = (cache_folder() / one / "node_modules" / ".bin" for one in (name, "node"))
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])


@cache
def look(name: str) -> Program:
    """The program as it is installed; it is started once, to see that it can be."""
    path = cache_folder() / name / "node_modules" / ".bin" / name
    reason = cache_folder() / name / "problem.txt"
    if not path.exists():
        why = reason.read_text().strip() if reason.exists() else "not installed; make live installs it"
        return Program(name, path, problem=why)
    env = {"PATH": search_path(name), "HOME": str(cache_folder() / "home"), "LANG": "C.UTF-8"}
    Path(env["HOME"]).mkdir(exist_ok=True)
    try:
        done = _run([str(path), "--version"], env, START_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Program(name, path, problem=f"does not start: {error}")
    if done.returncode:
        return Program(name, path, problem=f"does not start: {_last(done.stderr or done.stdout)}")
    return Program(name, path, version=_last(done.stdout))


def install(name: str, package: str) -> str:
    """Install one package into its own folder; returns why it could not be done."""
    folder = cache_folder() / name
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text("{}\n")
    argv = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--no-package-lock", package]
    try:
        done = _run(argv, {**os.environ, "PATH": search_path(name)}, INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"npm install {package}: {error}"
    return "" if done.returncode == 0 else f"npm install {package}: {_last(done.stderr)}"


def main(args: list[str]) -> None:
    """Install what is missing and say what there is."""
    for name, package in PACKAGES.items():
        reason = cache_folder() / name / "problem.txt"
        if "--upgrade" in args or not (cache_folder() / name / "node_modules" / ".bin" / name).exists():
            problem = install(name, package)
            reason.parent.mkdir(parents=True, exist_ok=True)
            reason.write_text(problem)
        program = look(name)
        print(f"{name:10}{program.version or 'skipped: ' + program.problem}", flush=True)


def _run(argv: list[str], env: Mapping[str, str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


if __name__ == "__main__":
    main(sys.argv[1:])
