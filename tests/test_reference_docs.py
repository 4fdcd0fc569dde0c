"""The written pages and the code say the same."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from muster.cli.audit import DAMAGED
from muster.cli.baseline import DRIFTED
from muster.cli.failures import INTERRUPTED
from muster.cli.review import EXIT_CODES, INVALID
from muster.cli.root import cli
from muster.model.planning.plan_rules import FRONT_KEYS, MANIFEST_KEYS

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"))
)
# A file of this repository as a page names it; what begins with a dot or a < is in somebody else's.
NAMED = re.compile(r"`((?:src|tests|docs|scripts|examples|changes)/[\w./+-]+|(?:[a-z_]+/)+[a-z_]+\.py)`")
# A command line, in a block or in the text.
COMMAND = re.compile(r"(?:`|^(?:\$ )?)(?:\.venv/bin/)?muster ([a-z][^`\n]*)(?:`|$)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def test_every_generated_page_is_fresh() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"], capture_output=True, text=True
    )

    assert check.returncode == 0, check.stdout + check.stderr


def test_the_page_of_commands_has_every_exit_code_that_a_command_may_end_with() -> None:
    table = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8").partition("\n\n| command |")[0]
    written = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}

    assert {*EXIT_CODES.values(), INVALID, DAMAGED, DRIFTED, INTERRUPTED} <= written


def cut_off(group: click.Group, context: click.Context) -> list[str]:
    lines = [line for line in group.get_help(context).splitlines() if line.endswith("...") and "Usage:" not in line]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            lines += cut_off(command, click.Context(command, context, name, terminal_width=80))
    return lines


def test_no_line_of_a_list_of_commands_is_cut_off_in_80_columns() -> None:
    assert cut_off(cli, click.Context(cli, terminal_width=80)) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")

    named = [name for name in NAMED.findall(text) if "<" not in name]

    missing = [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "src" / "muster"))]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_only_to_what_is_there(page: str) -> None:
    place = ROOT / page
    text = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", place.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)

    broken = []
    for path, anchor in LINK.findall(text):
        target = place if not path else place.parent / path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}" if anchor else path)

    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_commands_and_options_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")

    unknown = [f"{line}: {word}" for line in COMMAND.findall(text) for word in unknown_words(line)]

    assert unknown == []


def unknown_words(line: str) -> list[str]:
    """The words of a command line that Muster would not know: a command's name, or an option."""
    words = shlex.split(re.split(r"[,;&#|]| then ", line)[0])
    command: click.Command = cli
    options: set[str] = {"refute", "-m"} if words[0] == "review" else set()
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z]+", words[0]):
        if (found := command.get_command(click.Context(command), words[0])) is None:
            return [words[0]]
        command, words = found, words[1:]
    # A group alone does what one of its commands does.
    able = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    options |= {name for each in able for option in each.params for name in (*option.opts, *option.secondary_opts)}
    return [word for word in words if word.startswith("-") and word.partition("=")[0] not in {*options, "-", "--help"}]


@pytest.mark.parametrize(("heading", "keys"), [("The manifest", MANIFEST_KEYS), ("The front matter", FRONT_KEYS)])
def test_the_page_of_the_plan_format_has_every_key_and_no_other(heading: str, keys: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / "plan-format.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(keys)


def test_the_module_map_has_the_layers_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [re.findall(r"[a-z]+", layer) for layer in contracts[0]["layers"] if not layer.startswith("_")]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = [line for line in page.partition("```text\ncli ")[2].partition("```")[0].splitlines() if line]

    assert [
        [name for name in layer if name in line] for layer, line in zip(layers, ["cli", *drawn[1:]], strict=True)
    ] == layers


def anchors(page: Path) -> set[str]:
    """What links to a page's headings may be called."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
