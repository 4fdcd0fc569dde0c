"""How tasks and files are named in refs, folders and reports."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from muster.model.errors import InputError

NAMESPACE = "refs/muster"
_RESERVED = frozenset({"integration", "start"})
_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
_UNESCAPES = {letter: code for code, letter in _ESCAPES.items()}
_QUOTED = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)


def component(name: str) -> str:
    """Write a run or task id so that git takes it in a ref and no folder is special.

    Ids have no percent sign, so that two ids never get the same name.

    >>> component("T1.a"), component(".."), component("a.lock"), component("integration")
    ('T1.a', '%2E%2E', 'a%2Elock', '%69ntegration')
    """
    if name in _RESERVED:
        return f"%{ord(name[0]):02X}{name[1:]}"
    name = name.replace("..", ".%2E")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if name.endswith("."):
        name = name[:-1] + "%2E"
    return name.removesuffix(".lock") + "%2Elock" if name.endswith(".lock") else name


def integration_ref(run: str) -> str:
    """The ref where a run's merged work is."""
    return f"{NAMESPACE}/{component(run)}/integration"


def start_ref(run: str) -> str:
    """The ref that keeps the commit a run began from."""
    return f"{NAMESPACE}/{component(run)}/start"


def attempt_ref(run: str, task: str, attempt: int) -> str:
    """The ref that keeps what an attempt left."""
    return f"{NAMESPACE}/{component(run)}/{component(task)}/{attempt}"


def salvage_ref(run: str, task: str, attempt: int) -> str:
    """The ref that keeps work that would have been lost; a second one gets ``-2`` and so on."""
    return f"{NAMESPACE}/salvage/{component(run)}/{component(task)}/{attempt}"


def own_refs(run: str) -> tuple[str, str]:
    """The folders of all refs that only this run writes."""
    return f"{NAMESPACE}/{component(run)}", f"{NAMESPACE}/salvage/{component(run)}"


def shown(path: bytes) -> str:
    r"""Write a file's name as text: as it is, or quoted like git does when it is not UTF-8.

    >>> shown("Grüße\n".encode()), shown(b"caf\xe9"), shown(b'"')
    ('Grüße\n', '"caf\\351"', '"\\""')
    """
    try:
        text = path.decode()
    except UnicodeDecodeError:
        pass
    else:
        if not text.startswith('"'):
            return text
    return '"' + "".join(_escaped(byte) for byte in path) + '"'


def _escaped(byte: int) -> str:
    if byte in _ESCAPES:
        return "\\" + _ESCAPES[byte]
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"


def raw(path: str) -> bytes:
    r"""The bytes of a name that `shown` wrote.

    >>> raw(shown(b"caf\xe9 \x01\\")) == b"caf\xe9 \x01\\"
    True
    """
    if len(path) < 2 or not (path.startswith('"') and path.endswith('"')):
        return path.encode(errors="surrogateescape")

    def value(found: re.Match[str]) -> str:
        code = found.group(1)
        return chr(int(code, 8) if len(code) == 3 else _UNESCAPES.get(code, ord(code)))

    return _QUOTED.sub(value, path[1:-1]).encode("latin-1")


def inside(path: str, what: str) -> str:
    """A relative path that stays below the project, in its plain form.

    Raises:
        InputError: it is absolute, empty or leads out.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or ".git" in pure.parts:
        raise InputError(f"{what}: {path!r} must be a path below the project, without '..' and '.git'.")
    return str(pure)
