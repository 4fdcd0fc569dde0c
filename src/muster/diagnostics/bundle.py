"""A run as one file: gathered without secrets, looked at without being believed, kept apart from other runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from muster.diagnostics.archive import (
    EVENTS,
    MANIFEST,
    MAX_BYTES,
    MAX_MEMBERS,
    Bundle,
    Manifest,
    read_archive,
    unpack,
    write_archive,
)
from muster.diagnostics.imported import IMPORTED, TAG, Imported, imported_runs
from muster.diagnostics.page import page
from muster.model.attempts import Receipt
from muster.model.errors import ConflictError, InputError, MusterError, RefusedError
from muster.model.ids import attempt_folder
from muster.model.journal.entries import Entry
from muster.model.plan import FileRef, Plan
from muster.model.planning.plan_writer import format_plan
from muster.model.quantities import format_size
from muster.model.redaction import Redactor
from muster.model.running.evolve import fold
from muster.model.running.state import RunState, TaskStatus, replace
from muster.model.views.costs import charges, spent_by
from muster.pipeline.artefacts import BRIEF, read_artefact
from muster.reports.markdown import report
from muster.telemetry.mirror import line_of
from muster.wiring.kit import Kit
from muster.wiring.parts import repository_of
from muster.workspaces.repository import Repository

INDEX, PLAN, PATCH = "index.html", "plan.md", "diffs/run.patch"
# The end of a transcript says how it went.
_MOST_TRANSCRIPT = 4 * 1024 * 1024


class _Gathered:
    """Files of a bundle so far, and what had to be left out."""

    def __init__(self, redact: Redactor) -> None:
        self.files: dict[str, bytes] = {}
        self.left_out: dict[str, str] = {}
        self._redact = redact
        self._room = MAX_BYTES // 2

    def add(self, name: str, data: bytes | str) -> None:
        """Take a file without its secrets, if there is room."""
        clean = self._redact(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data)
        if len(clean) > self._room or len(self.files) >= MAX_MEMBERS - 2:
            self.left_out[name] = f"{format_size(len(clean))} do not fit any more"
            return
        self._room -= len(clean)
        self.files[name] = clean

    def add_end(self, name: str, place: Path) -> None:
        """Take the end of a file that a process wrote, if it is there and no link."""
        try:
            with os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - _MOST_TRANSCRIPT))
                data = file.read(_MOST_TRANSCRIPT)
        except OSError:
            return
        if size > _MOST_TRANSCRIPT:
            # The first line may begin in the middle of a secret.
            data = b"[the beginning is left out]\n" + data.partition(b"\n")[2]
        if data:
            self.add(name, data)


async def export_bundle(kit: Kit, run: str, place: Path, redact: Redactor) -> Manifest:
    """Write everything about a run into one file; the same run gives the same bytes.

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    found = _Gathered(redact)
    lines = [line_of(entry, redact) for entry in await kit.store.read(run)]
    found.files[EVENTS] = b"".join(lines)
    # From here on all comes from what was redacted.
    entries = tuple(msgspec.json.decode(line, type=Entry) for line in lines)
    state = fold(run, entries)
    found.add("report.md", report(state))
    found.add("costs.json", _json(spent_by(charges(entries), "task")))
    found.add("receipts.json", _json([_receipt_row(entry, one) for entry in entries for one in _receipts(entry)]))
    _add_plan(found, kit, state)
    await _add_diffs(found, await repository_of(kit), state)
    for task, each in state.tasks.items():
        for attempt in each.attempts:
            name = attempt_folder(task, attempt.number)
            for file in ("stdin.log", "stdout.log", "stderr.log", "answer.md"):
                found.add_end(f"transcripts/{name}/{file}", kit.folder(run) / name / file)
    found.files[INDEX] = render(state, entries, found.files)
    return write_archive(place, run, found.files, found.left_out)


def open_bundle(place: Path, folder: Path) -> RunState:
    """Check a bundle and unpack it into a folder; its page is made anew, as a stranger's could hold anything.

    Raises:
        MusterError: see `read_archive`.
    """
    bundle = read_archive(place)
    state, index = _believed(bundle)
    _unpack(bundle, index, folder)
    return state


def import_bundle(kit: Kit, place: Path) -> tuple[Imported, bool]:
    """Keep a bundle beside the project's own runs; says also whether it was there already.

    Raises:
        ConflictError: another bundle of this run was imported before.
        MusterError: see `read_archive`.
    """
    bundle = read_archive(place)
    state, index = _believed(bundle)
    root = kit.project / IMPORTED
    if root.is_symlink():
        raise RefusedError(f"{root} is a symbolic link; it is not followed.", hint=f"rm {root}")
    tag = Imported(
        run=state.run,
        slug=printable(state.accepted.slug),
        title=printable(state.accepted.title),
        tasks=len(state.tasks),
        done=state.count(TaskStatus.DONE),
        started_at=state.started_at,
        imported_at=kit.clock.now(),
        sha256=sha256(msgspec.json.encode(bundle.manifest)).hexdigest(),
    )
    for known in imported_runs(kit.project):
        if known.run == tag.run:
            if known.sha256 != tag.sha256:
                raise ConflictError(f"Another bundle of run {tag.run} was imported.", hint=f"rm -r {root / tag.run}")
            return known, True
    root.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".new-", ignore_cleanup_errors=True) as fresh:
        _unpack(bundle, index, Path(fresh) / "run" / "bundle")
        (Path(fresh) / "run" / TAG).write_bytes(msgspec.json.encode(tag))
        (Path(fresh) / "run").rename(root / tag.run)
    return tag, False


def printable(text: str) -> str:
    """A stranger's text without what a terminal would obey.

    >>> printable("a" + chr(27) + "[2Jb")
    'a�[2Jb'
    """
    return "".join(each if each.isprintable() or each == "\n" else "�" for each in text)


def render(state: RunState, entries: tuple[Entry, ...], files: Mapping[str, bytes]) -> bytes:
    """The page of a run, from its entries and the files beside it."""
    texts = {"Plan": PLAN, "What changed": PATCH}
    shown = {title: files.get(name, b"").decode("utf-8", "replace") for title, name in texts.items()}
    sizes = {name: len(data) for name, data in files.items() if name not in (INDEX, MANIFEST)}
    return page(state, entries, spent_by(charges(entries), "task"), shown, sizes).encode("utf-8", "replace")


def _believed(bundle: Bundle) -> tuple[RunState, bytes]:
    """The run that the entries tell, and its page.

    Raises:
        InputError: anybody can make a chain of hashes, and this one tells no run.
    """
    try:
        state = fold(bundle.manifest.run, bundle.entries)
        return state, render(state, bundle.entries, bundle.files)
    except (LookupError, ValueError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise InputError(f"The bundle's entries tell no run: {type(error).__name__}: {error}.") from error


def _unpack(bundle: Bundle, index: bytes, folder: Path) -> None:
    unpack({**bundle.files, MANIFEST: msgspec.json.encode(bundle.manifest), INDEX: index}, folder)


def _add_plan(found: _Gathered, kit: Kit, state: RunState) -> None:
    """The plan as it was accepted, and the brief."""
    accepted, folder = state.accepted, kit.folder(state.run)
    tasks = []
    for entry in state.tasks.values():
        prompt = _referred(folder, entry.task.prompt_ref)
        tasks.append(replace(entry.task, prompt=prompt.decode("utf-8", "replace")) if prompt else entry.task)
    try:
        found.add(PLAN, format_plan(Plan(slug=accepted.slug, title=accepted.title, tasks=tuple(tasks))))
    except MusterError as error:
        found.left_out[PLAN] = error.message
    brief = _referred(folder, accepted.brief)
    with suppress(MusterError):
        brief = brief or read_artefact(kit.project, accepted.slug, BRIEF) or b""
    if brief:
        found.add(BRIEF, brief)


def _referred(folder: Path, ref: FileRef | None) -> bytes:
    """A file of the run, if it still is what the journal says; nothing otherwise."""
    try:
        data = (folder / ref.path).read_bytes() if ref is not None else b""
    except OSError:
        return b""
    return data if ref is not None and sha256(data).hexdigest() == ref.sha256 else b""


async def _add_diffs(found: _Gathered, repository: Repository, state: RunState) -> None:
    wanted = {PATCH: (state.accepted.base, state.integration)}
    for task, entry in state.tasks.items():
        for attempt in entry.attempts:
            if attempt.commit:
                wanted[f"diffs/{attempt_folder(task, attempt.number)}.patch"] = (attempt.base, attempt.commit)
    for name, (base, commit) in wanted.items():
        try:
            found.add(name, await repository.diff(base, commit))
        except MusterError as error:
            found.left_out[name] = error.message.splitlines()[0]


def _receipts(entry: Entry) -> tuple[Receipt, ...]:
    return getattr(entry.event, "receipts", ())


def _receipt_row(entry: Entry, receipt: Receipt) -> dict[str, Any]:
    task = getattr(entry.event, "task", "")
    return {"seq": entry.seq, "at": entry.at, "event": entry.type, "task": task, "receipt": receipt}


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
