"""Adapters by name: a built-in table first, then entry points of other packages."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from muster.model.errors import NotFoundError

BUILT_IN: dict[str, dict[str, str]] = {
    "muster.agents": {
        "acp": "muster.agents.acp:AcpAgent",
        "claude": "muster.agents.claude:ClaudeAgent",
        "codex": "muster.agents.codex:CodexAgent",
        "command": "muster.agents.command:CommandAgent",
        "gemini": "muster.agents.gemini:GeminiAgent",
        "opencode": "muster.agents.opencode:OpenCodeAgent",
        "pi": "muster.agents.pi:PiAgent",
        "scripted": "muster.agents.scripted:ScriptedAgent",
    },
    "muster.exporters": {
        "textfile": "muster.telemetry.textfile:TextfileExporter",
        "otlp": "muster.telemetry.otlp:OtlpExporter",
        "otlp-json": "muster.telemetry.otlp:OtlpJsonExporter",
    },
}


def names(group: str) -> tuple[str, ...]:
    """Every adapter's name in a group, built-in ones first."""
    found = entry_points(group=group)
    return tuple(dict.fromkeys((*BUILT_IN.get(group, {}), *sorted(found.names))))


def find(group: str, name: str) -> Any:
    """Import an adapter's class; a built-in one cannot be replaced by another package.

    Raises:
        NotFoundError: there is none of this name.
    """
    target = BUILT_IN.get(group, {}).get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=group):
        if point.name == name:
            return point.load()
    raise NotFoundError(
        f"There is no {group.partition('.')[2].rstrip('s')} {name!r}; known: {', '.join(names(group))}."
    )
