"""The agent without a model: follows a script that is its prompt, for demos and tests."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from muster.agents import _dialect as dialect
from muster.agents import scripted_player
from muster.model.attempts import Cause, Failure, Outcome, Usage, together
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Exit, Launch, News

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
    """Plays the YAML script in the prompt, or in the file that ``command`` names; see `scripted_player`."""

    capabilities = Capabilities(reports_cost=True, permissions=("read", "edit", "full"))

    def __init__(self, binding: Binding | None = None) -> None:
        self.name = binding.name if binding else "scripted"
        self._script = binding.command[:1] if binding else ()

    async def detect(self) -> Detected:
        """It is part of Muster."""
        return Detected(found=True, path=scripted_player.__file__, auth="ok")

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        dialect.taken(self.name, spec, {})
        # By its path and with -P, so that neither PYTHONPATH nor the folder's other files matter.
        argv = (sys.executable, "-P", "-B", str(Path(scripted_player.__file__).resolve()), *self._script)
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
        told = dialect.decode(line)
        if told is None:
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
                self._usage = together((self._usage, _used(told)))
                return (News(kind="usage", usage=self._usage),)
            case "result":
                self._result = told
                return (News(kind="result", ok=told.get("ok") is True, text=str(told.get("message", ""))),)
            case _:
                return ()

    def finish(self, exit: Exit, stderr_tail: bytes) -> Outcome:
        """Say how it went."""
        failure = None
        if self._result is not None and self._result.get("ok") is not True:
            cause = _TOLD.get(str(self._result.get("class")), Cause.CRASH)
            message = str(self._result.get("message") or "the script failed")
            after_s = dialect.price(self._result.get("retry_after_s"))
            failure = Failure(cause=cause, message=message, retry_after_s=after_s)
        ending, failure = dialect.judge(exit, stderr_tail, done=self._result is not None, failure=failure)
        return Outcome(ending=ending, failure=failure, usage=self._usage, session=self._session)


def _used(told: dict[str, Any]) -> Usage:
    used = Usage(
        input=dialect.count(told.get("input")),
        output=dialect.count(told.get("output")),
        cache_read=dialect.count(told.get("cache_read")),
        cache_write=dialect.count(told.get("cache_write")),
        model="scripted",
    )
    cost_usd = dialect.price(told.get("cost_usd"))
    return used if cost_usd is None else replace(used, cost_usd=cost_usd, cost_source="reported")
