"""From layers of given values to one value of settings that remembers where each came from."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from muster.config.fields import AGENT_NAME, Field, field, fields, nearest
from muster.config.settings import Settings
from muster.model.errors import InputError, RefusedError
from muster.model.record import Record

# Whoever knows one of these can post in somebody's name.
_SECRET = frozenset({"notify.webhook"})
# What the journal takes in one entry.
_MOST_GIVEN = 100


class LayerKind(enum.Enum):
    """Where values come from, lowest first."""

    DEFAULT = "default"
    USER = "user"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class Source(Record, frozen=True):
    """Where one value was given, in words for a person: ``muster.toml:3``, ``flag --gates``."""

    kind: LayerKind
    label: str


class Layer(Record, frozen=True):
    """Values of one kind by dotted key; ``labels`` says where each was given."""

    kind: LayerKind
    values: dict[str, Any] = {}
    labels: dict[str, str] = {}

    def label(self, key: str) -> str:
        """Where this value was given, or the kind of the layer when nobody said."""
        return self.labels.get(key, self.kind.value)


class Ignored(Record, frozen=True):
    """A value that was not taken, because the repository is not trusted."""

    key: str
    label: str


class Resolved(Record, frozen=True):
    """The settings, the source of each that could be given, and what was ignored for want of trust."""

    settings: Settings = Settings()
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    ignored: tuple[Ignored, ...] = ()

    def required(self) -> Settings:
        """The settings, when all that was asked for could be taken.

        Raises:
            RefusedError: a project file asks for something that needs trust.
        """
        if self.ignored:
            first = self.ignored[0]
            more = f" (and {len(self.ignored) - 1} more)" if len(self.ignored) > 1 else ""
            raise RefusedError(
                f"{first.label}: {first.key}{more} may run code or show secrets, and this repository is not trusted.",
                hint="Read the file, then: muster trust",
            )
        return self.settings

    def given(self) -> tuple[dict[str, str], dict[str, str]]:
        """Values and sources of what is not a default, as text for the journal; a secret one is only named."""
        keys = [key for key, source in self.sources.items() if source.kind is not LayerKind.DEFAULT][:_MOST_GIVEN]
        values = {key: "***" if key in _SECRET else _short(show(self.values[key])) for key in keys}
        return values, {key: _short(self.sources[key].label) for key in keys}


DEFAULT = Source(kind=LayerKind.DEFAULT, label="default")


def resolve(layers: Sequence[Layer], *, trusted: bool = False) -> Resolved:
    """Lay the layers over the defaults; a later layer wins.

    Without trust, values of a project file that could run code or let secrets
    out are left out and named in ``ignored``.

    >>> user = Layer(kind=LayerKind.USER, values={"run.gates": "closed", "run.max_parallel": 2})
    >>> flags = Layer(kind=LayerKind.FLAG, values={"run.gates": "open"}, labels={"run.gates": "flag --gates"})
    >>> resolved = resolve([user, flags])
    >>> resolved.settings.run.gates.value, resolved.settings.run.max_parallel, resolved.sources["run.gates"].label
    ('open', 2, 'flag --gates')

    Raises:
        InputError: a key is unknown or its value is not allowed, in any layer.
    """
    values: dict[str, Any] = {found.key: found.default for found in fields() if found.env}
    sources = dict.fromkeys(values, DEFAULT)
    ignored: list[Ignored] = []
    for layer in layers:
        for key, given in layer.values.items():
            known, value = _read(layer, key, given)
            if layer.kind is LayerKind.PROJECT and not trusted and known.needs_trust(value):
                ignored.append(Ignored(key=key, label=layer.label(key)))
            else:
                values[key], sources[key] = value, Source(kind=layer.kind, label=layer.label(key))
    return Resolved(settings=_settings(values), values=values, sources=sources, ignored=tuple(ignored))


def trust_relevant(layer: Layer) -> dict[str, str]:
    """The values of a project file that need trust, as text."""
    read = {key: _read(layer, key, given) for key, given in layer.values.items()}
    return {key: show(value) for key, (known, value) in read.items() if known.needs_trust(value)}


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as dotted keys; a setting that is a table itself stays whole.

    >>> flatten({"run": {"gates": "open"}, "agents": {"kimi": {"models": {"opus": "kimi-k3"}}}})
    {'run.gates': 'open', 'agents.kimi.models': {'opus': 'kimi-k3'}}
    """
    return dict(_flatten(table, ""))


def show(value: Any) -> str:
    """A value as it is written in a settings file.

    >>> show(("a", "b")), show(True), show("x"), show(5.0), show({"opus": "k3"})
    ('["a", "b"]', 'true', '"x"', '5.0', '{"opus": "k3"}')
    """
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _flatten(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, Mapping) and field(key) is None:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value


def _read(layer: Layer, key: str, given: Any) -> tuple[Field, Any]:
    where, known = layer.label(key), field(key)
    if known is None:
        raise InputError(f"{where}: {_unknown(key)}", hint="All settings: muster config show")
    parts = key.split(".")
    if known.is_of_agent and not re.fullmatch(AGENT_NAME, parts[1]):
        raise InputError(f"{where}: the agent's name {parts[1]!r} must match {AGENT_NAME}.")
    try:
        return known, known.read(given, text=layer.kind is LayerKind.ENVIRONMENT)
    except msgspec.ValidationError as error:
        detail = f" ({error})" if "`$" in str(error) else ""
        raise InputError(f"{where}: {key} is {_short(repr(given))}, but must be {known.allowed}{detail}.") from None


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "…"


def _unknown(key: str) -> str:
    sections = {found.key.rpartition(".")[0] for found in fields()}
    if key in sections:
        return f"{key!r} is a section: it holds settings and is no setting itself."
    close = nearest(key)
    return f"unknown setting {key!r}." + (f" The nearest known name is {close!r}." if close else "")


def _settings(values: Mapping[str, Any]) -> Settings:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        if sections[:1] == ["agents"] and len(sections) == 2:
            sections = ["agents", "named", sections[1]]
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return msgspec.convert(nested, Settings)
