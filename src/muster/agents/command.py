"""A plain shell command as an agent: its exit code is its outcome."""

from __future__ import annotations

from collections.abc import Iterable

from muster.model.attempts import Cause, Ending, Failure, Outcome
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Exit, Launch, News

_SHELL = "/bin/sh"
_SHOWN = 500


class CommandAgent:
    """Runs ``run:`` of a task with the system's shell."""

    capabilities = Capabilities(permissions=("read", "edit", "full"))

    def __init__(self, binding: Binding | None = None) -> None:
        self.name = binding.name if binding else "command"

    async def detect(self) -> Detected:
        """A shell is everywhere that Muster runs."""
        return Detected(found=True, path=_SHELL, auth="ok")

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        return Launch(argv=(_SHELL, "-c", spec.command), reads_output=False)

    def parser(self, launch: Launch) -> CommandParser:
        """A parser for one start."""
        return CommandParser()


class CommandParser:
    """Looks at the exit alone."""

    def feed(self, line: bytes) -> Iterable[News]:
        """A command's output means nothing to us."""
        return ()

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Ok for exit code 0 and for nothing else."""
        if exit.code == 0:
            return Outcome(ending=Ending.OK)
        last = stderr_tail.decode("utf-8", "replace").strip()[-_SHOWN:]
        said = f": {last}" if last else ""
        if exit.signal is not None:
            failure = Failure(cause=Cause.CRASH, message=f"killed by signal {exit.signal}{said}")
        else:
            failure = Failure(cause=Cause.EXIT, message=f"exit code {exit.code}{said}")
        return Outcome(ending=Ending.ERROR, failure=failure)
