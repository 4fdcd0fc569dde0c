"""Whatever is wrong is said in one line, with an exit code, and nothing is lost or half done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.site import Ran, Site, adds, plan, task

YAML = "# T\n\n## One\n\n```yaml\n%s\n```\n"


def said(ran: Ran) -> str:
    """The error of a command that was asked for JSON."""
    error = ran.json["error"]
    assert set(error) == {"code", "message", "hint"}
    assert "\n\n" not in error["message"]
    return f"{error['message']} {error['hint']}"


# Ten levels of ten aliases each would be ten billion words.
BOMB = "id: T1\nrun: 'true'\nverify:\n  - &a0 x\n" + "\n".join(
    f"  - &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 11)
)
PLANS: dict[str, tuple[str | bytes, list[str]]] = {
    "unknown key": (YAML % "id: T1\nrun: 'true'\nneed: [T2]", ["plan.md:8", "need", "needs"]),
    "no id": (YAML % "run: 'true'", ["plan.md:6", "no 'id'"]),
    "neither agent nor run": (YAML % "id: T1", ["plan.md:6", "agent", "run"]),
    "wrong type": (YAML % "id: T1\nrun: 'true'\nattempts: many", ["plan.md:8", "attempts"]),
    "bad id": (YAML % "id: ../../etc\nrun: 'true'", ["plan.md:6", "id"]),
    "broken yaml": (YAML % "id: T1\nrun: [", ["plan.md:"]),
    "aliases that grow": (YAML % BOMB, ["plan.md:"]),
    "missing need": (plan(task("T1", "true", needs=["T9"])), ["T1", "T9"]),
    "duplicate id": (plan(task("T1", "true"), task("T1", "true")), ["T1", "plan.md:"]),
    "cycle": (plan(task("A", "true", needs=["B"]), task("B", "true", needs=["A"])), ["A", "B", "circle"]),
    "itself": (plan(task("A", "true", needs=["A"])), ["A"]),
    "path that leads out": (plan(task("A", "true", expected_paths=["../x"])), ["A", "../x"]),
    "not UTF-8": (b"# T\n\n\xff\xfe\n", ["plan.md:3", "UTF-8"]),
    "NUL bytes": (b"# T\n\n\0\0\n", ["plan.md"]),
    "empty": ("", ["plan.md:1", "no task"]),
    "no task": ("# Only words\n", ["plan.md:1", "no task"]),
    "10 MB": (b"# T\n" + b"x" * 10_000_000, ["plan.md"]),
    "10,000 tasks": (b"# T\n" + b"## a\n```yaml\nid: a\n```\n" * 10_000, ["plan.md"]),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_cannot_be_used_is_named_with_its_line(site: Site, name: str) -> None:
    content, words = PLANS[name]
    site.write({"plan.md": content})

    ran = site.muster("run", "--plan", "plan.md", "--json")

    assert ran.code == 2, ran
    message = said(ran)
    assert [word for word in words if word.lower() not in message.lower()] == [], message
    assert not list(site.top.glob(".muster/state/runs/*"))


def test_lint_names_all_that_is_wrong_and_run_names_the_same(site: Site) -> None:
    site.write({"plan.md": YAML % "id: T1\nrun: 'true'\nneed: [T2]\nattempts: many"})

    linted = site.muster("plan", "lint", "plan.md", "--json")

    assert linted.code == 2
    assert linted.json["valid"] is False
    assert len(linted.json["issues"]) >= 2
    assert site.muster("plan", "lint", "plan.md").out.count("plan.md:") >= 2


@pytest.mark.parametrize(
    ("path", "says"), [("nothing.md", "There is no nothing.md"), (".", "is a folder"), ("a.txt/plan.md", "a.txt")]
)
def test_a_plan_that_is_not_there_is_said(site: Site, path: str, says: str) -> None:
    ran = site.muster("run", "--plan", path, "--json")

    assert ran.code == 2
    assert says in said(ran)


def test_wrong_arguments_are_said_with_the_way_to_help(site: Site) -> None:
    for args in (["rnu"], ["run", "--gates", "ajar"], ["show", "@last"], ["stop"], ["log", "x", "y"]):
        ran = site.muster(*args)

        assert (ran.code, ran.out) == (2, ""), (args, ran)
        assert ran.err.startswith("muster: ")
        assert args != ["rnu"] or "Did you mean 'run'?" in ran.err
    assert "usage" in site.muster("run", "--gates", "ajar", "--json").json["error"]["code"]


def no_commit(site: Site) -> Path:
    site.git("init", "-q", str(site.root / "new"))
    return site.root / "new"


def no_repository(site: Site) -> Path:
    (site.root / "plain").mkdir()
    return site.root / "plain"


def bare(site: Site) -> Path:
    site.git("clone", "-q", "--bare", str(site.top), str(site.root / "bare.git"))
    return site.root / "bare.git"


def inside_git(site: Site) -> Path:
    return site.top / ".git"


def broken_git(site: Site) -> Path:
    folder = site.root / "broken"
    folder.mkdir()
    (folder / ".git").write_text("gitdir: /nowhere/at/all\n")
    return folder


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (no_commit, "no commit yet"),
        (no_repository, "git repository"),
        (bare, "is a bare repository"),
        (inside_git, "the inside of a git folder"),
        (broken_git, "does not lead to a git folder"),
    ],
)
def test_a_place_where_nothing_can_run_is_named(site: Site, place: Callable[[Site], Path], says: str) -> None:
    site.write({"plan.md": plan(adds("x"))}, at=site.root)
    folder = place(site)

    ran = site.muster("run", "--plan", str(site.root / "plan.md"), "--json", cwd=folder)

    assert ran.code in (2, 8), ran
    assert says in said(ran)
    assert ran.json["error"]["hint"]
    assert site.muster("ls", cwd=folder).code in (0, 2, 8)


# The store


@pytest.fixture
def finished(site: Site) -> Site:
    """A site with one finished run, its store at rest."""
    site.plan(adds("x"))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open", "-q").code == 0
    return site


def newer(store: Path) -> None:
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def truncated(store: Path) -> None:
    store.write_bytes(store.read_bytes()[: store.stat().st_size // 2])


def garbage(store: Path) -> None:
    store.write_bytes(b"what is this" * 1000)


def another(store: Path) -> None:
    store.unlink()
    connection = sqlite3.connect(store)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(("harm", "code"), [(newer, 8), (truncated, 6), (garbage, 6), (another, 6)])
def test_a_store_that_cannot_be_used_is_refused_and_left_as_it_is(
    finished: Site, harm: Callable[[Path], None], code: int
) -> None:
    store = finished.top / ".muster/state/muster.db"
    harm(store)
    before = store.read_bytes()

    for args in (["ls"], ["run", "--plan", "plan.md"], ["continue"]):
        ran = finished.muster(*args, "--json")

        assert ran.code == code, (args, ran)
        assert "muster.db" in said(ran)
    assert store.read_bytes() == before
    assert sorted(path.name for path in store.parent.iterdir() if path.is_file()) == ["muster.db"]


def test_an_agent_whose_program_is_missing_is_said_before_anything_starts(site: Site) -> None:
    config = site.root / "config"
    site.write({"muster/config.toml": '[agents.kimi]\ndialect = "acp"\ncommand = ["no-such-program-9f2"]\n'}, at=config)
    site.write({"plan.md": YAML % "id: one\nagent: kimi\nprompt: Do it."})

    ran = site.muster("run", "--plan", "plan.md", "--json", env={"XDG_CONFIG_HOME": str(config)})

    assert ran.code == 8, ran
    assert "'kimi'" in said(ran)
    assert site.muster("ls", "--json").json["runs"] == []
