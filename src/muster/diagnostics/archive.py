"""A bundle as a ZIP file: written the same from the same, and believed only after everything in it was checked."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec

from muster import __version__
from muster.model.errors import ConflictError, EnvironmentProblem, InputError, MusterError, RefusedError
from muster.model.journal.entries import GENESIS, Entry, first_broken
from muster.model.quantities import format_size
from muster.model.record import Record

FORMAT, VERSION = "muster-bundle", 1
MANIFEST, EVENTS = "manifest.json", "events.jsonl"
MAX_BYTES = 512 * 1024 * 1024
MAX_MEMBERS = 20_000
# What deflate makes of text is a tenth; a member that promises more than this is a bomb or was made to look like one.
MAX_RATIO = 100
_SMALL = 1024 * 1024
_NAME = re.compile(r"(?:[A-Za-z0-9._-]{1,80}/){0,4}[A-Za-z0-9._-]{1,80}\.(?:jsonl?|md|patch|log)|index\.html")
_RUN = re.compile(r"[0-9a-z]{26}")
# The first moment that the format knows, so that the same content is the same file.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class Member(Record, frozen=True):
    """What a file in a bundle must be."""

    size: int
    sha256: str


class Manifest(Record, frozen=True, omit_defaults=False):
    """All that a bundle holds; ``redacted`` are the entries whose own hash no longer fits, as a secret was taken out.

    ``left_out`` says why something of the run is not there.
    """

    run: str
    entries: int
    head: str
    members: dict[str, Member]
    redacted: tuple[int, ...] = ()
    left_out: dict[str, str] = {}
    muster: str = __version__
    format: str = FORMAT
    version: int = VERSION


class Bundle(Record, frozen=True):
    """A bundle whose every member was checked."""

    manifest: Manifest
    entries: tuple[Entry, ...]
    files: dict[str, bytes]


def write_archive(place: Path, run: str, files: Mapping[str, bytes], left_out: Mapping[str, str]) -> Manifest:
    """Write a bundle in one step, readable by its owner; the same files give the same bytes.

    Raises:
        EnvironmentProblem: the disk is full or read-only.
    """
    entries = read_entries(files[EVENTS])
    manifest = Manifest(
        run=run,
        entries=len(entries),
        head=entries[-1].hash,
        redacted=tuple(entry.seq for entry in entries if first_broken((entry,), entry.prev, entry.seq)),
        members={name: Member(size=len(data), sha256=sha256(data).hexdigest()) for name, data in sorted(files.items())},
        left_out=dict(sorted(left_out.items())),
    )
    shown = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    try:
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                for each, data in [(MANIFEST, shown), *sorted(files.items())]:
                    _add(archive, each, data)
            Path(name).replace(place)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"{place} cannot be written: {error.strerror}.") from error
    return manifest


def read_archive(place: Path) -> Bundle:
    """Read a bundle, unpacking nothing to the disk.

    Raises:
        InputError: it is no bundle.
        RefusedError: it is made to harm: names that lead elsewhere, links, the same name twice, a bomb.
        ConflictError: a hash does not fit.
        EnvironmentProblem: a newer release wrote it.
    """
    with _told(place), zipfile.ZipFile(place) as archive:
        infos = archive.infolist()
        _refuse_hostile(infos)
        files = {info.filename: archive.read(info) for info in infos}
        manifest = _manifest(files.pop(MANIFEST, b""))
    _check_members(manifest, files)
    entries = read_entries(files.get(EVENTS, b""))
    _check_chain(manifest, entries)
    return Bundle(manifest=manifest, entries=entries, files=files)


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a checked bundle into a new folder."""
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)


def read_entries(data: bytes) -> tuple[Entry, ...]:
    """The entries of a bundle.

    Raises:
        InputError: a line is no entry.
    """
    try:
        return tuple(msgspec.json.decode(line, type=Entry) for line in data.splitlines())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{EVENTS} cannot be read: {error}.") from error


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _NO_TIME)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    # What would look like a bomb to a reader is stored as it is.
    tame = len(data) <= _SMALL or len(zlib.compress(data, 6)) * MAX_RATIO > 2 * len(data)
    info.compress_type = zipfile.ZIP_DEFLATED if tame else zipfile.ZIP_STORED
    archive.writestr(info, data, compresslevel=6)


def _refuse_hostile(infos: Iterable[zipfile.ZipInfo]) -> None:
    """Say no to what an archive must not hold, by its table of contents alone.

    Raises:
        RefusedError: naming the member and why.
    """
    seen: set[str] = set()
    total = 0
    for info in infos:
        # As it is in the file: the library shortens what it reads at a NUL.
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        total += info.file_size
        if not _NAME.fullmatch(name) or any(part.strip(".") == "" for part in name.split("/")):
            why = "no name that a bundle has"
        elif kind not in (0, stat.S_IFREG):
            why = "a link or no plain file"
        elif name in seen:
            why = "there twice"
        elif info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            why = "encrypted, or packed in a way that bundles are not"
        elif info.file_size > _SMALL and info.file_size > MAX_RATIO * info.compress_size:
            why = f"a bomb: {info.compress_size} bytes would become {format_size(info.file_size)}"
        elif total > MAX_BYTES or len(seen) >= MAX_MEMBERS:
            why = f"too much: a bundle has at most {format_size(MAX_BYTES)} in {MAX_MEMBERS} files"
        else:
            seen.add(name)
            continue
        raise RefusedError(f"Nothing was unpacked: {name[:100]!r} is {why}.")


def _manifest(data: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"This is no bundle: {MANIFEST} cannot be read: {error}.") from error
    if manifest.format != FORMAT or not _RUN.fullmatch(manifest.run):
        raise InputError(f"This is no bundle: {MANIFEST} names no run.")
    if manifest.version > VERSION:
        raise EnvironmentProblem(
            f"The bundle's format is {manifest.version}; this release reads {VERSION}.", hint="Upgrade Muster."
        )
    return manifest


def _check_members(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    if different := sorted(set(files) ^ set(manifest.members)):
        raise ConflictError(f"{different[0]} is in the manifest or in the bundle, but not in both.")
    for name, data in files.items():
        if manifest.members[name] != Member(size=len(data), sha256=sha256(data).hexdigest()):
            raise ConflictError(f"{name} is not what the manifest says: it was changed.")


def _check_chain(manifest: Manifest, entries: tuple[Entry, ...]) -> None:
    """Walk the chain; of an entry that lost a secret only the links can be checked."""
    prev, redacted = GENESIS, frozenset(manifest.redacted)
    for seq, entry in enumerate(entries, start=1):
        linked = entry.prev == prev and entry.seq == seq and entry.run == manifest.run
        if not linked or (seq not in redacted and first_broken((entry,), prev, seq)):
            raise ConflictError(f"The chain of entries is broken at {seq}: the bundle was changed.")
        prev = entry.hash
    if not entries or (prev, len(entries)) != (manifest.head, manifest.entries):
        raise ConflictError("The entries do not end where the manifest says: the bundle was changed.")


@contextmanager
def _told(place: Path) -> Iterator[None]:
    """Turn all that a library says about a broken file into one error."""
    try:
        yield
    except MusterError:
        raise
    except FileNotFoundError:
        raise InputError(f"There is no {place}.") from None
    except MemoryError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise InputError(f"{place} is no bundle: {error or type(error).__name__}.") from error
