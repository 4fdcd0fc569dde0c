"""The one tree of expected failures, each with the exit code and who can act.

MusterError                   1   something failed, the message says what to do
├── InputError                2   the user: wrong argument, plan, brief or setting
│   └── NotFoundError         2   the user: no such run, gate, task
├── WaitingError              3   a person has to decide something first
├── RefusedError              4   not allowed, for a reason of safety
├── ConflictError             6   two states disagree: a corrupt journal, a moved ref
│   └── JournalError          6   the journal cannot be read or trusted
├── EnvironmentProblem        8   the machine: git missing, disk full, store too new
│   └── TooMuchOutput         8   the machine: a program prints more than fits into memory
├── BusyError                75   try again later: another process owns the run
└── StaleWriterError         75   another process wrote to the journal first
    └── OutpacedError        75   another run did, and what was decided depends on all runs
"""

from __future__ import annotations


class MusterError(Exception):
    """An expected failure: one line for a person, a code for a program."""

    exit_code = 1
    code = "failure"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(MusterError):
    """Something the user wrote is wrong; the message names where and what is allowed."""

    exit_code = 2
    code = "input"


class NotFoundError(InputError):
    """The named thing does not exist."""

    code = "not-found"


class WaitingError(MusterError):
    """A person must decide before this can go on."""

    exit_code = 3
    code = "waiting"


class RefusedError(MusterError):
    """Not done, because it would not be safe."""

    exit_code = 4
    code = "refused"


class ConflictError(MusterError):
    """Two states that must agree do not."""

    exit_code = 6
    code = "conflict"


class JournalError(ConflictError):
    """The journal cannot be read or its hash chain is broken; files are left alone."""

    code = "journal"


class EnvironmentProblem(MusterError):
    """The machine lacks something: a program, a version, disk space."""

    exit_code = 8
    code = "environment"


class TooMuchOutput(EnvironmentProblem):
    """A program printed more than is kept in memory."""

    code = "too-much-output"


class BusyError(MusterError):
    """Another process owns what was asked for; try again later."""

    exit_code = 75
    code = "busy"


class StaleWriterError(MusterError):
    """An append came with an outdated sequence number or a lost lease."""

    exit_code = 75
    code = "stale-writer"


class OutpacedError(StaleWriterError):
    """An append that depends on what other runs have written came after they had written more."""

    code = "outpaced"
