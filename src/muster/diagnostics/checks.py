"""What `muster doctor` looks at: each check gives findings with a mending command."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from muster.config.load import find_project, load_settings
from muster.config.places import PROJECT_FOLDER, state_folder
from muster.config.profiles import choose_profile, load_models, load_profiles
from muster.config.trust import TrustState, trust_state
from muster.diagnostics.findings import Finding, Level
from muster.diagnostics.services import definitions, exporters, service_path
from muster.model.errors import EnvironmentProblem, MusterError, NotFoundError

MIN_GIT = (2, 38)  # the first with `merge-tree --write-tree`
MIN_OPEN_FILES = 256
MIN_PROCESSES = 1024
MIN_DISK_MB = 100
LOW_DISK_MB = 1024

# The first three are the ones to begin with.
AGENTS = ("claude", "codex", "gemini", "opencode", "pi")


def examine(cwd: Path) -> list[Finding]:
    """All findings for this machine and the project at or above ``cwd``; looks only, changes nothing."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", _python),
        ("git", _git),
        ("path", _path),
        ("service", partial(service_path, AGENTS)),
        ("open files", _limits),
        ("folders", partial(_folders, [state_folder(), Path(tempfile.gettempdir())])),
    ]
    try:
        project = find_project(cwd)
    except NotFoundError as error:
        missing = _finding("repository", Level.WARN, error.message, error.hint)
        checks += [("repository", lambda: iter([missing]))]
        checks += [("settings", partial(_settings, None)), ("definitions", partial(definitions, None))]
        checks += [("exporters", partial(exporters, None)), ("agents", partial(_agents, None))]
    else:
        # Imported here: the first part must work where the rest of the program does not.
        from muster.diagnostics.project_checks import leftovers, repository, store

        checks += [
            ("repository", partial(repository, project)),
            ("settings", partial(_settings, project)),
            ("definitions", partial(definitions, project)),
            ("exporters", partial(exporters, project)),
            ("store", partial(store, project)),
            ("disk", partial(_disk, project)),
            (
                "folders",
                partial(_folders, [project / PROJECT_FOLDER / "state", project / PROJECT_FOLDER / "worktrees"]),
            ),
            ("leftovers", partial(leftovers, project)),
            ("agents", partial(_agents, project)),
        ]
    return [finding for name, check in checks for finding in _careful(name, check)]


def mend(cwd: Path, findings: Iterable[Finding]) -> tuple[list[str], list[str]]:
    """Do what is safe: nothing is lost by it, as work is salvaged first; returns what was done, and what failed."""
    import anyio

    from muster.diagnostics.project_checks import SAFE

    done, failed = [], []
    for fix in dict.fromkeys(finding.fix for finding in findings if finding.level is not Level.OK):
        if fix in SAFE:
            try:
                anyio.run(SAFE[fix], cwd)
                done.append(fix)
            except (MusterError, OSError) as error:
                failed.append(f"{fix}: {error}")
    return done, failed


def git_version() -> tuple[int, ...]:
    """The version of the git program on PATH.

    Raises:
        EnvironmentProblem: there is none that runs.
    """
    from muster.process import run_now

    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = run_now(["git", "--version"], cwd="/", env=env, timeout_s=10, check=True)
    found = re.search(rb"(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    if not found:
        raise EnvironmentProblem(f"git --version says {done.stdout[:80]!r}.")
    return tuple(int(part) for part in found.groups() if part)


def versions() -> dict[str, str]:
    """What is needed to understand a report of somebody else's machine."""
    import platform
    import sqlite3

    from muster import __version__

    try:
        git = ".".join(map(str, git_version()))
    except EnvironmentProblem:
        git = "not found"
    return {
        "muster": __version__,
        "python": platform.python_version(),
        "git": git,
        "sqlite": sqlite3.sqlite_version,
        "platform": platform.platform(),
    }


def _careful(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except MusterError as error:
        yield _finding(name, Level.FAIL, error.message, error.hint or "muster version")
    except OSError as error:
        place = error.filename or "."
        yield _finding(name, Level.FAIL, f"{error.strerror or error}: {place}", f"ls -ld '{place}'")


def _python() -> Iterator[Finding]:
    yield _finding("python", Level.OK, f"{sys.version.split()[0]} at {sys.executable}")


def _git() -> Iterator[Finding]:
    version = git_version()
    text = ".".join(map(str, version))
    if version < MIN_GIT:
        needed = ".".join(map(str, MIN_GIT))
        yield _finding(
            "git", Level.FAIL, f"git {text} is too old; {needed} or newer is needed.", "sudo apt install git"
        )
    else:
        yield _finding("git", Level.OK, f"{text} at {shutil.which('git')}")


def _path() -> Iterator[Finding]:
    parts = os.environ.get("PATH", "").split(os.pathsep)
    if relative := [part for part in parts if not part.startswith("/")]:
        # A program of the repository would be started in place of the real one.
        message = f"PATH holds {relative[0]!r}, which means another folder in every worktree."
        yield _finding("path", Level.WARN, message, "export PATH with absolute folders only")
    else:
        yield _finding("path", Level.OK, f"{len(parts)} folders")


def _limits() -> Iterator[Finding]:
    """What the system lets one process have; ulimit(1) shows and sets them."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < MIN_OPEN_FILES:
        yield _finding("open files", Level.WARN, f"Only {soft} files may be open at once.", "ulimit -n 1024")
    else:
        yield _finding("open files", Level.OK, f"{soft} at once" if soft >= 0 else "no limit")
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if 0 <= soft < MIN_PROCESSES:
        message = f"Only {soft} processes of this user may run at once; agents start many."
        yield _finding("processes", Level.WARN, message, f"ulimit -u {MIN_PROCESSES}")
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if size >= 0:
        message = f"No file may grow over {size} bytes, not even the journal."
        yield _finding("file size", Level.WARN, message, "ulimit -f unlimited")


def _folders(folders: list[Path]) -> Iterator[Finding]:
    for folder in folders:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            yield _finding("folders", Level.OK, f"{folder} can be written")
        else:
            yield _finding("folders", Level.FAIL, f"{there} cannot be written.", f"chmod u+rwx '{there}'")


def _disk(project: Path) -> Iterator[Finding]:
    free_mb = shutil.disk_usage(project).free // 1024**2
    level = Level.FAIL if free_mb < MIN_DISK_MB else Level.WARN if free_mb < LOW_DISK_MB else Level.OK
    fix = "" if level is Level.OK else "muster gc"
    yield _finding("disk", level, f"{free_mb:,} MB free where the project is", fix)


def _settings(project: Path | None) -> Iterator[Finding]:
    resolved = load_settings(project, environ=os.environ)
    for ignored in resolved.ignored:
        changed = project is not None and trust_state(project) is TrustState.CHANGED
        why = "it changed since the repository was trusted" if changed else "the repository is not trusted"
        yield _finding("settings", Level.FAIL, f"{ignored.label}: {ignored.key} is not taken: {why}.", "muster trust")
    loaded = load_profiles(project, load_models(resolved.settings.agents.named))
    for problem in loaded.problems.values():
        yield _finding("settings", Level.WARN, problem, "muster profile lint")
    choice = choose_profile(project, resolved=resolved)
    yield _finding("settings", Level.OK, f"profile {choice.profile.name} ({choice.source.value})")


def _agents(project: Path | None) -> Iterator[Finding]:
    import anyio

    from muster.pipeline.compose import detect_agents
    from muster.wiring.parts import agents

    settings = load_settings(project, environ=os.environ).settings.agents
    able = {name: one for name, one in agents(settings).items() if name in (*AGENTS, *settings.named)}
    states = anyio.run(detect_agents, able)
    if not any(one.found for one in states.values()):
        three = ", ".join(AGENTS[:3])
        message = (
            f"No coding agent is installed. Command tasks work without one; to begin with, install one of {three}."
        )
        yield _finding("agents", Level.WARN, message, states[AGENTS[0]].fix)
    for name, one in states.items():
        if one.found:
            login = {"ok": "logged in", "missing": "not logged in"}.get(one.auth, "login not known")
            dialect = settings.named[name].dialect or name if name in settings.named else name
            if not one.version and dialect in AGENTS:
                message = f"{name} at {one.path} does not answer when it is asked for its version."
                yield _finding("agents", Level.WARN, message, f"'{one.path}' --version")
                continue
            level = Level.WARN if one.auth == "missing" else Level.OK
            yield _finding("agents", level, f"{name} {one.version or '(no version)'} at {one.path}, {login}", one.fix)
        elif name in settings.named:
            yield _finding("agents", Level.WARN, f"{name}: {one.hint}", f"muster config show agents.{name}")
        elif any(other.found for other in states.values()):
            yield _finding("agents", Level.OK, f"{name} is not installed", one.fix)


def _finding(check: str, level: Level, message: str, fix: str = "") -> Finding:
    return Finding(check=check, level=level, message=message, fix=fix)
