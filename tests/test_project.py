"""The promises this repository makes about itself."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
MAX_LINES = 400

# One letter of each name stands in brackets, so that this file does not match itself.
REGISTRIES = re.compile(
    r"""
    pyp[i]\.org | pythonhoste[d]\. | npmj[s]\. | yarnpk[g]\.com | crate[s]\.io | rubygem[s]\.org
    | prox[y]\.golang\.org | conda\.anacond[a]\.org | (?:deb|archive|security)\.(?:debia[n]|ubunt[u])\.
    | \w:/[^\s"'<>]*/simpl[e]\b
    | (?<![\w-])--(?:extra-inde[x]-url|inde[x]-url|find-link[s]|trusted-hos[t])\b
    """,
    re.VERBOSE,
)
# The named people are nobody's account: examples and captured streams use them.
MACHINE_PATHS = re.compile(
    r"""
    (?<![\w.])/(?:hom[e]|User[s])/(?!(?:alice|bob|dev|user)\b)[\w.-]+
    | (?<![\w.])/roo[t]/[\w.-]+
    | [A-Za-z]:\\+User[s]\\+\w
    | /var/folder[s]/\w | /tmp/(?:tm[p]|pytes[t]-)\w
    """,
    re.VERBOSE,
)


def committed_files() -> Iterator[tuple[str, str]]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listing.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            yield name, path.read_bytes().decode(errors="replace")


def matches(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {found.group()}"
        for name, text in committed_files()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := pattern.search(line))
    ]


def test_no_committed_file_holds_the_address_of_a_package_registry() -> None:
    assert matches(REGISTRIES) == []


def test_no_committed_file_holds_a_path_of_a_developers_machine() -> None:
    assert matches(MACHINE_PATHS) == []


def test_no_committed_file_names_the_folder_this_checkout_lies_in() -> None:
    if len(ROOT.parts) < 3:
        pytest.skip(f"{ROOT} is too short a path to be looked for")

    assert matches(re.compile(rf"(?<![\w.-]){re.escape(str(ROOT))}(?![\w-])")) == []


@pytest.mark.parametrize(
    "line",
    [
        "see https://py" + "pi.org/project/click",
        "https://files.python" + "hosted.org/packages/x.whl",
        "registry=https://registry.npm" + "js.org/",
        "https://mirror.example/api/sim" + "ple/",
        "--find-" + "links wheels",
        "--extra-" + "index-url=https://mirror.example",
    ],
)
def test_an_address_of_a_registry_is_recognised(line: str) -> None:
    assert REGISTRIES.search(line)


@pytest.mark.parametrize(
    "line",
    ['cwd="/ho' + 'me/jane/muster"', "file:///Us" + "ers/jane/x", "/ro" + "ot/muster", "C:\\\\Us" + "ers\\\\jane"],
)
def test_a_path_of_a_home_folder_is_recognised(line: str) -> None:
    assert MACHINE_PATHS.search(line)


@pytest.mark.parametrize("line", ["/home/alice/repo", "https://example.com/home/news", "GET /api/users/7"])
def test_an_example_path_is_no_path_of_a_machine(line: str) -> None:
    assert not MACHINE_PATHS.search(line)


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {name: text.count("\n") for name, text in committed_files() if re.match(r"src/.*\.py$", name)}

    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_part_of_an_adapter_of_an_agent_is_longer_than_two_hundred_lines() -> None:
    lengths = {
        name: text.count("\n") for name, text in committed_files() if re.match(r"src/muster/agents/.*\.py$", name)
    }

    # The scripted agent's player is a program of its own and no adapter.
    assert {name for name, lines in lengths.items() if lines > 200} == {"src/muster/agents/scripted_player.py"}


def test_the_import_contracts_hold() -> None:
    check = subprocess.run([BIN / "lint-imports", "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True)

    assert check.returncode == 0, check.stdout + check.stderr


def refusals(source: str, place: str) -> str:
    command = [str(BIN / "ruff"), "check", "--no-cache", "--select", "TID251", "--stdin-filename", place, "-"]
    return subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("source", "alternative"),
    [
        ("import asyncio\nasyncio.create_task(work())\n", "anyio task group"),
        ("import asyncio\nasyncio.create_subprocess_exec('git')\n", "muster.process"),
        ("import asyncio\nasyncio.create_subprocess_shell('git')\n", "muster.process"),
        ("import os\nos.system('git')\n", "muster.process"),
        ("from subprocess import run\n", "muster.process"),
        ("from datetime import datetime\ndatetime.now()\n", "injected Clock"),
        ("from datetime import datetime\ndatetime.utcnow()\n", "injected Clock"),
        ("import time\ntime.time()\n", "injected Clock"),
    ],
)
def test_a_banned_call_is_refused_with_its_alternative(source: str, alternative: str) -> None:
    assert alternative in refusals(source, "src/muster/engine/example.py")


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("import subprocess\n", "src/muster/process/short.py"),
        ("import time\ntime.time()\n", "src/muster/clock.py"),
        ("import subprocess\n", "tests/test_example.py"),
        ("import subprocess\n", "scripts/example.py"),
    ],
)
def test_a_banned_call_is_allowed_where_it_belongs(source: str, place: str) -> None:
    assert refusals(source, place).strip() == "All checks passed!"


def test_every_dependency_is_pinned_with_a_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(name for extra in project["project"]["optional-dependencies"].values() for name in extra),
    ]
    lock = (ROOT / "requirements/dev.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE))

    names = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in asked} - {"muster-agents"}

    assert names <= pinned, f"Run `make lock`; not pinned: {sorted(names - pinned)}"


def test_the_justfile_offers_every_target_of_the_makefile() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    recipes = re.findall(r"^([a-z-]+):\n    @make \1$", (ROOT / "justfile").read_text(), re.MULTILINE)

    assert phony
    assert recipes == phony[1].split()
