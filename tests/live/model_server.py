"""A model provider on loopback that does what the prompt's tokens say, in the protocols that coding agents speak.

A prompt holds ``[[s:job]]`` (see `model_script.SCRIPTS`) or ``[[s:run]] [[run:command]]``, and may hold a fault:
``[[fault:429]]`` for ever, ``[[fault:cut@2x1]]`` once at the third answer. Kinds are 401, 404, 429, 500, cut, stall.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.live.model_script import SIDE, Fault, Step, fault_of, steps_of, turn_of, workdir_of
from tests.live.model_wires import INPUT, KEY, RETRY_AFTER_S, Anthropic, Chat, Gemini, Json, Responses, Wire

_GEMINI = re.compile(r".*/models/([^/:]+):(streamGenerateContent|generateContent|countTokens)")
_REASONS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass(frozen=True)
class Asked:
    """One request for an answer: what it wanted, which step of which script it got, and what went wrong."""

    wire: str
    path: str
    model: str
    script: str
    step: int
    fault: str
    tools: tuple[str, ...]
    workdir: str
    headers: dict[str, str]
    body: Json = field(repr=False)


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Json


class ModelServer:
    """Listens on a random port of loopback in a thread of its own while it is entered."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.was_asked = threading.Event()
        self.unknown: list[str] = []
        self.port = 0
        self._healed = False
        self._given: Counter[str] = Counter()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="scripted model")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, script: str) -> list[Asked]:
        """The requests of conversations that follow a script; what a program asks on the side is left out."""
        return [one for one in self.asked if one.script == script and one.tools]

    def heal(self) -> None:
        """From now on nothing goes wrong any more."""
        self._healed = True

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 26)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (request := await _read(reader)) is not None and await self._answer(request, reader, writer):
                pass
        writer.close()

    async def _answer(self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer; returns whether the connection may be used again."""
        path = request.path.partition("?")[0]
        gemini = _GEMINI.fullmatch(path)
        model = gemini[1] if gemini else str(request.body.get("model", ""))
        wire: Wire
        streams = bool(request.body.get("stream"))
        match gemini[2] if gemini else path.rstrip("/"):
            case "streamGenerateContent" | "generateContent" as method:
                wire, streams = Gemini(), method == "streamGenerateContent"
            case "/v1/messages":
                wire = Anthropic()
            case "/v1/responses":
                wire = Responses()
            case "/v1/chat/completions":
                wire = Chat()
            case "countTokens":
                return await _send(writer, 200, {"totalTokens": INPUT})
            case "/v1/messages/count_tokens":
                return await _send(writer, 200, {"input_tokens": INPUT})
            case "/v1/models":
                return await _send(writer, 200, {"object": "list", "data": [{"id": "scripted-1", "object": "model"}]})
            case _:
                self.unknown.append(f"{request.method} {path}")
                return await _send(writer, 404, {"error": {"message": f"There is no {path} here."}})
        asked, step, fault = self._decide(wire, request, model)
        if not any(KEY in request.headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key")):
            return await _send(writer, 401, wire.error(401, model))
        self.asked.append(asked)
        self.was_asked.set()
        match fault.kind if fault else "":
            case "401" | "404" | "429" | "500" as status:
                return await _send(writer, int(status), wire.error(int(status), model))
            case "cut" | "stall" | "" as how:
                turn = turn_of(step, wire.tools(request.body), asked.workdir)
                if streams:
                    return await _stream(reader, writer, list(wire.stream(turn, model)), how)
                return await _whole(reader, writer, wire.whole(turn, model), how)
            case other:
                raise ValueError(f"There is no fault {other!r}.")

    def _decide(self, wire: Wire, request: _Request, model: str) -> tuple[Asked, Step, Fault | None]:
        body = request.body
        script, steps, done, text = steps_of(list(wire.conversation(body)))
        tools = wire.tools(body)
        # Without tools it asks on the side, for a title or a summary.
        step = steps[min(done, len(steps) - 1)] if tools else SIDE
        fault = Fault("404") if "no-such" in model else fault_of(text)
        if fault is not None and (self._healed or fault.at > done or (fault.times is not None and not tools)):
            fault = None
        if fault is not None and fault.times is not None:
            self._given[text] += 1
            if self._given[text] > fault.times:
                fault = None
        asked = Asked(
            wire=wire.name,
            path=request.path,
            model=model,
            script=script,
            step=done,
            fault=fault.kind if fault else "",
            tools=tuple(tools),
            workdir=workdir_of("\n".join(_texts(body))),
            headers=request.headers,
            body=body,
        )
        return asked, step, fault


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([part async for part in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length") or 0))
    told = json.loads(body) if body.strip() else {}
    return _Request(method, path, headers, told if isinstance(told, dict) else {})


async def _chunks(reader: asyncio.StreamReader):  # type: ignore[no-untyped-def]
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")


async def _send(writer: asyncio.StreamWriter, status: int, body: Json) -> bool:
    data = json.dumps(body).encode()
    more = f"retry-after: {RETRY_AFTER_S}\r\n" if status == 429 else ""
    writer.write(_head(status, f"content-type: application/json\r\ncontent-length: {len(data)}\r\n{more}") + data)
    await writer.drain()
    return True


async def _whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Json, how: str) -> bool:
    if not how:
        return await _send(writer, 200, body)
    data = json.dumps(body).encode()
    writer.write(
        _head(200, f"content-type: application/json\r\ncontent-length: {len(data)}\r\n") + data[: len(data) // 2]
    )
    await writer.drain()
    await _wait_until_given_up(reader, how)
    return False


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: list[bytes], how: str) -> bool:
    writer.write(
        _head(200, "content-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n")
    )
    for one in frames[: max(1, len(frames) // 2)] if how else frames:
        writer.write(b"%x\r\n%b\r\n" % (len(one), one))
        await writer.drain()
    if how:
        await _wait_until_given_up(reader, how)
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _wait_until_given_up(reader: asyncio.StreamReader, how: str) -> None:
    if how == "stall":
        await reader.read(1)


def _head(status: int, headers: str) -> bytes:
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}request-id: req_scripted\r\n\r\n".encode()


def _texts(value: object) -> Iterator[str]:
    """All texts of a request, so that nobody has to know in which of them a program says where it works."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
