"""The base of every value that is stored, sent or read."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen value; equal when its fields are equal.

    Unknown fields are ignored when a record is decoded, so that an older
    program can read what a newer one wrote.
    """


class StrictRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A frozen value that a person writes: a key it does not know is an error."""
