"""The agent without a model: follows a script that is its prompt, for demos and tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from muster.agents import scripted_player
from muster.model.attempts import Cause, Ending, Failure, Outcome, Usage
from muster.ports import AttemptSpec, Capabilities, Detected, Exit, Launch, News

_SHOWN = 500
_DEAREST_USD = 1e9
_MOST_TOKENS = 10**15
# What an agent's own protocol may say; the rest is for the orchestrator to find out.
_TOLD = {
    cause.value: cause
    for cause in (
        *(Cause.AUTH, Cause.INVALID_MODEL, Cause.BAD_REQUEST, Cause.PERMISSION, Cause.LIMIT_TURNS, Cause.LIMIT_BUDGET),
        *(Cause.AGENT_BUG, Cause.CRASH, Cause.RATE_LIMIT, Cause.OVERLOADED, Cause.SERVER, Cause.TRANSPORT),
        *(Cause.STALLED, Cause.INCOMPLETE, Cause.EXIT),
    )
}


class ScriptedAgent:
    """Plays the YAML script in the prompt; see `scripted_player` for its steps."""

    name = "scripted"
    capabilities = Capabilities(reports_cost=True, permissions=("read", "edit", "full"))

    async def detect(self) -> Detected:
        """It is part of Muster."""
        return Detected(found=True, path=scripted_player.__file__, auth="ok")

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        # By its path and with -P, so that neither PYTHONPATH nor the folder's other files matter.
        argv = (sys.executable, "-P", "-B", str(Path(scripted_player.__file__).resolve()))
        return Launch(argv=argv, stdin=spec.prompt.encode("utf-8", "surrogateescape"), session=spec.id)

    def parser(self, launch: Launch) -> ScriptedParser:
        """A parser for the output of one start."""
        return ScriptedParser(launch.session)


class ScriptedParser:
    """Reads the player's lines of JSON; only a positive result makes an attempt ok."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._usage = Usage()
        self._result: dict[str, Any] | None = None

    def feed(self, line: bytes) -> Iterable[News]:
        """Take one line; what is not a JSON object with a known type is noise."""
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            return ()
        if not isinstance(told, dict):
            return ()
        text = str(told.get("text", ""))
        match told.get("type"):
            case "session":
                self._session = str(told.get("id", self._session))
                return (News(kind="session", text=self._session),)
            case "text":
                return (News(kind="text", text=text),)
            case "thought":
                return (News(kind="thought", text=text),)
            case "tool":
                name, ok = str(told.get("name", "")), bool(told.get("ok", True))
                return (News(kind="tool_started", tool=name), News(kind="tool_ended", tool=name, ok=ok))
            case "usage":
                self._usage = _sum(self._usage, told)
                return (News(kind="usage", usage=self._usage),)
            case "result":
                self._result = told
                return (News(kind="result", ok=told.get("ok") is True, text=str(told.get("message", ""))),)
            case _:
                return ()

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        ending, failure = self._ending(exit, stderr_tail)
        return Outcome(ending=ending, failure=failure, usage=self._usage, session=self._session)

    def _ending(self, exit: Exit, stderr_tail: bytes) -> tuple[Ending, Failure | None]:
        result = self._result
        if result is not None and result.get("ok") is not True:
            cause = _TOLD.get(str(result.get("class")), Cause.CRASH)
            return Ending.ERROR, Failure(cause=cause, message=str(result.get("message") or "the script failed"))
        if exit.code == 0:
            if result is not None:
                return Ending.OK, None
            message = "It ended without saying that it was done."
            return Ending.INCOMPLETE, Failure(cause=Cause.INCOMPLETE, message=message)
        how = f"killed by signal {exit.signal}" if exit.signal is not None else f"exit code {exit.code}"
        last = stderr_tail.decode("utf-8", "replace").strip()[-_SHOWN:]
        return Ending.ERROR, Failure(cause=Cause.CRASH, message=f"{how}: {last}" if last else how)


def _sum(usage: Usage, told: dict[str, Any]) -> Usage:
    cost = _price(told.get("cost_usd"))
    total = usage.cost_usd if cost is None else (usage.cost_usd or 0.0) + cost
    return Usage(
        input=usage.input + _count(told.get("input")),
        output=usage.output + _count(told.get("output")),
        cost_usd=total,
        cost_source="reported" if total is not None else "none",
        model="scripted",
    )


def _price(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _DEAREST_USD
    return float(value) if known and isinstance(value, int | float) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else 0
