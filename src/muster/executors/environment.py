"""The environment that commands get: an allow-list, never all of ours."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from muster.model.journal.correlation import Correlation
from muster.ports import AttemptSpec, Launch

# USER and LOGNAME hold no secret, and git, ssh and many build tools fail or ask without them.
_ALWAYS = ("PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "LOGNAME")
_ALWAYS_PREFIX = "LC_"
# Git's variables name another repository, index or hook folder, so they would lead out of the worktree.
_NEVER_PREFIX = "GIT_"
# Credentials of whoever watches: one of these is passed on only where it is named in full.
_CREDENTIALS = ("OTEL_*HEADERS", "OTEL_*_KEY", "MUSTER_OTEL_*")
_COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
# All that says where telemetry goes, and with which credentials.
_COLLECTORS = "OTEL_EXPORTER_OTLP_"


def inherited(environ: Mapping[str, str], env_allow: Iterable[str]) -> dict[str, str]:
    """What a command may see of our environment; ``env_allow`` are names or globs.

    >>> inherited({"PATH": "/bin", "LC_ALL": "C", "API_KEY": "x", "GIT_DIR": "y"}, ["GIT_*"])
    {'LC_ALL': 'C', 'PATH': '/bin'}
    >>> inherited({"PATH": "/bin", "AWS_REGION": "eu", "AWS_KEY": "x"}, ["AWS_R*"])
    {'AWS_REGION': 'eu', 'PATH': '/bin'}
    >>> inherited({"PATH": "/bin", "OTEL_EXPORTER_OTLP_HEADERS": "k=v", "OTEL_LOG_LEVEL": "info"}, ["OTEL_*"])
    {'OTEL_LOG_LEVEL': 'info', 'PATH': '/bin'}
    """
    allowed = tuple(env_allow)
    passed = {
        name: environ[name]
        for name in sorted(environ)
        if not name.startswith(_NEVER_PREFIX)
        and (
            name in _ALWAYS
            or name.startswith(_ALWAYS_PREFIX)
            or name in allowed
            or (not _matches(name, _CREDENTIALS) and _matches(name, allowed))
        )
    }
    passed.setdefault("PATH", os.defpath)
    return passed


def started(
    spec: AttemptSpec,
    launch: Launch,
    belongs: Correlation,
    allowed: Mapping[str, str],
    collected: dict[str, str],
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Arguments and environment of an attempt's program; ``collected`` are the variables of our own collector, if any.

    What ours is told goes nowhere else; without it, a collector that the operator has may be told.
    """
    given = {**allowed, **launch.env, **spec.env}
    if collected:
        given = {name: value for name, value in given.items() if not name.startswith(_COLLECTORS)} | collected
    traced = _COLLECTOR in given
    given = {**launch.defaults, **(launch.traced if traced else {}), **given}
    own = {"RUN": belongs.run, "TASK": spec.task, "ATTEMPT_NUMBER": str(spec.number)}
    given |= belongs.environment(given) | {f"MUSTER_{name}": value for name, value in own.items()}
    return (*launch.argv, *(launch.traced_args if traced else ())), given


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def fingerprint(environ: Mapping[str, str]) -> str:
    """A short hash of an environment; where temporary files go does not count."""
    digest = hashlib.sha256()
    for name in sorted(environ):
        if name != "TMPDIR":
            digest.update(f"{name}={environ[name]}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
