"""How an attempt ended: what its program says, corrected by what was seen of its process."""

from __future__ import annotations

import msgspec

from muster.executors.folder import Folder
from muster.executors.prices import priced
from muster.executors.transcript import SIZE_LIMIT
from muster.executors.watch import Watch
from muster.model.attempts import Cause, Ending, Failure, Outcome
from muster.model.plain_text import plain_text
from muster.model.redaction import Redactor
from muster.ports import AttemptSpec, Exit, Parser
from muster.process import Ended

_TIMED_OUT = 124  # as timeout(1) says it
_KILLED_BY = 128  # as a shell says it
_TOO_BIG = _KILLED_BY + 25  # SIGXFSZ


def outcome_of(
    spec: AttemptSpec,
    ended: Ended,
    watch: Watch,
    parser: Parser,
    tail: bytes,
    folder: Folder,
    redactor: Redactor,
    duration_s: float,
) -> Outcome:
    """How the attempt ended; what was seen of its process counts more than what its program says."""
    said = read_outcome(spec, parser, watch.exit(ended), tail, redactor)
    ending, failure = said.ending, said.failure
    if watch.flooded:
        ending = Ending.ERROR
        failure = Failure(cause=Cause.AGENT_BUG, message=f"It wrote more than {SIZE_LIMIT >> 20} MiB.")
    elif watch.timed_out:
        ending = Ending.TIMEOUT
        failure = Failure(cause=Cause.TIMEOUT, message=f"It did not end within {spec.timeout_s:g} s.")
    elif watch.over_turns:
        ending = Ending.ERROR
        message = f"It went on after {spec.max_turns} answers of its model, and max_turns allows no more."
        failure = Failure(cause=Cause.LIMIT_TURNS, message=message)
    elif watch.stalled:
        ending = Ending.STALLED
        silent = f"for {spec.stall_timeout_s:g} s it wrote nothing and its processes did nothing"
        failure = Failure(cause=Cause.STALLED, message=f"It stalled: {silent}.")
    try:
        answer = folder.keep_answer(watch.answer)
    except OSError as problem:
        answer, ending = None, Ending.ERROR
        failure = Failure(cause=Cause.ENVIRONMENT, message=f"Its answer could not be kept: {words_of(problem)}.")
    return msgspec.structs.replace(
        said,
        ending=ending,
        failure=failure,
        exit_code=ended.code,
        signal=ended.signal,
        duration_ms=round(duration_s * 1000),
        transcript=folder.output,
        errors=folder.errors,
        swept=ended.swept,
        answer=answer,
    )


def read_outcome(spec: AttemptSpec, parser: Parser, exit: Exit, tail: bytes, redactor: Redactor) -> Outcome:
    """What the dialect says of the whole output, priced and without secrets."""
    try:
        said = parser.finish(exit, tail)
    except Exception as problem:  # a dialect from another package must not end the run
        said = failed(Cause.AGENT_BUG, f"Its output could not be judged: {problem!r}")
    message = plain_text(redactor(said.failure.message)) if said.failure else ""
    failure = said.failure and msgspec.structs.replace(said.failure, message=message)
    usage = priced(msgspec.structs.replace(said.usage, model=redactor(said.usage.model)), spec.model)
    return msgspec.structs.replace(said, failure=failure, usage=usage, session=redactor(said.session))


def exit_code_of(ended: Ended, watch: Watch) -> int:
    """The exit code as a shell would tell it."""
    if watch.timed_out:
        return _TIMED_OUT
    if watch.flooded:
        return _TOO_BIG
    return ended.code if ended.code is not None else _KILLED_BY + (ended.signal or 0)


def failed(cause: Cause, message: str) -> Outcome:
    """An attempt that failed before anything of it can be told."""
    return Outcome(ending=Ending.ERROR, failure=Failure(cause=cause, message=message))


def words_of(problem: Exception) -> str:
    """A problem in words, with the file that it is about."""
    if isinstance(problem, OSError):
        name = f" ({problem.filename})" if problem.filename else ""
        return f"{problem.strerror or problem}{name}"
    return str(problem)
