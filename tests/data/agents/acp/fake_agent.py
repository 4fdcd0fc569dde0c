"""An ACP agent without a model: its prompt is a JSON list of steps, each told as a real agent would.

Run as `fake_agent.py LOG [word …]`: LOG gets a line of JSON for each thing that it is sent; words change what it is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LOG, WORDS = Path(sys.argv[1]), sys.argv[2:]
MODES = {"currentModeId": "ask", "availableModes": [{"id": "ask"}, {"id": "plan"}, {"id": "yolo"}]}
OPTIONS = [
    {
        "id": "model",
        "category": "model",
        "type": "select",
        "currentValue": "small",
        "options": [{"group": "all", "options": [{"value": "small"}, {"value": "big"}]}],
    },
    {
        "id": "effort",
        "category": "thought_level",
        "type": "select",
        "currentValue": "low",
        "options": [{"value": "low"}, {"value": "high"}],
    },
]
USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}


def send(**frame: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **frame}) + "\n")
    sys.stdout.flush()


def receive() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        note({"eof": True})
        while "clingy" in WORDS:
            time.sleep(60)
        sys.exit(0)
    frame: dict[str, Any] = json.loads(line)
    note(frame)
    return frame


def note(frame: object) -> None:
    with LOG.open("a") as log:
        log.write(json.dumps(frame) + "\n")


def update(what: str, /, **more: object) -> None:
    send(method="session/update", params={"sessionId": "s-1", "update": {"sessionUpdate": what, **more}})


def request(method: str, params: dict[str, Any]) -> dict[str, Any]:
    send(id=f"r-{method}", method=method, params={"sessionId": "s-1", **params})
    return receive()


def ask(step: dict[str, Any]) -> str:
    """Ask for permission and say what came: the id of the option, or `cancelled`."""
    options = [{"optionId": f"id-{kind}", "name": kind, "kind": kind} for kind in step.pop("options", ALL)]
    outcome = request("session/request_permission", {"toolCall": step, "options": options})["result"]["outcome"]
    return str(outcome.get("optionId", outcome["outcome"]))


ALL = ("allow_always", "allow_once", "reject_always", "reject_once")


def play(steps: list[dict[str, Any]], prompt_id: object) -> None:
    stop, usage = "end_turn", USAGE
    for step in steps:
        ((word, given),) = step.items()
        match word:
            case "say":
                update("agent_message_chunk", content={"type": "text", "text": given})
            case "tool":
                update("tool_call", toolCallId=given, title=given, kind="edit", status="pending")
                update("tool_call_update", toolCallId=given, status="completed")
            case "ask":
                update(
                    "agent_message_chunk", messageId=os.urandom(4).hex(), content={"type": "text", "text": ask(given)}
                )
            case "read" | "write":
                answer = request(f"fs/{word}_text_file", given)
                told = answer["error"]["message"] if "error" in answer else json.dumps(answer["result"])
                update("agent_message_chunk", messageId=os.urandom(4).hex(), content={"type": "text", "text": told})
            case "call":
                request(given, {})
            case "noise":
                sys.stdout.write(given + "\n")
            case "raw":
                sys.stdout.buffer.write(bytes(given))
            case "flood":
                sys.stdout.write("x" * given + "\n")
            case "daemon":
                subprocess.Popen(["sleep", "300"], start_new_session=True)
            case "exit":
                sys.stderr.write("these are my last words\n")
                os._exit(given)
            case "kill":
                os.kill(os.getpid(), given)
            case "error":
                send(id=prompt_id, error=given)
                return
            case "stop":
                stop = given
            case "usage":
                usage = given
            case "hang":
                while receive().get("method") != "session/cancel":
                    pass
                ask(given)
                stop = "cancelled"
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    time.sleep(60)
    send(id=prompt_id, result={"stopReason": stop, "usage": usage})


def main() -> None:
    if "noisy" in WORDS:
        sys.stdout.write("Loading…\n{not json\n\n[]\n")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in WORDS else signal.SIG_DFL)
    while True:
        frame = receive()
        method, id_, params = frame.get("method"), frame.get("id"), frame.get("params") or {}
        match method:
            case "initialize":
                able = {
                    "loadSession": "load" in WORDS,
                    "sessionCapabilities": {"resume": {}} if "resume" in WORDS else {},
                }
                send(id=id_, result={"protocolVersion": 2 if "v2" in WORDS else 1, "agentCapabilities": able})
            case "session/new" if "login" in WORDS:
                send(id=id_, error={"code": -32000, "message": "Authentication required"})
            case "session/new":
                send(id=id_, result={"sessionId": "s-1", "modes": MODES, "configOptions": OPTIONS})
            case "session/load" | "session/resume" if "forgetful" in WORDS:
                send(id=id_, error={"code": -32002, "message": "Resource not found"})
            case "session/load":
                update("agent_message_chunk", content={"type": "text", "text": "what I said before"})
                update("usage_update", used=1, size=2, cost={"amount": 1.0, "currency": "USD"})
                send(id=id_, result={})
            case "session/prompt":
                play(json.loads(params["prompt"][0]["text"]), id_)
            case _ if id_ is not None and method:
                send(id=id_, result={"configOptions": OPTIONS} if method == "session/set_config_option" else {})


main()
