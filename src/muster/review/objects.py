"""Reads a repository's objects so that no attribute, configuration, replacement or driver changes what is seen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import anyio

from muster import process
from muster.model.errors import EnvironmentProblem, TooMuchOutput

_EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
_GITLINK = "160000"
# One file's text, and all texts of a review together; what is larger is listed and not read.
LARGEST_BLOB = 4 * 1024 * 1024
_LARGEST_BATCH = 48 * 1024 * 1024
_DIFF = ("diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none")
_ENV = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


def borrowing(store: Path, loose: Path | None) -> dict[str, str]:
    """The environment in which git writes objects into an empty folder and finds those of a store beside them."""
    if loose is None:
        return {}
    (loose / "info").mkdir(exist_ok=True)
    (loose / "info/alternates").write_bytes(os.fsencode(store) + b"\n")
    return {"GIT_OBJECT_DIRECTORY": str(loose)}


class Objects:
    """The objects of a repository seen through an empty one: only ids and trees, nothing that could bend them.

    A git folder of our own borrows the repository's object store. It has no
    configuration, attributes, grafts, replacements or work tree, so that
    neither the branch nor a setting can hide a line.
    """

    def __init__(self, store: Path, object_format: str, loose: Path | None = None) -> None:
        self._store = store
        self._objects = loose or store
        self._sha256 = object_format == "sha256"
        self._folder = ""
        self.empty_tree = _EMPTY_TREES[object_format]

    def __enter__(self) -> Objects:
        self._folder = tempfile.mkdtemp(prefix="muster-review-")
        for name in ("objects", "refs"):
            os.mkdir(f"{self._folder}/{name}")  # noqa: PTH102
        form = "[core]\nrepositoryformatversion = 1\nbare = true\nquotePath = false\nattributesFile = /dev/null\n"
        if self._sha256:
            form += "[extensions]\nobjectFormat = sha256\n"
        for name, text in (("HEAD", "ref: refs/heads/none\n"), ("config", form)):
            Path(self._folder, name).write_text(text)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _git(
        self, *args: str, stdin: bytes = b"", codes: tuple[int, ...] = (0,), env: Mapping[str, str] | None = None
    ) -> bytes:
        environment = {
            **_ENV,
            **(env or {}),
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_DIR": self._folder,
            "GIT_OBJECT_DIRECTORY": str(self._objects),
            "GIT_SHALLOW_FILE": str(self._store.parent / "shallow"),
        }
        done = await process.run(
            ["git", *args], cwd=(env or {}).get("GIT_WORK_TREE", self._folder), env=environment, stdin=stdin
        )
        if done.code not in codes:
            said = done.stderr.decode("utf-8", "replace").strip()
            # A partial clone fetches what it lacks as soon as git itself needs it; here nothing opens a connection.
            hint = "A partial clone: git log -p REF.. > /dev/null" if "unable to read" in said else ""
            raise EnvironmentProblem(f"git {args[0]} cannot read the repository: {said[-300:]}", hint=hint)
        return done.stdout

    async def listing(self, before: str, after: str) -> bytes:
        """What ``--raw --numstat -z`` says of a range; renames are found."""
        return await self._git(*_DIFF, "--raw", "--no-abbrev", "--numstat", "-z", before, after)

    async def patch(self, before: str, after: str) -> bytes:
        """The patch of a range, byte for byte what ``git diff`` prints by default.

        Raises:
            TooMuchOutput: it is larger than any review.
        """
        return await self._git(*_DIFF, "-p", before, after)

    async def differing(self, before: str, after: str) -> frozenset[str]:
        """The paths that two trees do not share."""
        said = await self._git("diff-tree", "-r", "-z", "--name-only", before, after)
        return frozenset(said.decode("utf-8", "surrogateescape").split("\0")) - {""}

    async def tree(self, tree: str) -> dict[str, str]:
        """The blobs of a tree by their path; submodules are left out."""
        said = (await self._git("ls-tree", "-r", "-z", tree)).decode("utf-8", "surrogateescape")
        rows = (row.partition("\t") for row in said.split("\0") if row)
        return {path: facts.split(" ")[2] for facts, _, path in rows if not facts.startswith(_GITLINK)}

    async def export(self, tree: str, folder: Path) -> None:
        """Write the files of a tree into a new folder, as they are stored: no filter, no line-end conversion."""
        await anyio.to_thread.run_sync(folder.mkdir)
        at = {"GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": f"{self._folder}/index"}
        for args in (("read-tree", tree), ("checkout-index", "--all", "--force")):
            await self._git("-c", "core.bare=false", *args, env=at)

    async def grep(self, tree: str, pattern: str, places: Sequence[str]) -> tuple[str, ...]:
        """The files of a tree in which a POSIX extended pattern is found."""
        said = await self._git("grep", "-l", "-z", "-I", "-E", "-e", pattern, tree, "--", *places, codes=(0, 1))
        names = said.decode("utf-8", "surrogateescape").split("\0")
        return tuple(name.partition(":")[2] for name in names if name)

    async def history(self, before: str, after: str, limit: int) -> bytes:
        """The patches of the newest commits of a range against their first parents, each after a ``commit`` line."""
        return await self._git(
            *("log", "--first-parent", "-m", f"-{limit}", "-p", "-M", "--no-ext-diff", "--no-textconv", "--no-color"),
            *("--format=commit %H %P%x09%s", after, *([f"^{before}"] if before else [])),
        )

    async def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """The contents of blobs; one that is missing or too large is left out."""
        wanted = sorted(set(ids) - {""})
        try:
            found = await self._contents(wanted)
        except TooMuchOutput:
            found = await self._contents(await self._small(wanted))
        return {name: data for name, data in found.items() if len(data) <= LARGEST_BLOB}

    async def _small(self, ids: Sequence[str]) -> list[str]:
        """Those that fit into memory together, without the largest."""
        said = await self._git("cat-file", "--batch-check", stdin="\n".join(ids).encode() + b"\n")
        chosen, total = [], 0
        for line in said.decode().splitlines():
            name, kind, *size = line.split(" ")
            if kind == "blob" and int(size[0]) <= LARGEST_BLOB and total + int(size[0]) <= _LARGEST_BATCH:
                total += int(size[0])
                chosen.append(name)
        return chosen

    async def _contents(self, ids: Sequence[str]) -> dict[str, bytes]:
        if not ids:
            return {}
        said = await self._git("cat-file", "--batch", "--buffer", stdin="\n".join(ids).encode() + b"\n")
        found: dict[str, bytes] = {}
        at = 0
        while (end := said.find(b"\n", at)) >= 0:
            name, kind, *size = said[at:end].decode().split(" ")
            if kind == "missing":
                at = end + 1
                continue
            if kind != "blob":
                raise EnvironmentProblem(f"git says that {name} is a {kind} and not a blob.")
            found[name] = said[end + 1 : end + 1 + int(size[0])]
            at = end + 2 + int(size[0])
        return found
