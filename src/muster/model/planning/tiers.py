"""The model table: what a tier such as ``opus`` is called by the program of each agent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from muster.model.errors import InputError

# Agent or dialect, then tier, then the program's own name; a ``*`` in a tier stands for the same text in the name.
ModelTable = Mapping[str, Mapping[str, str]]

# Agents that do their work without a model, or take any.
MODEL_FREE = frozenset({"command", "scripted"})
# The name becomes an argument, so it must not look like an option.
_NAME = re.compile(r"[A-Za-z0-9*][^\s\x00-\x1f]*")


def read_table(data: Any, file: str) -> ModelTable:
    """Check what a model table file holds.

    >>> read_table({"codex": {"gpt": "gpt-9"}}, "models.yaml")
    {'codex': {'gpt': 'gpt-9'}}

    Raises:
        InputError: naming file, key and what is allowed.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InputError(f"{file}: expected a table from agent to its models.")
    for agent, models in data.items():
        if not isinstance(agent, str) or not isinstance(models, Mapping):
            raise InputError(f"{file}: {shown(agent)}: expected a table from tier to model name.")
        for tier, name in models.items():
            if not isinstance(tier, str) or not isinstance(name, str) or not _NAME.fullmatch(name):
                raise InputError(
                    f"{file}: {agent}.{shown(tier)}: {shown(name)} is no model name; it must match {_NAME.pattern}."
                )
            if name.count("*") > tier.count("*") or tier.count("*") > 1:
                raise InputError(f"{file}: {agent}.{tier}: at most one * in a tier, and in a name only if there too.")
    return {agent: dict(models) for agent, models in data.items()}


def merge_tables(tables: Iterable[ModelTable]) -> ModelTable:
    """One table; of two names for the same agent and tier the later wins.

    >>> merge_tables([{"claude": {"opus": "opus"}}, {"claude": {"opus": "opus-9", "haiku": "haiku"}}])
    {'claude': {'opus': 'opus-9', 'haiku': 'haiku'}}
    """
    merged: dict[str, dict[str, str]] = {}
    for table in tables:
        for agent, models in table.items():
            merged[agent] = {**merged.get(agent, {}), **models}
    return merged


def tiers(table: ModelTable) -> frozenset[str]:
    """All names, some with ``*``, that a profile may use because some agent knows them."""
    return frozenset(tier for models in table.values() for tier in models)


def star(tier: str, model: str) -> str | None:
    """What the ``*`` of a tier stands for in a model; None when the tier is another.

    >>> star("opus-*", "opus-4-1"), star("opus", "opus"), star("opus-*", "opus")
    ('4-1', '', None)
    """
    before, found, after = tier.partition("*")
    if not found:
        return "" if model == tier else None
    inner = len(model) - len(before + after)
    if inner < 1 or not (model.startswith(before) and model.endswith(after)):
        return None
    return model[len(before) : len(before) + inner]


def shown(value: object) -> str:
    """A value from a file in a message; only texts are spelt out, as others may be without end."""
    return repr(value if len(value) <= 60 else value[:60] + "…") if isinstance(value, str) else type(value).__name__


def resolve_model(table: ModelTable, agent: str, model: str, *, dialect: str = "") -> str:
    """The name that the agent's program wants for a profile's model.

    The agent's own entries win over those of its dialect, and a whole tier over one with ``*``.

    >>> table = {"claude": {"opus": "opus", "opus-*": "claude-opus-*"}}
    >>> resolve_model(table, "claude", "opus"), resolve_model(table, "mine", "opus-4-1", dialect="claude")
    ('opus', 'claude-opus-4-1')

    Raises:
        InputError: the agent has no name for it.
    """
    if (dialect or agent) in MODEL_FREE:
        return model
    known: dict[str, str] = {}
    for name in dict.fromkeys((agent, dialect)):
        models = table.get(name, {})
        known |= {tier: models[tier] for tier in models if tier not in known}
        if model in models:
            return models[model]
        for tier, wanted in models.items():
            if (rest := star(tier, model)) is not None:
                return wanted.replace("*", rest)
    allowed = f"it knows {', '.join(sorted(known))}" if known else "it has no models"
    raise InputError(
        f"The agent {agent!r} has no name for the model {model!r}; {allowed}.",
        hint=f'Name it in muster.toml: [agents.{agent}.models] {model} = "…", or choose another profile or agent.',
    )


def resolve_phases(
    table: ModelTable, agent: str, phase_models: Mapping[str, str], *, dialect: str = ""
) -> dict[str, str]:
    """The name that the agent's program wants for each phase; unknown combinations fail before anything starts."""
    return {phase: resolve_model(table, agent, model, dialect=dialect) for phase, model in phase_models.items()}
