"""The textfile: the contract, and what somebody who can write to its folder cannot do with it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from muster.model.errors import InputError, RefusedError
from muster.ports import Destination
from muster.telemetry.textfile import TextfileExporter, write_prom
from tests.contracts.exporter_contract import ExporterContract, Read
from tests.integration.metrics_examples import everyday


class TestTextfile(ExporterContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path.resolve() / "muster.prom"

    def exporter(self) -> TextfileExporter:
        return TextfileExporter(Destination(textfile_dir=str(self.path.parent)))

    def dead(self) -> TextfileExporter:
        return TextfileExporter(Destination(textfile_dir=str(self.path.parent / "missing")))

    def received(self) -> Read:
        samples = [
            sample for family in text_string_to_metric_families(self.path.read_text()) for sample in family.samples
        ]
        return {
            (sample.name.removesuffix("_total") if "tokens" not in sample.name else sample.name, labels): sample.value
            for sample in samples
            if "le" not in sample.labels
            for labels in [tuple(sorted(sample.labels.items()))]
        }

    def raw(self) -> bytes:
        return self.path.read_bytes()


# Puts a link in the place of the folder at the moment when the new file is about to be opened.
SWAP = """
import os, sys
from pathlib import Path
from muster.telemetry.textfile import write_prom

folder, elsewhere = map(Path, sys.argv[1:])

def swap(event, args):
    if event == "open" and "muster.prom" in str(args[0]) and not folder.is_symlink():
        folder.rename(folder.parent / "aside")
        folder.symlink_to(elsewhere)
        print("swapped")

sys.addaudithook(swap)
write_prom(folder / "muster.prom", "a 1\\n")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path.resolve() / "textfiles"
    place.mkdir()
    return place


def test_the_file_is_readable_by_all_and_nothing_else_is_left(folder: Path) -> None:
    mask = os.umask(0o077)
    try:
        write_prom(folder / "muster.prom", "a 1\n")
        write_prom(folder / "muster.prom", "a 2\n")
    finally:
        os.umask(mask)

    assert [path.name for path in folder.iterdir()] == ["muster.prom"]
    assert stat.S_IMODE((folder / "muster.prom").stat().st_mode) == 0o644
    assert (folder / "muster.prom").read_text() == "a 2\n"


def test_a_link_in_the_place_of_the_file_is_refused_and_what_it_points_to_stays(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "muster.prom").symlink_to(victim)

    with pytest.raises(RefusedError, match="link"):
        write_prom(folder / "muster.prom", "a 1\n")

    assert victim.read_text() == "precious"
    assert (folder / "muster.prom").is_symlink()


@pytest.mark.parametrize("where", ["last", "first"])
def test_a_link_anywhere_in_the_path_is_refused_by_name(folder: Path, tmp_path: Path, where: str) -> None:
    link = tmp_path.resolve() / "link"
    link.symlink_to(folder if where == "last" else folder.parent)
    path = link / "muster.prom" if where == "last" else link / "textfiles" / "muster.prom"

    with pytest.raises(RefusedError) as caught:
        write_prom(path, "a 1\n")

    assert str(link) in caught.value.message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["muster.txt", "muster", "muster.prom.bak", ".prom"])
def test_another_suffix_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.prom"):
        write_prom(folder / name, "a 1\n")

    assert list(folder.iterdir()) == []


def test_a_path_that_goes_up_or_depends_on_the_current_folder_is_refused(folder: Path) -> None:
    for path in (folder / ".." / "textfiles" / "muster.prom", Path("muster.prom")):
        with pytest.raises(InputError, match="absolute"):
            write_prom(path, "a 1\n")


def test_a_folder_or_a_pipe_in_the_place_of_the_file_is_refused(folder: Path) -> None:
    (folder / "a.prom").mkdir()
    os.mkfifo(folder / "b.prom")

    for name in ("a.prom", "b.prom"):
        with pytest.raises(RefusedError):
            write_prom(folder / name, "a 1\n")


def test_a_folder_that_is_swapped_for_a_link_while_it_is_written_to_leads_nothing_away(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()

    done = subprocess.run([sys.executable, "-c", SWAP, folder, elsewhere], capture_output=True, text=True)

    assert done.stdout == "swapped\n", done.stderr
    assert list(elsewhere.iterdir()) == []
    assert (folder.parent / "aside" / "muster.prom").read_text() == "a 1\n"


def test_a_reader_never_sees_a_part_of_a_text(folder: Path) -> None:
    exporter = TextfileExporter(Destination(textfile_dir=str(folder)))
    exporter.export(everyday())
    whole = (folder / "muster.prom").read_bytes()
    seen: set[bytes] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.add((folder / "muster.prom").read_bytes())

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(100):
        exporter.export(everyday())
    over.set()
    thread.join()

    assert seen == {whole}


def test_without_a_folder_the_mode_is_refused_with_the_name_of_the_variable() -> None:
    with pytest.raises(InputError) as caught:
        TextfileExporter(Destination())

    assert "MUSTER_TEXTFILE_DIR" in caught.value.hint
