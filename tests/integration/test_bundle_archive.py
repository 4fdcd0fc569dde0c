"""Archives that are made to harm, or to look as if nothing had been changed."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.diagnostics.archive import MANIFEST, Manifest, Member, read_archive, write_archive
from muster.diagnostics.bundle import open_bundle
from muster.diagnostics.report import read_report
from muster.model.errors import ConflictError, EnvironmentProblem, InputError, MusterError, RefusedError
from muster.model.journal.entries import GENESIS, Entry, chain_hash, encode_event
from muster.model.journal.events import AgentSaid
from tests.model.test_entries import AT

RUN = "0" * 26


def lines(texts: list[str]) -> bytes:
    """A whole chain of entries, as a bundle has them."""
    prev, found = GENESIS, []
    for seq, text in enumerate(texts, start=1):
        event = AgentSaid(task="T", attempt=1, text=text)
        data = encode_event(event)
        digest = chain_hash(prev, RUN, seq, AT, event.type, data, ("", "", ""))
        entry = Entry(pos=seq, run=RUN, seq=seq, at=AT, type=event.type, data=msgspec.Raw(data), prev=prev, hash=digest)
        found.append(msgspec.json.encode(entry) + b"\n")
        prev = digest
    return b"".join(found)


FILES = {"events.jsonl": lines(["one", "two", "three"]), "report.md": b"# R\n", "transcripts/T.1/stdout.log": b"out\n"}


def good(tmp_path: Path, files: dict[str, bytes] = FILES) -> Path:
    place = tmp_path / "good.zip"
    write_archive(place, RUN, files, {})
    return place


def with_member(tmp_path: Path, name: str, data: bytes = b"x", attr: int = 0, packed: int = 0) -> Path:
    """A bundle with one more member, which its manifest knows too."""
    place = good(tmp_path)
    manifest = read_archive(place).manifest
    members = {**manifest.members, name: Member(size=len(data), sha256=sha256(data).hexdigest())}
    other = tmp_path / "hostile.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr(MANIFEST, msgspec.json.encode(msgspec.structs.replace(manifest, members=members)))
        for each, content in FILES.items():
            archive.writestr(each, content)
        info = zipfile.ZipInfo(name)
        info.external_attr = attr << 16
        info.compress_type = packed
        archive.writestr(info, data)
    return other


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../escape.md",
            "a/../../escape.md",
            "/etc/escape.md",
            "a/./b.md",
            "a//b.md",
            "..md/../x.md",
            "...",
            "a\\b.md",
        ),
        *("C:/x.md", "x.sh", "x.html", ".md/", "a b.md", "x.md\n", "é.md", "~/x.md", "-", "a" * 300 + ".md", "a/"),
    ],
)
def test_a_name_that_no_bundle_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match="Nothing was unpacked"):
        read_archive(with_member(tmp_path, name))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR])
def test_a_link_or_device_is_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(RefusedError, match="a link or no plain file"):
        read_archive(with_member(tmp_path, "x.md", b"/etc/passwd", kind | 0o777))


def test_a_bomb_is_refused_by_its_ratio_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="a bomb"):
        read_archive(with_member(tmp_path, "x.log", bytes(3_000_000), packed=zipfile.ZIP_DEFLATED))


def test_a_bomb_is_refused_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = good(tmp_path)
    monkeypatch.setattr("muster.diagnostics.archive.MAX_BYTES", 100)

    with pytest.raises(RefusedError, match="too much"):
        read_archive(place)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        place = with_member(tmp_path, "report.md")

    with pytest.raises(RefusedError, match="there twice"):
        read_archive(place)


def test_a_size_that_lies_is_found(tmp_path: Path) -> None:
    place = good(tmp_path)
    data = place.read_bytes()
    size = len(FILES["report.md"])
    at = data.index(b"report.md", data.index(b"PK\x01\x02")) - 46
    while data[at : at + 4] != b"PK\x01\x02" or not data[at + 46 :].startswith(b"report.md"):
        at = data.index(b"report.md", at + 47) - 46
    assert int.from_bytes(data[at + 24 : at + 28], "little") == size
    place.write_bytes(data[: at + 24] + (2).to_bytes(4, "little") + data[at + 28 :])

    with pytest.raises(MusterError):
        read_archive(place)


def test_text_that_compresses_too_well_is_stored_and_so_no_bomb(tmp_path: Path) -> None:
    files = {**FILES, "transcripts/T.1/stderr.log": b"again\n" * 500_000}

    assert read_archive(good(tmp_path, files)).files == files


@pytest.mark.parametrize(("gone", "extra"), [("report.md", ""), ("", "more.md")])
def test_a_file_too_many_or_too_few_is_found(tmp_path: Path, gone: str, extra: str) -> None:
    with zipfile.ZipFile(good(tmp_path)) as archive, zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        for name in archive.namelist():
            if name != gone:
                other.writestr(name, archive.read(name))
        if extra:
            other.writestr(extra, b"x")

    with pytest.raises(ConflictError, match=f"{gone or extra} is in the manifest or in the bundle, but not in both"):
        read_archive(tmp_path / "other.zip")


def test_a_chain_that_tells_no_run_is_refused_in_words_and_nothing_is_unpacked(tmp_path: Path) -> None:
    read_archive(good(tmp_path))

    with pytest.raises(InputError, match="tell no run"):
        open_bundle(good(tmp_path), tmp_path / "out")

    assert not (tmp_path / "out").exists()


def rehashed(change: Callable[[Manifest], Manifest], events: bytes) -> Callable[[Path], Path]:
    """A bundle whose manifest was made to fit other entries."""

    def make(tmp_path: Path) -> Path:
        manifest = read_archive(good(tmp_path)).manifest
        member = Member(size=len(events), sha256=sha256(events).hexdigest())
        fitting = change(msgspec.structs.replace(manifest, members={**manifest.members, "events.jsonl": member}))
        with zipfile.ZipFile(tmp_path / "changed.zip", "w") as archive:
            archive.writestr(MANIFEST, msgspec.json.encode(fitting))
            for name, data in {**FILES, "events.jsonl": events}.items():
                archive.writestr(name, data)
        return tmp_path / "changed.zip"

    return make


THREE = FILES["events.jsonl"].splitlines(keepends=True)


@pytest.mark.parametrize(
    "events",
    [
        FILES["events.jsonl"].replace(b"two", b"2"),
        b"".join(THREE[:2]),
        b"".join([THREE[0], THREE[2]]),
        b"".join([THREE[1], THREE[0], THREE[2]]),
        b"",
    ],
    ids=["changed", "cut", "gap", "swapped", "empty"],
)
def test_entries_that_do_not_chain_are_found_though_the_manifest_was_made_to_fit(tmp_path: Path, events: bytes) -> None:
    with pytest.raises(ConflictError, match="the bundle was changed"):
        read_archive(rehashed(lambda manifest: manifest, events)(tmp_path))


def test_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    newer = rehashed(lambda manifest: msgspec.structs.replace(manifest, version=99), FILES["events.jsonl"])(tmp_path)

    with pytest.raises(EnvironmentProblem, match="format is 99"):
        read_archive(newer)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_bundle_with_one_wrong_byte_is_the_same_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    place = good(tmp_path_factory.mktemp("byte"))
    data = bytearray(place.read_bytes())
    data[at % len(data)] = byte
    place.write_bytes(data)

    try:
        read = read_archive(place).files
    except MusterError:
        return

    assert read == FILES


@pytest.mark.parametrize("version", [None, 1, 2])
def test_reports_of_every_release_are_read(version: int | None) -> None:
    written = {"run": RUN, "tasks": [{"id": "T"}], "events": [], "ours": 1}
    data = msgspec.json.encode(written | ({"schemaVersion": version} if version else {}))

    report = read_report(data)

    assert (report.schema_version, report.run, report.tasks) == (version or 1, RUN, [{"id": "T"}])


@pytest.mark.parametrize(("data", "error"), [(b'{"schemaVersion": 3}', EnvironmentProblem), (b"[]", InputError)])
def test_a_report_that_cannot_be_read_is_said_to_be_so(data: bytes, error: type[MusterError]) -> None:
    with pytest.raises(error):
        read_report(data)
