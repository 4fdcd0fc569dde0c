"""Reviews as plain data with every key, and without what must not be shown."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import msgspec

from muster.model.findings import Review


def plain(value: Any, clean: Callable[[str], str] = str) -> Any:
    """Records as mappings with all their keys, also those at their default: a program should not have to guess."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name), clean) for name in value.__struct_fields__}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [plain(item, clean) for item in value]
    return value


def sealed(review: Review, redact: Callable[[str], str]) -> Review:
    """The review as it may leave the program: no secrets, and only text that every format can carry."""
    return msgspec.convert(plain(review, lambda text: redact(storable(text))), Review)


def storable(text: str) -> str:
    r"""A text whose bytes that are no UTF-8 are written as escapes, so that names stay distinct and can be stored.

    >>> storable("caf\udce9.txt")
    'caf\\xe9.txt'
    """
    if "\0" in text:
        text = text.replace("\0", "\\0")
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if _odd(text) else text


def _odd(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text)
