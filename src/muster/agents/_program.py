"""What the dialects have in common before a start: program, arguments, variables, and whether it is there at all."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import anyio

from muster.model.errors import EnvironmentProblem, InputError
from muster.ports import AttemptSpec, Binding, Detected
from muster.process import Completed, run

_PROBE_S = 1.8
# How programs find a proxy and trust its certificates.
NETWORK_ENV = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_*")
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")
_ARGUMENT = re.compile(r"[^-\s\x00-\x1f][^\x00-\x1f]*")
_PROBED_WITH = ("PATH", "HOME", "LANG", "LC_*", "TERM", "TMPDIR", "USER", "LOGNAME")


def session_for(attempt: str) -> str:
    """A session id that an attempt always gets, and no other."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"muster:{attempt}"))


def argument(what: str, value: str) -> str:
    """The value, if no program can take it for an option.

    Raises:
        InputError: it could.
    """
    if not _ARGUMENT.fullmatch(value):
        raise InputError(f"{value!r} is no {what}; it must match {_ARGUMENT.pattern}.")
    return value


def program(binding: Binding | None, usual: str) -> tuple[str, ...]:
    """The program and its first arguments."""
    return (binding.command if binding else ()) or (usual,)


def model_for(binding: Binding | None, spec: AttemptSpec) -> str:
    """What this program calls the model that was asked for; empty for its own choice."""
    model = binding.models.get(spec.model, spec.model) if binding else spec.model
    return argument("model name", model) if model else ""


def permitted(name: str, spec: AttemptSpec, flags: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The flags for the attempt's permission.

    Raises:
        InputError: the dialect cannot keep to it.
    """
    if spec.permission not in flags:
        raise InputError(f"Agent {name!r} cannot work with permission {spec.permission!r}; it can: {', '.join(flags)}.")
    return flags[spec.permission]


def taken(name: str, spec: AttemptSpec, tools: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What this program calls the tools that the attempt does not get.

    Raises:
        InputError: the dialect cannot take them.
    """
    for kind in spec.without:
        if kind not in tools:
            can = f"it can go without {', '.join(tools)}" if tools else "it keeps all that it has"
            raise InputError(f"From agent {name!r} the tools for {kind!r} cannot be taken; {can}.")
    return tuple(tool for kind in spec.without for tool in tools[kind])


def visible(env_allow: tuple[str, ...]) -> dict[str, str]:
    """What a program of ours sees of our environment."""
    allowed = (*_PROBED_WITH, *env_allow)
    return {name: value for name, value in os.environ.items() if any(fnmatchcase(name, one) for one in allowed)}


async def probe(*argv: str, env_allow: tuple[str, ...] = ()) -> Completed | None:
    """Ask a program something quick; None when it is not there or does not answer in time."""
    try:
        return await run(argv, cwd="/", env=visible(env_allow), timeout_s=_PROBE_S)
    except EnvironmentProblem:
        return None


async def detect(
    argv: tuple[str, ...],
    status: tuple[str, ...],
    *,
    env_allow: tuple[str, ...],
    logged_in: Callable[[Completed], object],
    install: str,
    login: str,
) -> Detected:
    """Ask a program for its version and, with ``status``, about its login; both at once.

    ``logged_in`` answers True, False, or anything else when it cannot tell. A program
    that has no such command is not asked: ``status`` is empty, and so is the answer.
    """
    path = shutil.which(argv[0])
    if path is None:
        hint = f"{argv[0]!r} is not installed, or not on PATH; install it with `{install}`."
        return Detected(found=False, hint=hint, fix=install)
    place = str(Path(path).absolute())  # noqa: ASYNC240 - looks at no file
    answers: dict[str, Completed | None] = {}

    async def ask(what: str, *more: str) -> None:
        answers[what] = await probe(place, *argv[1:], *more, env_allow=env_allow)

    async with anyio.create_task_group() as group:
        group.start_soon(ask, "version", "--version", name=f"version of {argv[0]}")
        if status:
            group.start_soon(ask, "login", *status, name=f"login of {argv[0]}")
    version, asked = answers["version"], answers["login"] if status else Completed(code=0, stdout=b"", stderr=b"")
    found = _VERSION.search(version.stdout.decode("utf-8", "replace")) if version else None
    known = logged_in(asked) if asked else None
    auth = "ok" if known is True else "missing" if known is False else "unknown"
    fix = login if auth == "missing" else ""
    hint = f"Log in with `{fix}`." if fix else ""
    return Detected(found=True, path=path, version=found.group() if found else "", auth=auth, hint=hint, fix=fix)
