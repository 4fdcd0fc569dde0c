"""Protections that a change takes away: what is seen, how much it weighs, and what is left alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest

from muster.model.findings import Finding, Severity
from muster.review.rules.patterns import degree
from muster.review.rules.run import RuleReport, run_rules
from muster.review.scope import find_scope
from muster.review.triage import triage
from tests.integration.git_project import GitProject

pytestmark = pytest.mark.anyio

WEAKER = {
    "escape is no longer used here": ("a1.py", "def a(x):\n    return escape(x)\n", "def a(x):\n    return x\n"),
    "A check that refused": (
        "a2.py",
        "def a(x):\n    if not x:\n        raise ValueError(x)\n    return x\n",
        "def a(x):\n    return x\n",
    ),
    "A condition that left early": (
        "a3.js",
        "function a(o, k, v) {\n  if (k === 'constructor') return;\n  o[k] = v;\n}\n",
        "function a(o, k, v) {\n  o[k] = v;\n}\n",
    ),
    "It no longer asks for: or name[0]": (
        "a4.py",
        "bad = (\n    name == '..'\n    or name[0] == '/'\n    or not name\n)\n",
        "bad = (\n    name == '..'\n    or not name\n)\n",
    ),
    "It no longer asks for: b.host": (
        "a5.py",
        "def a(x, b):\n    if x and b.host:\n        return x\n",
        "def a(x, b):\n    if x:\n        return x\n",
    ),
    "The limit max_size was lifted": ("a6.py", "class A:\n    max_size = 500_000\n", "class A:\n    max_size = None\n"),
    "follow_links is now True": ("a7.py", "def a(x, follow_links=False): ...\n", "def a(x, follow_links=True): ...\n"),
    "strict is now false": ("a8.js", "const o = { strict: true };\n", "const o = { strict: false };\n"),
    "without a bound": ("a9.py", "import re\nR = re.compile(r'^a{0,9}b')\n", "import re\nR = re.compile(r'^a*b')\n"),
    "very long": ("a10.js", "const r = /^(\\w+\\.)*x$/;\n", "const r = /^(.+\\.)*x$/;\n"),
    "no longer names proxy-auth": ("a11.js", "drop(/^(?:proxy-auth|to|by)$/i);\n", "drop(/^(?:to|by)$/i);\n"),
    "More of it may be missing": ("a12.js", "const r = /^([a-z]+:)\\/\\//;\n", "const r = /^([a-z]+:)?\\/\\//;\n"),
    "no longer names pop": ("a13.py", "BAD = {'pop', 'add'}\n", "BAD = {'add'}\n"),
    "unsafe_load is used here now": ("a15.py", "a = load\n", "a = unsafe_load\n"),
    "It no longer asks for: x.port": (
        "a16.py",
        "def a(x, b):\n    if (x.host != b.host\n            or x.port != b.port):\n        x.drop()\n",
        "def a(x, b):\n    if (x.host != b.host):\n        x.drop()\n",
    ),
    "What is empty passes": (
        "a17.py",
        "def a(x, b):\n    if x is not None and b not in x:\n        raise b\n",
        "def a(x, b):\n    if x and b not in x:\n        raise b\n",
    ),
    "takes other signs": ("a18.js", "const r = /\\([^()]*\\)/;\n", "const r = /\\([^)]*\\)/;\n"),
    "What explained it": (
        "a14.py",
        "def a(x):\n    # Untrusted names could leave the folder.\n    return tidy(x)\n",
        "def a(x):\n    return x\n",
    ),
}  # fmt: skip
LEFT_ALONE = {
    "shown.py": (
        "def f(x):\n    return x\n",
        'def f(x):\n    r"""Try it.\n\n    >>> f(r"^(a+)+$")\n    """\n    # as in "(b+)+$"\n    return x\n',
    ),
    "b1.py": ("def a(x):\n    return escape(x)\n", "def a(text):\n    return escape(text)\n"),
    "b2.py": (
        "def a(x):\n    if not x:\n        raise ValueError(x)\n",
        "def a(x):\n    if x is None:\n        raise TypeError(x)\n",
    ),
    "b3.py": ("class A:\n    max_size = None\n", "class A:\n    max_size = 500\n"),
    "b4.py": ("def a(x, verify=False): ...\n", "def a(x, verify=True): ...\n"),
    "b5.py": ("import re\nR = re.compile(r'^a*b')\n", "import re\nR = re.compile(r'^a{0,9}b')\n"),
    "b6.py": ("BAD = {'add'}\n", "BAD = {'add', 'pop'}\n"),
    "b7.py": ("def a(x):\n    if x:\n        return x\n", "def a(x, b):\n    if x and b:\n        return x\n"),
    "b8.py": ("from html import escape\n\n\ndef a(x):\n    return escape(x)\n", "from b9 import clean as a\n"),
    "b10.py": ("# Untrusted names are tidied.\nx = tidy(y)\n", "x = y\n"),
    "b11.py": ("z = 1\n", "# Untrusted names are tidied.\nz = tidy(y)\n"),
    "b9.py": ("x = 1\n", "from html import escape\n\n\ndef clean(x):\n    return escape(x)\n"),
}

CODE = "def load(root, name):\n    path = normpath(root + name)\n    if not path.startswith(root):\n"
CODE += "        raise ValueError(name)\n    return open(path)\n\n\ndef save(root):\n    return root\n"
OPEN = "def load(root, name):\n    return open(root + name)\n\n\ndef save(root):\n    return root\n"
WEAK = CODE.replace("    if not path.startswith(root):\n        raise ValueError(name)\n", "")
TESTS = "def test_load():\n    assert load\n\n\ndef test_outside():\n    assert not load('/', '..')\n"
FEWER = TESTS[: TESTS.index("\n\n\ndef test_outside")] + "\n"
MORE = TESTS + "\n\ndef test_more():\n    assert load\n"
NEWS = "# Changes\n\n- Names that leave the folder are refused,\n  whatever they are.\n- Faster.\n"
OLD_NEWS = "# Changes\n\n- Faster.\n"


async def judge(project: GitProject, since: str) -> RuleReport:
    scope = await find_scope(project.top, since=since)
    return await run_rules(scope, triage(scope))


def told(found: Finding) -> str:
    return f"{found.title} {found.detail}"


@pytest.fixture(scope="module")
def weaker(tmp_path_factory: pytest.TempPathFactory) -> RuleReport:
    files = list(WEAKER.values())
    project = GitProject.create(tmp_path_factory.mktemp("weaker"), {f"src/{path}": old for path, old, _ in files})
    since = project.head()
    project.commit("Weaker", {f"src/{path}": new for path, _, new in files})
    return anyio.run(partial(judge, project, since))


@pytest.mark.parametrize("what", WEAKER)
def test_what_protects_less_is_found_where_it_was(weaker: RuleReport, what: str) -> None:
    path, _, new = WEAKER[what]
    here = [found for found in weaker.findings if found.path == f"src/{path}" and what in told(found)]

    assert [found.rule for found in here] == ["SECURITY_INJECTION"]
    assert here[0].evidence == new.split("\n")[here[0].line - 1]
    assert here[0].severity is Severity.MINOR, "a wide change weighs nothing by itself"


async def test_what_protects_as_much_or_more_is_left_alone(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path, {f"src/{path}": old for path, (old, _) in LEFT_ALONE.items()})
    since = project.head()
    project.commit("Fine", {f"src/{path}": new for path, (_, new) in LEFT_ALONE.items()})

    report = await judge(project, since)

    assert [(found.path, told(found)) for found in report.findings if found.rule == "SECURITY_INJECTION"] == []


@pytest.mark.parametrize(
    ("what", "after", "weighs"),
    [
        ("one sign by itself", {"src/a.py": WEAK}, Severity.MINOR),
        ("two of them", {"src/a.py": OPEN}, Severity.MAJOR),
        ("its test went too", {"src/a.py": WEAK, "tests/test_a.py": FEWER}, Severity.MAJOR),
        ("what told of it went too", {"src/a.py": WEAK, "CHANGES.md": OLD_NEWS}, Severity.MAJOR),
        ("a test came", {"src/a.py": OPEN, "tests/test_a.py": MORE}, Severity.MINOR),
    ],
)  # fmt: skip
async def test_a_protection_weighs_more_the_more_signs_there_are(
    tmp_path: Path, what: str, after: dict[str, str], weighs: Severity
) -> None:
    project = GitProject.create(tmp_path, {"src/a.py": CODE, "tests/test_a.py": TESTS, "CHANGES.md": NEWS})
    since = project.head()
    project.commit(what, after)

    report = await judge(project, since)

    assert {found.severity for found in report.findings if found.rule == "SECURITY_INJECTION"} == {weighs}


@pytest.mark.parametrize(
    ("after", "weighs"),
    [
        ({"tests/test_a.py": FEWER}, ["MINOR"]),
        ({"tests/test_a.py": FEWER, "CHANGES.md": OLD_NEWS}, ["MAJOR"]),
        # What the test was about went with it: nothing is left to be tested.
        (
            {
                "src/a.py": CODE.replace("def load", "def read"),
                "tests/test_a.py": "def test_read():\n    assert read\n",
            },
            [],
        ),
    ],
)
async def test_code_that_changes_while_its_tests_only_go_is_said_at_the_code(
    tmp_path: Path, after: dict[str, str], weighs: list[str]
) -> None:
    project = GitProject.create(tmp_path, {"src/a.py": CODE, "tests/test_a.py": TESTS, "CHANGES.md": NEWS})
    since = project.head()
    project.commit("Work", {"src/a.py": CODE.replace("open(path)", "open(name)")} | after)

    report = await judge(project, since)

    said = [found for found in report.findings if found.rule == "TEST_WEAKENED" and found.path == "src/a.py"]
    assert [found.severity.value for found in said] == weighs


@pytest.mark.parametrize(
    ("pattern", "grows"),
    [
        (r"^a+b$", 1),
        (r"^([a-z]+,)*$", 1),
        (r'(?:"[^"]*")*', 1),
        (r"^\s*x*\s*$", 2),
        (r"\s+$", 2),
        (r"(a+)+$", 9),
        (r"^(.+\.)*localhost$", 9),
        ("(unclosed", 0),
    ],
)
def test_how_long_a_pattern_can_take_is_read_from_it(pattern: str, grows: int) -> None:
    assert degree(pattern) == grows
