"""The four protocols of model providers, as far as coding agents speak them: reading requests, writing answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol
from uuid import uuid4

from tests.live.model_script import Said, Turn

# The one key that is taken; not a secret.
KEY = "dummy-key-for-the-scripted-model"
# What each answer claims to have cost: input with the cached part in it, output with the reasoning in it.
INPUT, CACHED, OUTPUT, REASONING = 1000, 600, 50, 10
RETRY_AFTER_S = 1

Json = dict[str, Any]


class Wire(Protocol):
    """One protocol: what a request says, and an answer as frames of a stream or as one object."""

    name: str

    def conversation(self, body: Json) -> Iterable[Said]: ...
    def tools(self, body: Json) -> dict[str, Json]: ...
    def stream(self, turn: Turn, model: str) -> Iterator[bytes]: ...
    def whole(self, turn: Turn, model: str) -> Json: ...
    def error(self, status: int, model: str) -> Json: ...


def frame(data: object, event: str = "") -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def words(text: str) -> list[str]:
    """A text in the pieces in which a model says it."""
    return [word + " " for word in text.split(" ")][:-1] + text.split(" ")[-1:]


def text_in(content: object, *kinds: str) -> str:
    """The text of a content that is a string or a list of typed blocks."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(one.get("text", "")) for one in blocks if isinstance(one, dict) and one.get("type") in kinds)


class Anthropic:
    """Messages."""

    name = "anthropic"
    _errors: Mapping[int, tuple[str, str]] = {
        401: ("authentication_error", "invalid x-api-key"),
        404: ("not_found_error", "model: {model}"),
        429: ("rate_limit_error", "This request would exceed your rate limit."),
        500: ("api_error", "Internal server error"),
    }

    def conversation(self, body: Json) -> Iterable[Said]:
        for message in body.get("messages", ()):
            content = message.get("content")
            if message.get("role") == "assistant":
                yield Said("model", "")
                continue
            for block in content if isinstance(content, list) else ():
                if block.get("type") == "tool_result":
                    yield Said("tool", "")
            if text := text_in(content, "text"):
                yield Said("user", text)

    def tools(self, body: Json) -> dict[str, Json]:
        return {one["name"]: one.get("input_schema", {}) for one in body.get("tools", ())}

    def _usage(self) -> Json:
        fresh = {"input_tokens": INPUT - CACHED, "cache_creation_input_tokens": 0, "cache_read_input_tokens": CACHED}
        return {**fresh, "output_tokens": OUTPUT}

    def whole(self, turn: Turn, model: str) -> Json:
        content: list[Json] = [{"type": "text", "text": turn.text}]
        if turn.call:
            called = {"id": f"toolu_{uuid4().hex[:20]}", "name": turn.call.tool, "input": turn.call.arguments}
            content.append({"type": "tool_use", **called})
        return {
            "id": f"msg_{uuid4().hex[:20]}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": "tool_use" if turn.call else "end_turn",
            "stop_sequence": None,
            "usage": self._usage(),
        }

    def stream(self, turn: Turn, model: str) -> Iterator[bytes]:
        def said(kind: str, **data: object) -> bytes:
            return frame({"type": kind, **data}, kind)

        whole = self.whole(turn, model)
        yield said(
            "message_start",
            message={**whole, "content": [], "stop_reason": None, "usage": {**self._usage(), "output_tokens": 1}},
        )
        for index, block in enumerate(whole["content"]):
            if block["type"] == "text":
                yield said("content_block_start", index=index, content_block={"type": "text", "text": ""})
                for word in words(block["text"]):
                    yield said("content_block_delta", index=index, delta={"type": "text_delta", "text": word})
            else:
                yield said("content_block_start", index=index, content_block={**block, "input": {}})
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
                yield said("content_block_delta", index=index, delta=delta)
            yield said("content_block_stop", index=index)
        ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield said("message_delta", delta=ended, usage={"output_tokens": OUTPUT})
        yield said("message_stop")

    def error(self, status: int, model: str) -> Json:
        kind, message = self._errors[status]
        return {"type": "error", "error": {"type": kind, "message": message.format(model=model)}}


class _OpenAi:
    """What Responses and Chat Completions have in common."""

    _errors: Mapping[int, tuple[str, str | None, str]] = {
        401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
        404: ("invalid_request_error", "model_not_found", "The model `{model}` does not exist."),
        429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
        500: ("server_error", None, "The server had an error while processing your request."),
    }

    def error(self, status: int, model: str) -> Json:
        kind, code, message = self._errors[status]
        return {"error": {"type": kind, "code": code, "param": None, "message": message.format(model=model)}}


class Responses(_OpenAi):
    """OpenAI Responses."""

    name = "responses"

    def conversation(self, body: Json) -> Iterable[Said]:
        told = body.get("input")
        if isinstance(told, str):
            yield Said("user", told)
            return
        for item in told or ():
            kind = item.get("type", "message")
            if kind in ("function_call_output", "custom_tool_call_output"):
                yield Said("tool", "")
            elif kind == "message" and item.get("role") == "user":
                yield Said("user", text_in(item.get("content"), "input_text", "text"))

    def tools(self, body: Json) -> dict[str, Json]:
        functions = [one for one in body.get("tools", ()) if one.get("type") == "function"]
        return {one["name"]: one.get("parameters") or {} for one in functions}

    def _items(self, turn: Turn) -> list[Json]:
        part = {"type": "output_text", "text": turn.text, "annotations": []}
        told = {"type": "message", "id": f"msg_{uuid4().hex[:16]}", "role": "assistant", "status": "completed"}
        items: list[Json] = [{**told, "content": [part]}]
        if turn.call:
            called = {"name": turn.call.tool, "arguments": json.dumps(turn.call.arguments)}
            ids = {"id": f"fc_{uuid4().hex[:16]}", "call_id": f"call_{uuid4().hex[:16]}", "status": "completed"}
            items.append({"type": "function_call", **ids, **called})
        return items

    def whole(self, turn: Turn, model: str) -> Json:
        usage = {
            "input_tokens": INPUT,
            "input_tokens_details": {"cached_tokens": CACHED},
            "output_tokens": OUTPUT,
            "output_tokens_details": {"reasoning_tokens": REASONING},
            "total_tokens": INPUT + OUTPUT,
        }
        head = {"id": f"resp_{uuid4().hex[:16]}", "object": "response", "created_at": 0, "model": model}
        return {**head, "status": "completed", "output": self._items(turn), "usage": usage}

    def stream(self, turn: Turn, model: str) -> Iterator[bytes]:
        def said(kind: str, **data: object) -> bytes:
            return frame({"type": kind, **data}, kind)

        whole = self.whole(turn, model)
        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        yield said("response.created", response=begun)
        for index, item in enumerate(whole["output"]):
            if item["type"] == "message":
                at = {"item_id": item["id"], "output_index": index, "content_index": 0}
                (part,) = item["content"]
                empty = {**item, "status": "in_progress", "content": []}
                yield said("response.output_item.added", output_index=index, item=empty)
                yield said("response.content_part.added", **at, part={**part, "text": ""})
                for word in words(part["text"]):
                    yield said("response.output_text.delta", **at, delta=word)
                yield said("response.output_text.done", **at, text=part["text"])
                yield said("response.content_part.done", **at, part=part)
            else:
                at = {"item_id": item["id"], "output_index": index}
                yield said("response.output_item.added", output_index=index, item={**item, "arguments": ""})
                yield said("response.function_call_arguments.delta", **at, delta=item["arguments"])
                yield said("response.function_call_arguments.done", **at, arguments=item["arguments"])
            yield said("response.output_item.done", output_index=index, item=item)
        yield said("response.completed", response=whole)


class Chat(_OpenAi):
    """OpenAI Chat Completions."""

    name = "chat"

    def conversation(self, body: Json) -> Iterable[Said]:
        for message in body.get("messages", ()):
            match message.get("role"):
                case "tool":
                    yield Said("tool", "")
                case "assistant":
                    yield Said("model", "")
                case "user":
                    yield Said("user", text_in(message.get("content"), "text"))

    def tools(self, body: Json) -> dict[str, Json]:
        functions = [one["function"] for one in body.get("tools") or () if one.get("type") == "function"]
        return {one["name"]: one.get("parameters") or {} for one in functions}

    def _usage(self) -> Json:
        return {
            "prompt_tokens": INPUT,
            "completion_tokens": OUTPUT,
            "total_tokens": INPUT + OUTPUT,
            "prompt_tokens_details": {"cached_tokens": CACHED},
            "completion_tokens_details": {"reasoning_tokens": REASONING},
        }

    def _head(self, kind: str, model: str) -> Json:
        return {"id": f"chatcmpl-{uuid4().hex[:16]}", "object": kind, "created": 0, "model": model}

    def _calls(self, turn: Turn) -> list[Json]:
        if not turn.call:
            return []
        function = {"name": turn.call.tool, "arguments": json.dumps(turn.call.arguments)}
        return [{"index": 0, "id": f"call_{uuid4().hex[:16]}", "type": "function", "function": function}]

    def whole(self, turn: Turn, model: str) -> Json:
        message: Json = {"role": "assistant", "content": turn.text}
        if calls := self._calls(turn):
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return {**self._head("chat.completion", model), "choices": [choice], "usage": self._usage()}

    def stream(self, turn: Turn, model: str) -> Iterator[bytes]:
        head = self._head("chat.completion.chunk", model)

        def said(delta: Json, reason: str | None = None) -> bytes:
            return frame({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

        yield said({"role": "assistant", "content": ""})
        for word in words(turn.text):
            yield said({"content": word})
        if calls := self._calls(turn):
            yield said({"tool_calls": calls})
        yield said({}, "tool_calls" if calls else "stop")
        yield frame({**head, "choices": [], "usage": self._usage()})
        yield frame("[DONE]")


class Gemini:
    """Gemini's generateContent."""

    name = "gemini"
    _errors: Mapping[int, tuple[str, str]] = {
        401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
        404: ("NOT_FOUND", "models/{model} is not found for API version v1beta."),
        429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        500: ("INTERNAL", "An internal error has occurred."),
    }

    def conversation(self, body: Json) -> Iterable[Said]:
        for content in body.get("contents", ()):
            parts = content.get("parts", ())
            if content.get("role") == "model":
                yield Said("model", "")
                continue
            for part in parts:
                if "functionResponse" in part:
                    yield Said("tool", "")
            if text := "\n".join(str(part["text"]) for part in parts if "text" in part):
                yield Said("user", text)

    def tools(self, body: Json) -> dict[str, Json]:
        declared = [one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]
        return {one["name"]: one.get("parametersJsonSchema") or one.get("parameters") or {} for one in declared}

    def _answer(self, parts: list[Json], model: str, *, last: bool) -> Json:
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
        answer: Json = {"candidates": [candidate], "modelVersion": model}
        if last:
            candidate["finishReason"] = "STOP"
            answer["usageMetadata"] = {
                "promptTokenCount": INPUT,
                "cachedContentTokenCount": CACHED,
                "thoughtsTokenCount": REASONING,
                "candidatesTokenCount": OUTPUT - REASONING,
                "totalTokenCount": INPUT + OUTPUT,
            }
        return answer

    def _call(self, turn: Turn) -> list[Json]:
        return [{"functionCall": {"name": turn.call.tool, "args": turn.call.arguments}}] if turn.call else []

    def whole(self, turn: Turn, model: str) -> Json:
        return self._answer([{"text": turn.text}, *self._call(turn)], model, last=True)

    def stream(self, turn: Turn, model: str) -> Iterator[bytes]:
        spoken = words(turn.text)
        for word in spoken[:-1]:
            yield frame(self._answer([{"text": word}], model, last=False))
        yield frame(self._answer([{"text": spoken[-1]}, *self._call(turn)], model, last=True))

    def error(self, status: int, model: str) -> Json:
        name, message = self._errors[status]
        error: Json = {"code": status, "status": name, "message": message.format(model=model)}
        if status == 429:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            error["details"] = [{"@type": kind, "retryDelay": f"{RETRY_AFTER_S}s"}]
        return {"error": error}
