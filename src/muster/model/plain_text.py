"""Text of programs as people may be shown it: without what a terminal would obey."""

from __future__ import annotations

import re

# Escape sequences as ECMA-48 writes them: control sequences, strings up to their end, and single functions.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def plain_text(text: str) -> str:
    r"""The text without colours, titles and whatever else moves a terminal; lines and tabs stay.

    >>> plain_text("\x1b[31mred\x1b[0m, \x1b]0;title\x07and a bell\x07\r\nnext\tcolumn")
    'red, and a bell\ufffd\nnext\tcolumn'
    """
    if text.isprintable():
        return text
    return _CONTROL.sub("\ufffd", _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))
