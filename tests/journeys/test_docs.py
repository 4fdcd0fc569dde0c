"""The pages for newcomers say what really happens."""

from pathlib import Path

import pytest

from tests.journeys.doc_runner import Reader, blocks, fits

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", ["docs/tutorial.md", "README.md"])
def test_a_page_shows_what_its_commands_print(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()

    Reader(folder).read(ROOT / page)


def test_a_page_that_shows_something_else_is_caught(tmp_path: Path) -> None:
    folder, page = tmp_path / "work", tmp_path / "page.md"
    folder.mkdir()
    page.write_text("```console\n$ echo one; echo two\none\n```\n")

    with pytest.raises(AssertionError, match=r"page\.md:2: \$ echo one"):
        Reader(folder).read(page)


def test_a_command_that_fails_unannounced_is_caught(tmp_path: Path) -> None:
    folder, page = tmp_path / "work", tmp_path / "page.md"
    folder.mkdir()
    page.write_text("```console\n$ true\n$ (exit 3)\n$ echo $?\n3\n$ false\n```\n")

    with pytest.raises(AssertionError, match=r"page\.md:6: \$ false ended with 1"):
        Reader(folder).read(page)


def test_a_block_that_is_not_run_is_left_out() -> None:
    page = "<!-- not run: needs a network -->\n```console\n$ make demo\n```\n\n```console\n$ true\n```\n"

    assert [step.command for block in blocks(page) for step in block.steps] == ["true"]


def test_dots_stand_for_any_lines() -> None:
    assert fits(["one", "...", "four"], "one\ntwo\nthree\nfour\n")
    assert fits(["one", "...", "four"], "one\nfour\n")
    assert not fits(["one", "...", "four"], "one\nfour\nfive\n")


def test_what_differs_from_run_to_run_is_not_compared() -> None:
    shown = ["  + b merged as 04e14813a after 0.1s", "  + a merged as 2f7616858 after 0.1s"]

    assert fits(shown, "  + a merged as c237c9107 after 12s\n  + b merged as 8da5192f1 after 0.3s\n")
    assert not fits(shown, "  + a merged as c237c9107 after 12s\n  + c merged as 8da5192f1 after 0.3s\n")
