"""The environment that commands get: an allow-list, never all of ours."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

# USER and LOGNAME hold no secret, and git, ssh and many build tools fail or ask without them.
_ALWAYS = ("PATH", "HOME", "LANG", "TERM", "TMPDIR", "USER", "LOGNAME")
_ALWAYS_PREFIX = "LC_"
# Git's variables name another repository, index or hook folder, so they would lead out of the worktree.
_NEVER_PREFIX = "GIT_"


def inherited(environ: Mapping[str, str], env_allow: Iterable[str]) -> dict[str, str]:
    """What a command may see of our environment; ``env_allow`` are names or globs.

    >>> inherited({"PATH": "/bin", "LC_ALL": "C", "API_KEY": "x", "GIT_DIR": "y"}, ["GIT_*"])
    {'LC_ALL': 'C', 'PATH': '/bin'}
    >>> inherited({"PATH": "/bin", "AWS_REGION": "eu", "AWS_KEY": "x"}, ["AWS_R*"])
    {'AWS_REGION': 'eu', 'PATH': '/bin'}
    """
    allowed = tuple(env_allow)
    passed = {
        name: environ[name]
        for name in sorted(environ)
        if not name.startswith(_NEVER_PREFIX)
        and (
            name in _ALWAYS
            or name.startswith(_ALWAYS_PREFIX)
            or any(name == pattern or fnmatchcase(name, pattern) for pattern in allowed)
        )
    }
    passed.setdefault("PATH", os.defpath)
    return passed


def fingerprint(environ: Mapping[str, str]) -> str:
    """A short hash of an environment; where temporary files go does not count."""
    digest = hashlib.sha256()
    for name in sorted(environ):
        if name != "TMPDIR":
            digest.update(f"{name}={environ[name]}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
