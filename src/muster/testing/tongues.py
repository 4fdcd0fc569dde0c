"""The scripted agent's program in the words of another one, as a stand-in where no model may be asked.

`tongues.py DIALECT [ARGUMENT …]` takes the arguments that the real program would get, and heeds only the
session in them. The prompt is a script. A session and what it has used are kept in the folder that SCRIPTED_SESSIONS
names; without one every earlier session is lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

# It is run by its path, so that nobody's PYTHONPATH matters; afterwards the standard library comes first again.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from muster.agents import scripted_player as player

sys.path.pop(0)

Told = dict[str, Any]
MODEL = "scripted"
_STATUS = {"auth": 401, "invalid_model": 404, "rate_limit": 429, "server": 500, "overloaded": 529}
# What names an earlier session, and what a new one; pi goes on with a session or begins it.
_RESUMES = {"acp": "resume", "claude": "--resume", "codex": "resume", "gemini": "--resume", "opencode": "-s", "pi": ""}
_BEGINS = "--session-id"
_GONE = {"claude": 1, "codex": 1, "gemini": 42, "opencode": 1}


class Session:
    """The session that the arguments ask for, and its counters: of this turn, and with all turns before."""

    def __init__(self, dialect: str, args: list[str]) -> None:
        flag = next((one for one in args if one in (_RESUMES[dialect], _BEGINS)), "")
        self.id = args[args.index(flag) + 1] if flag else str(uuid.uuid4())
        self.turn = {"input": 0, "output": 0, "cost_usd": 0.0}
        self.failed: str | None = None
        self.texts: list[str] = []
        self.tools = 0
        folder = os.environ.get("SCRIPTED_SESSIONS")
        self._file = Path(folder) / f"{dialect}-{self.id}.json" if folder else None
        self.known = bool(self._file and self._file.exists())
        self.lost = flag not in ("", _BEGINS) and not self.known
        self.before = json.loads(self._file.read_text()) if self._file and self.known else dict.fromkeys(self.turn, 0)

    @property
    def total(self) -> Told:
        """What the session has used by now."""
        return {name: self.before[name] + value for name, value in self.turn.items()}

    def use(self, told: Told) -> None:
        """Count what a step says that it used."""
        for name in self.turn:
            self.turn[name] += told.get(name) or 0
        self.keep()

    def keep(self) -> None:
        """Let the next start find it."""
        if self._file:
            self._file.write_text(json.dumps(self.total))


def _claude(session: Session, told: Told) -> Iterator[Told]:
    match told["type"]:
        case "session":
            yield {"type": "system", "subtype": "init", "session_id": session.id, "model": MODEL}
        case "text" | "thought":
            block = {"text": told["text"]} if told["type"] == "text" else {"thinking": told["text"]}
            yield _said({"type": "text" if "text" in block else "thinking", **block})
        case "tool":
            yield _said({"type": "tool_use", "id": f"t{session.tools}", "name": told["name"], "input": {}})
            block = {"type": "tool_result", "tool_use_id": f"t{session.tools}", "content": told.get("text", "")}
            yield {"type": "user", "message": {"content": [block | {"is_error": told.get("ok") is False}]}}
        case "result":
            turn, total = session.turn, session.total
            reason = "aborted_tools" if session.failed == "cancelled" else "completed"
            by_model = {"inputTokens": total["input"], "outputTokens": total["output"], "costUSD": total["cost_usd"]}
            yield {
                "type": "result",
                "subtype": "success",
                "terminal_reason": reason,
                "is_error": session.failed is not None,
                "session_id": session.id,
                "result": told.get("message") or "".join(session.texts[-1:]),
                "usage": {"input_tokens": turn["input"], "output_tokens": turn["output"]},
                "modelUsage": {MODEL: by_model},
                "total_cost_usd": total["cost_usd"],
                **({"api_error_status": _STATUS.get(session.failed)} if session.failed else {}),
            }
        case _:
            pass


def _said(block: Told) -> Told:
    message = {"id": uuid.uuid4().hex, "model": MODEL, "content": [block]}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None}


def _codex(session: Session, told: Told) -> Iterator[Told]:
    match told["type"]:
        case "session":
            yield {"type": "thread.started", "thread_id": session.id}
            yield {"type": "turn.started"}
        case "text" | "thought":
            kind = "agent_message" if told["type"] == "text" else "reasoning"
            yield {"type": "item.completed", "item": {"id": uuid.uuid4().hex, "type": kind, "text": told["text"]}}
        case "tool":
            item = {"id": f"i{session.tools}", "type": "command_execution", "command": told["name"]}
            item |= {"aggregated_output": told.get("text", ""), "exit_code": int(told.get("ok") is False)}
            yield {"type": "item.completed", "item": {**item, "status": "completed"}}
        case "result" if session.failed is not None:
            status = _STATUS.get(session.failed)
            said = f"unexpected status {status} It failed: {told['message']}" if status else "Fatal error: it failed"
            yield {"type": "turn.failed", "error": {"message": said}}
        case "result":
            total = session.total
            used = {"input_tokens": total["input"], "cached_input_tokens": 0, "output_tokens": total["output"]}
            yield {"type": "turn.completed", "usage": used}
        case _:
            pass


def _gemini(session: Session, told: Told) -> Iterator[Told]:
    match told["type"]:
        case "session":
            yield {"type": "init", "session_id": session.id, "model": MODEL}
        case "text":
            yield {"type": "message", "role": "assistant", "content": told["text"]}
        case "tool":
            call = {"tool_id": f"t{session.tools}"}
            yield {"type": "tool_use", "tool_name": told["name"], **call}
            status = "error" if told.get("ok") is False else "success"
            yield {"type": "tool_result", "status": status, "output": told.get("text", ""), **call}
        case "result":
            turn = session.turn
            stats: Told = {"input_tokens": turn["input"], "output_tokens": turn["output"], "cached": 0}
            stats |= {"total_tokens": turn["input"] + turn["output"]}
            stats |= {"models": {MODEL: {"total_tokens": stats["total_tokens"]}}}
            error = {"code": _STATUS.get(session.failed or ""), "message": told.get("message", "")}
            failed = {"error": {"type": "Error", "message": json.dumps({"error": error})}}
            yield {
                "type": "result",
                "status": "success" if session.failed is None else "error",
                "stats": stats,
                **({} if session.failed is None else failed),
            }
        case _:
            pass


def _opencode(session: Session, told: Told) -> Iterator[Told]:
    match told["type"]:
        case "session":
            yield _part(session, "step_start")
        case "text" | "thought":
            yield _part(session, "text" if told["type"] == "text" else "reasoning", text=told["text"])
        case "tool":
            state = {"status": "error" if told.get("ok") is False else "completed", "output": told.get("text", "")}
            yield _part(session, "tool_use", tool=told["name"], callID=f"t{session.tools}", state=state)
        case "result" if session.failed is not None:
            data = {"statusCode": _STATUS.get(session.failed), "message": told.get("message", "")}
            yield {"type": "error", "sessionID": session.id, "error": {"name": "APIError", "data": data}}
        case "result":
            turn = session.turn
            tokens = {"input": turn["input"], "output": turn["output"], "reasoning": 0}
            yield _part(session, "step_finish", reason="stop", tokens=tokens, cost=turn["cost_usd"])
        case _:
            pass


def _part(session: Session, kind: str, **part: object) -> Told:
    return {"type": kind, "sessionID": session.id, "part": {"id": uuid.uuid4().hex, **part}}


def _pi(session: Session, told: Told) -> Iterator[Told]:
    turn = session.turn
    match told["type"]:
        case "session":
            yield {"type": "session", "version": 3, "id": session.id}
            yield {"type": "agent_start"}
        case "text" | "thought":
            block = {"text": told["text"]} if told["type"] == "text" else {"thinking": told["text"]}
            content = [{"type": "text" if "text" in block else "thinking", **block}]
            message = {"role": "assistant", "stopReason": "toolUse", "model": MODEL, "content": content}
            yield {"type": "message_end", "message": message}
        case "tool":
            call = {"toolCallId": f"t{session.tools}", "toolName": told["name"]}
            yield {"type": "tool_execution_start", **call}
            content = [{"type": "text", "text": told.get("text", "")}]
            ended = {"result": {"content": content}, "isError": told.get("ok") is False}
            yield {"type": "tool_execution_end", **call, **ended}
        case "result":
            used = {"input": turn["input"], "output": turn["output"], "cost": {"total": turn["cost_usd"]}}
            last: Told = {"role": "assistant", "stopReason": "stop", "model": MODEL, "content": [], "usage": used}
            if session.failed is not None:
                status = _STATUS.get(session.failed, "")
                last |= {"stopReason": "error", "errorMessage": f"{status}: {told.get('message', '')}"}
            yield {"type": "message_end", "message": last}
            yield {"type": "agent_end", "messages": [last]}
            yield {"type": "agent_settled"}
        case _:
            pass


def _acp(session: Session, told: Told) -> Iterator[Told]:
    match told["type"]:
        case "text" | "thought":
            kind = "agent_message_chunk" if told["type"] == "text" else "agent_thought_chunk"
            text = {"type": "text", "text": told["text"]}
            yield _update(session, sessionUpdate=kind, messageId=uuid.uuid4().hex, content=text)
        case "tool":
            call = {"toolCallId": f"t{session.tools}", "title": told["name"], "kind": "other"}
            yield _update(session, sessionUpdate="tool_call", status="pending", **call)
            status = "failed" if told.get("ok") is False else "completed"
            content = [{"type": "content", "content": {"type": "text", "text": told.get("text", "")}}]
            yield _update(session, sessionUpdate="tool_call_update", status=status, content=content, **call)
        case "result":
            if session.total["cost_usd"]:
                cost = {"amount": session.total["cost_usd"], "currency": "USD"}
                yield _update(session, sessionUpdate="usage_update", used=1, size=2, cost=cost)
            turn = session.turn
            used = {"inputTokens": turn["input"], "outputTokens": turn["output"]}
            used |= {"totalTokens": turn["input"] + turn["output"]}
            if session.failed is None:
                yield {"id": _asked["prompt"], "result": {"stopReason": "end_turn", "usage": used}}
            else:
                data = {"status": _STATUS.get(session.failed)}
                error = {"code": -32603, "message": told.get("message", ""), "data": data}
                yield {"id": _asked["prompt"], "error": error}
        case _:
            pass


def _update(session: Session, **update: object) -> Told:
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": session.id, "update": update}}


_TONGUES: dict[str, Callable[[Session, Told], Iterator[Told]]] = {
    "acp": _acp,
    "claude": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "opencode": _opencode,
    "pi": _pi,
}
_asked: dict[str, Any] = {}


def _prompted(session: Session) -> str:
    """Go through an ACP handshake to the prompt."""
    for line in sys.stdin:
        frame = json.loads(line)
        params, answer = frame.get("params") or {}, {"id": frame.get("id"), "result": {}}
        match frame.get("method"):
            case "initialize":
                able: Told = {"sessionCapabilities": {"resume": {}}}
                answer["result"] = {"protocolVersion": 1, "agentCapabilities": able}
            case "session/resume":
                earlier = Session("acp", ["resume", params["sessionId"]])
                if earlier.lost:
                    answer = {"id": frame["id"], "error": {"code": -32002, "message": "Resource not found"}}
                else:
                    session.__dict__.update(earlier.__dict__)
            case "session/new":
                answer["result"] = {"sessionId": session.id}
            case "session/prompt":
                _asked["prompt"] = frame["id"]
                return str(params["prompt"][0]["text"])
            case _:
                pass
        player.write_line({"jsonrpc": "2.0", **answer})
    raise SystemExit(0)


def main() -> NoReturn:
    """Read the script and play it in the dialect that the first argument names."""
    dialect, *args = sys.argv[1:]
    if "--version" in args:
        player.write_out(b"1.0.0 (scripted)\n")
        player.leave(0)
    tongue, session = _TONGUES[dialect], Session(dialect, args)
    if session.lost and dialect in _GONE:
        sys.stderr.write(f"There is no session {session.id}.\n")
        sys.stderr.flush()
        player.leave(_GONE[dialect])

    def speak(told: Told) -> None:
        match told["type"]:
            case "text":
                session.texts.append(told["text"])
            case "tool":
                session.tools += 1
            case "usage":
                session.use(told)
            case "result" if told.get("ok") is not True:
                session.failed = str(told.get("class"))
            case _:
                pass
        for line in tongue(session, told):
            player.write_line(line)

    def interrupted(*_: object) -> NoReturn:
        speak({"type": "result", "ok": False, "class": "cancelled"})
        player.leave(0)

    if dialect == "claude":
        signal.signal(signal.SIGINT, interrupted)
    player.speak = speak
    text = _prompted(session) if dialect == "acp" else sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    session.keep()
    player.Player().play(text)


if __name__ == "__main__":
    main()
