"""The journal's entries as a JSON Schema, and what a change of it would break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from muster.model.journal.entries import SCHEMA_VERSION, Entry, event_types

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def events_schema() -> dict[str, Any]:
    """One entry as a JSON Schema: the envelope, and for each known ``type`` what its ``data`` holds.

    >>> events_schema()["$defs"]["TaskSucceeded"]["required"]
    ['task']
    """
    types = event_types()
    (envelope, *events), parts = msgspec.json.schema_components([Entry, *types.values()], ref_template="#/$defs/{name}")
    rules = [
        {"if": {"properties": {"type": {"const": name}}}, "then": {"properties": {"data": event}}}
        for name, event in zip(types, events, strict=True)
    ]
    schema = {
        "$schema": _DIALECT,
        "title": f"Entry of a Muster journal, version {SCHEMA_VERSION}",
        "description": "Readers keep types and fields that they do not know: later releases add some.",
        "allOf": [envelope, *rules],
        "$defs": parts,
    }
    # As a reader of the file sees it: lists, not tuples.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    return plain


def breaks(published: dict[str, Any], current: dict[str, Any]) -> tuple[str, ...]:
    """What journals of the ``published`` schema may hold that ``current`` cannot read; empty for mere additions.

    >>> old = {"$defs": {"A": {"properties": {"x": {"type": "string"}}, "required": ["x"]}}}
    >>> breaks(old, {"$defs": {"A": {"properties": {"x": {"type": "integer"}, "y": {}}, "required": ["x", "y"]}}})
    ('A: y is newly required', 'A.x changed')
    """
    return (*_lost_types(published, current), *_lost_parts(published["$defs"], current["$defs"]))


def _lost_types(published: dict[str, Any], current: dict[str, Any]) -> Iterator[str]:
    before, after = _data_of(published), _data_of(current)
    for name, data in before.items():
        if name not in after:
            yield f"{name} is gone"
        elif after[name] != data:
            yield f"{name} means something else"


def _data_of(schema: dict[str, Any]) -> dict[str, Any]:
    rules = [rule for rule in schema.get("allOf", ()) if "if" in rule]
    return {rule["if"]["properties"]["type"]["const"]: rule["then"]["properties"]["data"] for rule in rules}


def _lost_parts(published: dict[str, Any], current: dict[str, Any]) -> Iterator[str]:
    for name, before in published.items():
        after = current.get(name)
        if after is None:
            yield f"{name} is gone"
            continue
        for value in before.get("enum", ()):
            if value not in after.get("enum", ()):
                yield f"{name}: {value!r} is gone"
        for field in after.get("required", ()):
            if field not in before.get("required", ()):
                yield f"{name}: {field} is newly required"
        for field, meaning in before.get("properties", {}).items():
            if field not in after.get("properties", {}):
                yield f"{name}.{field} is gone"
            elif not _reads(after["properties"][field], meaning):
                yield f"{name}.{field} changed"


def _reads(after: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether ``after`` takes every value of ``before`` for the same: it is equal, or one more alternative."""
    if after == before:
        return True
    choices = after.get("anyOf", ())
    same_default = "default" not in before or after.get("default") == before["default"]
    bare = {key: value for key, value in before.items() if key != "default"}
    return same_default and all(choice in choices for choice in bare.get("anyOf", [bare]))
