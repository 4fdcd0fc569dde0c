"""What an ACP agent may do: its requests are answered within one folder and by one permission."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from muster.agents.acp_lines import tell

# JSON-RPC 2.0 section 5.1; the last is ACP's own.
_UNKNOWN_METHOD, _INVALID_PARAMS, _INTERNAL, _NOT_FOUND = -32601, -32602, -32603, -32002
_HARMLESS = frozenset({"read", "search", "think", "fetch"})  # of ACP's kinds of tools
_PATH_NAMES = ("path", "file_path", "filePath", "filepath", "abs_path", "cwd", "workdir", "directory")


class AnsweredError(Exception):
    """An error as the answer to a request, the agent's to ours or ours to one of its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Known:
    """What an agent has told of one tool call so far."""

    def __init__(self) -> None:
        self.name = ""
        self.kinds: set[str] = set()
        self.paths: set[str] = set()


class Guard:
    """Answers an agent's requests; ``permission`` is read, edit or full."""

    def __init__(self, cwd: Path, permission: str) -> None:
        self._cwd = cwd.resolve()
        self._permission = permission
        self._calls: dict[str, _Known] = {}
        self.stopping = False

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """The result of a request.

        Raises:
            AnsweredError: it is refused, or cannot be done.
        """
        match method:
            case "session/request_permission":
                return {"outcome": self._decide(params)}
            case "fs/read_text_file":
                return {"content": self._read_file(params)}
            case "fs/write_text_file":
                self._write_file(params)
                return {}
            case _:
                raise AnsweredError(_UNKNOWN_METHOD, f"Muster does not offer {method}.")

    def note(self, call: dict[str, Any]) -> _Known:
        """What is known of a tool call, with what is new; a request for permission may name nothing but its id."""
        known = self._calls.setdefault(str(call.get("toolCallId")), _Known())
        known.name = str(call.get("name") or known.name)
        known.kinds.update({str(call["kind"])} if call.get("kind") else ())
        known.paths.update(_paths(call))
        return known

    def _decide(self, params: dict[str, Any]) -> dict[str, Any]:
        call = self.note(as_object(params.get("toolCall")))
        allowed = not self.stopping and (self._permission == "full" or self._covers(call))
        self._tell(call.name or ", ".join(sorted(call.kinds)) or "tool", allowed)
        ways = ("allow_once", "allow_always") if allowed else ("reject_once", "reject_always")
        options = as_list(params.get("options"))
        chosen = next((option for way in ways for option in options if option.get("kind") == way), None)
        if chosen is None or self.stopping:
            return {"outcome": "cancelled"}
        return {"outcome": "selected", "optionId": chosen.get("optionId")}

    def _covers(self, call: _Known) -> bool:
        """Whether the permission is enough; for reading every kind that was told must be harmless."""
        harmless = bool(call.kinds) and call.kinds <= _HARMLESS
        return (harmless or self._permission == "edit") and all(self._inside(path) for path in call.paths)

    def _tell(self, tool: str, allowed: bool) -> None:
        tell("permission", tool=tool, decision="allow" if allowed else "reject", policy=self._permission)

    def _inside(self, path: str) -> Path | None:
        """Where a path leads to, if that is inside the working directory."""
        with suppress(OSError, ValueError, RuntimeError):
            place = (self._cwd / Path(path).expanduser()).resolve()
            return place if place.is_relative_to(self._cwd) else None
        return None

    def _place(self, params: dict[str, Any], tool: str) -> Path:
        """Where the request's path leads to.

        Raises:
            AnsweredError: out of the working directory.
        """
        path = params.get("path")
        place = self._inside(path) if isinstance(path, str) else None
        if place is None:
            self._tell(tool, allowed=False)
            raise AnsweredError(_INVALID_PARAMS, f"{path!r} is not inside {self._cwd}.")
        return place

    def _read_file(self, params: dict[str, Any]) -> str:
        place = self._place(params, "fs/read_text_file")
        try:
            text = place.read_bytes().decode("utf-8")
        except FileNotFoundError:
            raise AnsweredError(_NOT_FOUND, f"Resource not found: {place} does not exist.") from None
        except (OSError, UnicodeDecodeError) as problem:
            raise AnsweredError(_INTERNAL, f"{place} cannot be read as text: {problem}") from problem
        line, limit = params.get("line"), params.get("limit")
        if isinstance(line, int) or isinstance(limit, int):
            first = max(0, line - 1) if isinstance(line, int) else 0
            last = first + max(0, limit) if isinstance(limit, int) else None
            text = "".join(text.splitlines(keepends=True)[first:last])
        return text

    def _write_file(self, params: dict[str, Any]) -> None:
        tool, text = "fs/write_text_file", params.get("content")
        place = self._place(params, tool)
        allowed = self._permission in ("edit", "full") and ".git" not in place.relative_to(self._cwd).parts
        self._tell(tool, allowed)
        if not allowed:
            why = f"Writing {place} is not allowed with permission {self._permission!r}."
            raise AnsweredError(_INVALID_PARAMS, why)
        if not isinstance(text, str):
            raise AnsweredError(_INVALID_PARAMS, "`content` must be a text.")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode("utf-8", "replace"))
        except OSError as problem:
            raise AnsweredError(_INTERNAL, f"{place} cannot be written: {problem}") from problem


def as_object(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[dict[str, Any]]:
    """The objects in a list; none when it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _paths(call: dict[str, Any]) -> set[str]:
    """All paths that a tool call names."""
    places = [one.get("path") for one in (*as_list(call.get("locations")), *as_list(call.get("content")))]
    given = as_object(call.get("rawInput"))
    return {path for path in (*places, *(given.get(name) for name in _PATH_NAMES)) if isinstance(path, str) and path}
