"""Turning what went wrong into one line, or one JSON object, and an exit code."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Sequence

import click

from muster.model.errors import EnvironmentProblem, MusterError

INTERRUPTED = 130
# What a machine may refuse anywhere and at any time; it is no bug of ours.
_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EAGAIN}
    | {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE}
)


def report(error: BaseException, args: Sequence[str]) -> int:
    """Print a failure to the standard error and return the exit code.

    With ``--json`` or ``--jsonl`` among ``args`` the same goes to the standard
    output as ``{"error": {code, message, hint}}``. Unexpected failures keep
    their traceback in a crash file.
    """
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has seen enough.
        return 0
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt | EOFError | click.Abort):
        return _tell(args, "interrupted", "Interrupted.", "", INTERRUPTED)
    if isinstance(error, click.UsageError) and error.message.startswith("Usage:"):
        # A group without a command; click hands over its help as the message.
        print(error.message, file=sys.stderr)
        return error.exit_code
    if isinstance(error, click.ClickException):
        hint = _usage_hint(error)
        # click puts a long list of choices on lines of their own.
        return _tell(args, "usage", " ".join(error.format_message().split()), hint, error.exit_code)
    if isinstance(error, MusterError):
        return _tell(args, error.code, error.message, error.hint, error.exit_code)
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return _tell(args, EnvironmentProblem.code, f"{where}{error.strerror}.", "", EnvironmentProblem.exit_code)
    from muster.cli.crash import crash_file

    place = crash_file(error)
    message = f"Unexpected {type(error).__name__}: {error}"
    return _tell(args, "crash", message, f"This is a bug in Muster; the traceback is in {place}.", 1)


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else "muster --help"


def _tell(args: Sequence[str], code: str, message: str, hint: str, exit_code: int) -> int:
    if "--json" in args or "--jsonl" in args:
        print(json.dumps({"error": {"code": code, "message": message, "hint": hint}}))
        return exit_code
    print(f"muster: {message}", file=sys.stderr)
    if hint:
        print(f"        {hint}", file=sys.stderr)
    return exit_code
