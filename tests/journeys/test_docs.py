"""The pages for newcomers say what really happens."""

import subprocess
from pathlib import Path

import pytest

from tests.journeys.doc_runner import Reader, blocks, fits

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", ["tutorial.md", "plan-format.md"])
def test_a_page_shows_what_its_commands_print(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()

    Reader(folder).read(ROOT / "docs" / page)


@pytest.mark.timeout(180)
def test_the_readme_shows_what_its_commands_print_in_a_repository_of_the_readers(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "Makefile").write_text("test:\n\t@echo all is well\n")
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "First"]):
        subprocess.run(["git", *command], cwd=folder, check=True)

    Reader(folder).read(ROOT / "README.md")


def test_two_names_may_change_their_roles_where_a_page_says_so(tmp_path: Path) -> None:
    folder, page = tmp_path / "work", tmp_path / "page.md"
    folder.mkdir()
    command = "printf 'one, two\\ntwo won\\none lost\\n'"
    page.write_text(f"<!-- either: one two -->\n```console\n$ {command}\none, two\none won\ntwo lost\n```\n")

    Reader(folder).read(page)


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
