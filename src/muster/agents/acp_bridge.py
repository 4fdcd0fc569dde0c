"""The peer of one ACP agent: starts it, takes it through a single turn and writes down every frame.

Stdin holds one line of JSON, the request, and after it the prompt. Stdout gets every line of the agent as it came,
and lines of our own, which are objects with `bridge`:

    {"bridge": "sent", "frame": …}                          a request of ours, without the prompt
    {"bridge": "permission", "tool": …, "decision": …}      what was allowed or refused, and by which policy
    {"bridge": "notice", "message": …}                      what could not be done as asked, and does not matter
    {"bridge": "failed", "cause": …, "message": …}          why there was no turn, when the agent did not say it

The exit code is 0 only for a turn that the agent called ended.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# It is run by its path, so that nobody's PYTHONPATH matters; afterwards the standard library comes first again.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from muster.agents.acp_choices import choice_of
from muster.agents.acp_guard import AnsweredError, Guard, as_object
from muster.agents.acp_lines import tell
from muster.agents.acp_wire import FailedError, GoneError, StoppedError, Wire

sys.path.pop(0)

_PROTOCOL = 1
_HANDSHAKE_S = 120.0  # an agent may start servers of its own before it has a session
_CANCEL_S = 1.0
_STOPPED = 143  # as a shell says SIGTERM


class Turn:
    """One session, one prompt, and the answers to what the agent asks meanwhile."""

    def __init__(self, request: dict[str, Any], prompt: str, wire: Wire) -> None:
        self._request, self._prompt, self._wire = request, prompt, wire
        self._guard = Guard(Path(request["cwd"]), str(request.get("permission") or "read"))
        self._offered: dict[str, Any] = {}
        self._session = ""
        self._numbers = 0
        self._prompting = False

    def run(self) -> int:
        """Go through it and return our exit code."""
        try:
            return 0 if self._play() == "end_turn" else 1
        except StoppedError:
            self._guard.stopping = True
            with suppress(GoneError):
                self._cancel()
            return _STOPPED

    def _cancel(self) -> None:
        """Ask the agent to end its turn, and give it a moment to do so."""
        if not self._prompting:
            return
        self._wire.send(method="session/cancel", params={"sessionId": self._session})
        until = time.monotonic() + float(self._request.get("cancel_s") or _CANCEL_S)
        while (left_s := until - time.monotonic()) > 0:
            frame = self._wire.next(left_s, heed_stop=False)
            if frame is None or ("method" not in frame and frame.get("id") == self._numbers):
                return
            if "method" in frame:
                self._serve(frame)

    def _play(self) -> object:
        # Files are read best where they are: there are no unsaved buffers here, and Gemini CLI takes no answer of a
        # peer for "there is no such file". Who asks all the same is answered.
        able = {"fs": {"readTextFile": False, "writeTextFile": True}, "terminal": False}
        about = {"name": "muster", "title": "Muster", "version": str(self._request.get("version") or "0")}
        hello = {"protocolVersion": _PROTOCOL, "clientCapabilities": able, "clientInfo": about}
        agent = self._call("initialize", hello, _HANDSHAKE_S)
        if agent.get("protocolVersion", _PROTOCOL) != _PROTOCOL:
            message = f"It speaks version {agent['protocolVersion']!r} of ACP, and Muster version {_PROTOCOL}."
            raise FailedError("bad_request", message)
        self._begin(as_object(agent.get("agentCapabilities")))
        self._set_up()
        self._prompting = True
        prompt = [{"type": "text", "text": self._prompt}]
        return self._call("session/prompt", {"sessionId": self._session, "prompt": prompt}).get("stopReason")

    def _begin(self, able: dict[str, Any]) -> None:
        """Go on with the earlier session where that is possible, else begin one."""
        place = {"cwd": str(self._request["cwd"]), "mcpServers": []}
        if earlier := self._request.get("session"):
            resumes = as_object(able.get("sessionCapabilities")).get("resume") is not None
            method = "session/resume" if resumes else "session/load"
            if resumes or able.get("loadSession") is True:
                try:
                    self._offered = self._call(method, {"sessionId": earlier, **place}, _HANDSHAKE_S)
                    self._session = str(earlier)
                    return
                except AnsweredError as problem:
                    tell("notice", message=f"The earlier session cannot be gone on with: {problem}")
            else:
                tell("notice", message="This agent cannot go on with an earlier session.")
        self._offered = self._call("session/new", place, _HANDSHAKE_S)
        self._session = str(self._offered.get("sessionId") or "")
        if not self._session:
            raise FailedError("agent_bug", "It began a session without an id.")

    def _set_up(self) -> None:
        """Choose mode, model and effort: a mode is a help only, since every request is judged here anyway."""
        model, effort = self._request.get("model"), self._request.get("effort")
        with suppress(AnsweredError):
            self._choose("mode", self._request.get("modes") or ())
        if model:
            try:
                offered = self._choose("model", (model,))
            except AnsweredError as problem:
                raise FailedError("invalid_model", f"It does not take model {model!r}: {problem}") from problem
            if offered is None:
                tell("notice", message=f"This agent lets nobody choose its model; {model!r} was asked for.")
            elif model not in offered:
                raise FailedError("invalid_model", f"It has no model {model!r}; it has: {', '.join(offered)}.")
        if effort:
            try:
                taken = effort in (self._choose("thought_level", (effort,)) or ())
            except AnsweredError:
                taken = False
            if not taken:
                tell("notice", message=f"This agent cannot be asked for effort {effort!r}.")

    def _choose(self, what: str, wanted: Sequence[str]) -> tuple[str, ...] | None:
        """Set the first wanted value that is offered; returns what is offered, None when there is no choice."""
        choice = choice_of(self._offered, what)
        if choice is None:
            return None
        for value in wanted:
            if value in choice.offered:
                if value != choice.now:
                    params = {"sessionId": self._session, **choice.params, choice.name: value}
                    # What else can be chosen may depend on it.
                    self._offered = {**self._offered, **self._call(choice.method, params, _HANDSHAKE_S)}
                break
        return choice.offered

    def _call(self, method: str, params: dict[str, Any], limit_s: float | None = None) -> dict[str, Any]:
        self._numbers += 1
        shown = {name: value for name, value in params.items() if name != "prompt"}
        tell("sent", frame={"id": self._numbers, "method": method, "params": shown})
        self._wire.send(id=self._numbers, method=method, params=params)
        until = None if limit_s is None else time.monotonic() + limit_s
        while True:
            frame = self._wire.next(None if until is None else max(0.0, until - time.monotonic()))
            if frame is None:
                raise FailedError("stalled", f"It did not answer {method} within {limit_s:g} s.")
            if "method" in frame:
                self._serve(frame)
            elif frame.get("id") == self._numbers:
                if (problem := frame.get("error")) is not None:
                    told = as_object(problem)
                    raise AnsweredError(0, str(told.get("message") or problem))
                return as_object(frame.get("result"))

    def _serve(self, frame: dict[str, Any]) -> None:
        """Answer a request; take note of a notification."""
        method, params = frame.get("method"), as_object(frame.get("params"))
        if frame.get("id") is None:
            if method == "session/update" and "toolCallId" in as_object(params.get("update")):
                self._guard.note(as_object(params.get("update")))
            return
        try:
            self._wire.send(id=frame["id"], result=self._guard.answer(str(method), params))
        except AnsweredError as problem:
            self._wire.send(id=frame["id"], error={"code": problem.code, "message": str(problem)})


def main() -> int:
    """Read the request, play the turn, leave no agent behind."""
    head, _, prompt = sys.stdin.buffer.read().partition(b"\n")
    request = json.loads(head)
    wire = None
    try:
        wire = Wire(request["command"], request["cwd"])
        return Turn(request, prompt.decode("utf-8", "replace"), wire).run()
    except FailedError as problem:
        tell("failed", cause=problem.cause, message=str(problem))
    except AnsweredError:
        pass  # the agent's own frame says why
    except GoneError:
        code = wire.leave() if wire else 0
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        tell("failed", cause="crash", message=f"The agent left in the middle: {how}.")
    finally:
        if wire:
            wire.leave()
    return 1


if __name__ == "__main__":
    sys.exit(main())
