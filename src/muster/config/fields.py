"""The settings as a table: which keys exist, what each may hold and what it is for."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from muster.config.settings import AgentSettings, AgentsSettings, Settings

AGENT_NAME = r"^[A-Za-z0-9_-]{1,40}$"
ANY_AGENT = "<name>"

_NUMBERS = {int: "a whole number", float: "a number"}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: its dotted key, Python type, what is allowed in words, default, help and variable."""

    key: str
    type: Any
    allowed: str
    default: Any
    help: str
    env: str
    trust: str

    @property
    def is_of_agent(self) -> bool:
        """Whether the key holds an agent's name."""
        return f".{ANY_AGENT}." in self.key

    def read(self, value: Any, *, text: bool = False) -> Any:
        """The value as its type; ``text`` says that it comes from an environment variable.

        Raises:
            msgspec.ValidationError: it is not allowed.
        """
        if text and get_origin(self.type.__origin__) is tuple:
            value = [part.strip() for part in value.split(",") if part.strip()]
        return msgspec.convert(value, self.type, strict=not text)

    def needs_trust(self, value: Any) -> bool:
        """Whether a project file may set this value, as `read` returned it, only in a trusted repository.

        >>> field("worktree.link").needs_trust(("node_modules",)), field("worktree.link").needs_trust(("../keys",))
        (False, True)
        """
        if value == self.default:
            return False
        if self.trust == "outside":
            paths = (value,) if isinstance(value, str) else value
            return any(path.startswith(("/", "~")) or "$" in path or ".." in path.split("/") for path in paths)
        return self.trust == "always"


def field(key: str) -> Field | None:
    """The setting with this dotted key; an agent's name may be any.

    >>> field("run.gates").allowed, field("agents.kimi.command").key
    ('open, closed or adaptive', 'agents.<name>.command')
    >>> field("run.gate") is None
    True
    """
    parts = key.split(".")
    if len(parts) == 3 and parts[0] == "agents":
        key = f"agents.{ANY_AGENT}.{parts[2]}"
    return _table().get(key)


def fields() -> tuple[Field, ...]:
    """All settings in the order of their declaration."""
    return tuple(_table().values())


def nearest(key: str) -> str:
    """The known key that somebody who wrote ``key`` most likely meant, or an empty text.

    >>> nearest("run.max_paralel"), nearest("gates"), nearest("agents.kimi.comand")
    ('run.max_parallel', 'run.gates', 'agents.kimi.command')
    """
    parts = key.split(".")
    own = parts[1] if len(parts) == 3 and parts[0] == "agents" else ANY_AGENT
    known = [name.replace(ANY_AGENT, own) for name in _table()]
    if close := get_close_matches(key, known, n=1, cutoff=0.75):
        return close[0]
    # Right name, wrong or missing section.
    leaves = {name.rpartition(".")[2]: name for name in reversed(known)}
    close = get_close_matches(parts[-1], leaves, n=1, cutoff=0.6)
    return leaves[close[0]] if close else ""


@cache
def _table() -> dict[str, Field]:
    return {found.key: found for found in _walk(Settings, "")}


def _walk(cls: type[Any], prefix: str) -> Iterator[Field]:
    hints = get_type_hints(cls, include_extras=True)
    for info in msgspec.structs.fields(cls):
        hint, key = hints[info.name], prefix + info.name
        if cls is AgentsSettings and info.name == "named":
            yield from _walk(AgentSettings, f"{prefix}{ANY_AGENT}.")
        elif get_origin(hint) is Annotated:
            yield _field(key, hint, info.default if info.default is not msgspec.NODEFAULT else info.default_factory())
        else:
            yield from _walk(hint, f"{key}.")


def _field(key: str, hint: Any, default: Any) -> Field:
    base, meta = get_args(hint)
    extra = meta.extra or {}
    settable = ANY_AGENT not in key
    return Field(
        key=key,
        type=hint,
        allowed=extra.get("allowed") or _allowed(base, meta),
        default=default,
        help=meta.description,
        env=extra.get("env", "MUSTER_" + key.upper().replace(".", "_")) if settable else "",
        trust=extra.get("trust", ""),
    )


def _allowed(base: Any, meta: msgspec.Meta) -> str:
    if get_origin(base) is Literal:
        return _either([str(value) for value in get_args(base)])
    if isinstance(base, type) and issubclass(base, enum.Enum):
        return _either([member.value for member in base])
    if base in _NUMBERS:
        return f"{_NUMBERS[base]} from {meta.ge} to {meta.le}"
    if base is bool:
        return "true or false"
    if base is str:
        return "a text" if meta.min_length is None else "a text that is not empty"
    return "a table of texts" if get_origin(base) is dict else "a list of texts"


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
