"""What files, environment and flags say, each value with the place it was given at."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from muster.config.fields import fields
from muster.config.resolve import Layer, LayerKind, flatten
from muster.model.errors import InputError

MAX_BYTES = 1024 * 1024

_TABLE = re.compile(r"\s*\[\s*([^\[\]#]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\-\"' ]+?)\s*=")


def file_layer(kind: LayerKind, path: Path, name: str) -> Layer:
    """The values of a settings file, each with its line; a file that is not there has none."""
    text = read_text(path, name)
    if text is None:
        return Layer(kind=kind)
    try:
        values = flatten(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: this is not TOML: {error}.") from None
    lines = _lines(text)
    return Layer(kind=kind, values=values, labels={key: _at(name, lines.get(key)) for key in values})


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The values of ``MUSTER_*`` variables; an empty one counts as not set.

    >>> layer = environment_layer({"MUSTER_RUN_GATES": "open", "MUSTER_PROFILE": "", "HOME": "/"})
    >>> layer.values, layer.label("run.gates")
    ({'run.gates': 'open'}, 'env MUSTER_RUN_GATES')

    Raises:
        InputError: a variable looks like a setting but is none.
    """
    known = {found.env: found.key for found in fields() if found.env}
    sections = tuple({f"MUSTER_{key.partition('.')[0].upper()}_" for key in known.values() if "." in key})
    values: dict[str, Any] = {}
    for name in sorted(name for name, text in environ.items() if name.startswith("MUSTER_") and text):
        if name in known:
            values[known[name]] = _utf8(environ[name], f"env {name}")
        else:
            # Other variables with our prefix are not settings, unless they look like one that was misspelt.
            close = get_close_matches(name, known, n=1, cutoff=0.8)
            if close or name.startswith(sections):
                nearest = f" The nearest known name is {close[0]}." if close else ""
                raise InputError(f"env {name}: there is no such setting.{nearest}", hint="All: muster config show")
    labels = {key: f"env {name}" for name, key in known.items() if key in values}
    return Layer(kind=LayerKind.ENVIRONMENT, values=values, labels=labels)


def flag_layer(flags: Mapping[str, tuple[str, Any]]) -> Layer:
    """The values of flags that were given."""
    given = {flag: pair for flag, pair in flags.items() if pair[1] is not None}
    return Layer(
        kind=LayerKind.FLAG,
        values=dict(given.values()),
        labels={key: f"flag {flag}" for flag, (key, _) in given.items()},
    )


def read_text(path: Path, name: str) -> str | None:
    """The text of a small file that a person wrote; None when it is not there.

    Raises:
        InputError: it cannot be read, is no plain file, larger than 1 MiB or not UTF-8.
    """
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise InputError(f"{name}: this is not a file.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}.") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: larger than 1 MiB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}).") from None


def _utf8(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name}: not UTF-8.") from None
    return text


def _at(name: str, line: int | None) -> str:
    return f"{name}:{line}" if line else name


def _lines(text: str) -> dict[str, int]:
    """The line of each key; good enough for messages, as the parser itself keeps no positions."""
    lines: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if table := _TABLE.match(line):
            prefix = _plain(table[1]) + "."
            lines.setdefault(prefix[:-1], number)
        elif key := _KEY.match(line):
            lines.setdefault(prefix + _plain(key[1]), number)
    return lines


def _plain(dotted: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in dotted.split("."))
