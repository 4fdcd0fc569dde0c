"""What a review looks at, in every shape that a range can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.errors import InputError
from muster.model.findings import Treatment
from muster.review.diff import read_changes, read_patch
from muster.review.scope import Scope, find_scope
from muster.review.triage import triage
from tests.integration.git_project import GitProject

pytestmark = pytest.mark.anyio
ROOT_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@pytest.fixture
def project(tmp_path: Path) -> GitProject:
    return GitProject.create(tmp_path)


def table(scope: Scope) -> dict[str, tuple[str, int | None, int | None]]:
    return {change.path: (change.status, change.added, change.deleted) for change in scope.changes}


def covers_everything(scope: Scope) -> bool:
    return [row.path for row in triage(scope).covered] == [change.path for change in scope.changes]


async def test_the_diff_is_counted_as_git_prints_it(project: GitProject) -> None:
    since = project.head()
    project.commit("More", {"a.txt": "one\ntwo\n", "new name.txt": "x\n", "naïve.txt": "é\n"})

    scope = await find_scope(project.top, since=since)

    assert scope.diff_bytes == len((project.git("-c", "core.quotePath=false", "diff", since, "HEAD") + "\n").encode())
    assert table(scope) == {"a.txt": ("M", 1, 0), "naïve.txt": ("A", 1, 0), "new name.txt": ("A", 1, 0)}
    assert scope.changes[0].hunks[0].lines == (b" one", b"+two")
    assert not scope.disagreeing


async def test_without_a_start_the_last_commit_is_looked_at(project: GitProject) -> None:
    before = project.head()
    project.commit("Second", {"a.txt": "two\n"})

    scope = await find_scope(project.top)

    assert (scope.before, list(table(scope))) == (before, ["a.txt"])
    assert "last commit" in scope.warnings[0]


async def test_a_start_may_be_named_in_every_way_that_git_knows(project: GitProject) -> None:
    since = project.head()
    project.git("tag", "-a", "v1", "-m", "One")
    project.commit("Second", {"a.txt": "two\n"})

    names = ("v1", "HEAD~1", "@^", since[:8], ":/First", "HEAD^{/First}", "main@{1}")
    assert {name: (await find_scope(project.top, since=name)).before for name in names} == dict.fromkeys(names, since)


async def test_the_first_commit_is_all_new(project: GitProject) -> None:
    scope = await find_scope(project.top)

    assert {status for status, _, _ in table(scope).values()} == {"A"}
    assert len(scope.changes) == 3
    assert (await find_scope(project.top, since=ROOT_TREE)).changes == scope.changes


async def test_an_empty_range_has_no_changes(project: GitProject) -> None:
    scope = await find_scope(project.top, since="HEAD")

    assert scope.changes == ()
    assert scope.diff_bytes == 0


async def test_a_repository_without_a_commit_shows_what_is_in_the_folder(tmp_path: Path) -> None:
    project = GitProject(tmp_path)
    project.top.mkdir()
    project.git("init", "-q")
    project.write({"a.py": "x = 1\n"})

    scope = await find_scope(project.top)

    assert [(change.path, change.uncommitted) for change in scope.changes] == [("a.py", True)]


async def test_uncommitted_changes_are_part_of_it_and_marked(project: GitProject) -> None:
    since = project.head()
    project.commit("Second", {"a.txt": "two\n"})
    project.write({"b.txt": "changed\n", "untracked.txt": "x\n", ".muster/projects/x/review.md": "ours\n"})
    index = (project.top / ".git/index").read_bytes()

    scope = await find_scope(project.top, since=since)

    assert {change.path: change.uncommitted for change in scope.changes} == {
        "a.txt": False,
        "b.txt": True,
        "untracked.txt": True,
    }
    assert (project.top / ".git/index").read_bytes() == index
    committed = await find_scope(project.top, since=since, include_uncommitted=False)
    assert list(table(committed)) == ["a.txt"]


async def test_merges_and_octopuses_are_compared_from_end_to_end(project: GitProject) -> None:
    since = project.head()
    for name in ("one", "two", "three"):
        project.git("switch", "-q", "-c", name, since)
        project.commit(name, {f"{name}.txt": "x\n"})
    project.git("switch", "-q", "main")
    project.git("merge", "-q", "-m", "octopus", "one", "two", "three")

    scope = await find_scope(project.top, since=since)

    assert sorted(table(scope)) == ["one.txt", "three.txt", "two.txt"]
    assert not scope.warnings


async def test_renames_modes_types_links_and_binaries_keep_their_kind(project: GitProject) -> None:
    since = project.commit("Base", {"big.txt": "line\n" * 50, "tool.sh": "run\n", "kind": "text\n", "bin": b"\0\1"})
    project.git("mv", "big.txt", "moved.txt")
    project.run("chmod +x tool.sh; rm kind; ln -s a.txt kind; printf '\\0\\2' > bin")
    project.git("init", "-q", "sub")
    project.git("commit", "-q", "--allow-empty", "-m", "in", cwd=project.top / "sub")
    project.commit("Kinds", {})

    scope = await find_scope(project.top, since=since)

    kinds = {change.path: change for change in scope.changes}
    assert (kinds["moved.txt"].status, kinds["moved.txt"].old_path, kinds["moved.txt"].hunks) == ("R", "big.txt", ())
    assert (kinds["tool.sh"].old_mode, kinds["tool.sh"].mode, kinds["tool.sh"].added) == ("100644", "100755", 0)
    assert (kinds["kind"].status, kinds["kind"].mode) == ("T", "120000")
    assert (kinds["bin"].added, kinds["bin"].deleted) == (None, None)
    assert kinds["sub"].mode == "160000"
    assert not scope.disagreeing
    assert covers_everything(scope)


async def test_odd_names_and_odd_bytes_are_kept_as_they_are(project: GitProject) -> None:
    since = project.head()
    names = ["tab\there", 'quo"te', "new\nline", "back\\slash", "b/ a/x b", "=1.0", "-m", os.fsdecode(b"latin\xe9")]
    files = dict.fromkeys(names, "x\n") | {"gbk.txt": "编码".encode("gbk"), "crlf.txt": b"a\r\nb\r\n"}
    project.commit("Odd", files)

    scope = await find_scope(project.top, since=since)

    assert sorted(table(scope)) == sorted(files)
    assert all(change.hunks for change in scope.changes)
    assert not scope.disagreeing
    new = {change.path: scope.new(change) for change in scope.changes}
    assert new["gbk.txt"] == "编码".encode("gbk")
    assert new["crlf.txt"] == b"a\r\nb\r\n"


async def test_neither_attributes_nor_drivers_nor_replacements_hide_a_line(project: GitProject) -> None:
    since = project.commit("Base", {"a.py": "x = 1\n", "b.py": "y = 1\n"})
    hidden = "* -diff binary diff=evil filter=evil linguist-generated\n"
    project.commit("Hide", {".gitattributes": hidden, "a.py": "x = eval(input())\n", "b.py": "y = 2\n"})
    (project.top / ".git/info/attributes").write_text("*.py -diff\n")
    mark = project.root / "ran"
    for name in ("diff.evil.textconv", "diff.evil.command", "diff.external", "core.fsmonitor"):
        project.git("config", name, f"touch {mark}; true")
    project.git("config", "diff.noprefix", "true")
    project.git("config", "diff.ignoreSubmodules", "all")
    project.git("replace", "HEAD", since)
    plain = project.git("rev-parse", "HEAD:b.py")
    fake = project.git("hash-object", "-w", "--stdin", stdin=b"y = 1\n")
    project.git("replace", plain, fake, ok=False)

    scope = await find_scope(project.top, since=since)

    assert table(scope) == {".gitattributes": ("A", 1, 0), "a.py": ("M", 1, 1), "b.py": ("M", 1, 1)}
    assert scope.changes[1].hunks[0].lines == (b"-x = 1", b"+x = eval(input())")
    assert not mark.exists()


@pytest.mark.parametrize("bent", ["replace", "graft"])
async def test_which_commit_is_the_last_is_not_bent(project: GitProject, bent: str) -> None:
    first = project.head()
    second = project.commit("Second", {"a.txt": "two\n"})
    third = project.commit("Third", {"b.txt": "three\n"})
    if bent == "graft":
        project.run(f"mkdir -p .git/info; echo {third} {first} > .git/info/grafts")
    else:
        project.git("replace", "--graft", third, first)

    assert (await find_scope(project.top)).before == second


async def test_a_bare_a_shallow_and_a_detached_repository_work(project: GitProject) -> None:
    project.commit("Second", {"a.txt": "two\n"})
    project.git("clone", "-q", "--bare", ".", str(project.root / "bare.git"))
    project.git("clone", "-q", "--depth=1", f"file://{project.top}", str(project.root / "shallow"))
    project.git("switch", "-q", "--detach")

    for place, files in (("bare.git", 1), ("shallow", 3), ("repo", 1)):
        scope = await find_scope(project.root / place)
        assert len(scope.changes) == files, place
    shallow = await find_scope(project.root / "shallow")
    assert "shallow" in shallow.warnings[0]


async def test_the_start_may_be_the_time_of_the_brief_or_the_sessions_first_commit(project: GitProject) -> None:
    first = project.head()
    when = float(project.git("log", "-1", "--format=%ct"))
    project.env |= {"GIT_COMMITTER_DATE": f"{int(when) + 100} +0000"}
    project.commit("Second", {"a.txt": "two\n"})

    by_brief = await find_scope(project.top, brief_mtime=when + 50)
    by_session = await find_scope(project.top, session_start=first, brief_mtime=when + 500)
    lost = await find_scope(project.top, session_start="f" * 40, brief_mtime=when + 50)

    assert [by_brief.before, by_session.before, lost.before] == [first] * 3
    assert "before the brief" in by_brief.warnings[0]
    assert by_session.warnings == ()
    assert "not in this repository" in lost.warnings[0]


@pytest.mark.parametrize("since", ["nowhere", "--output=x", "HEAD..HEAD", "a.txt", ":/no", "HEAD\nHEAD", "HEAD:a.txt"])
async def test_a_start_that_is_no_commit_is_an_error_of_the_user(project: GitProject, since: str) -> None:
    with pytest.raises(InputError):
        await find_scope(project.top, since=since)


async def test_outside_of_a_repository_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not in a git repository"):
        await find_scope(tmp_path)


async def test_exactly_a_hundred_files_pass_and_one_more_is_refused(project: GitProject) -> None:
    since = project.head()
    middle = project.commit("Many", {f"f{n}.txt": "x\n" for n in range(100)})

    passed = triage(await find_scope(project.top, since=since))
    project.commit("One more", {"g.txt": "x\n"})
    refused = triage(await find_scope(project.top, since=since))

    assert passed.refused == ""
    assert "101 files" in refused.refused
    assert len(refused.covered) == 101
    assert refused.suggestions[0].startswith(f"muster review --since {middle[:12]} (1 file,")


async def test_what_is_not_committed_is_counted_in_what_is_suggested(project: GitProject) -> None:
    since = project.head()
    middle = project.commit("Many", {f"f{n}.txt": "x\n" for n in range(60)})
    project.write({f"g{n}.txt": "x\n" for n in range(60)})
    parted = await find_scope(project.top, since=since)
    project.write({f"h{n}.txt": "x\n" for n in range(60)})
    too_large = await find_scope(project.top, since=since)

    fitting, committed = parted.suggestions
    assert fitting.startswith(f"muster review --since {middle[:12]} (60 files,")
    assert fitting.endswith("uncommitted changes)")
    assert committed.startswith(f"at {middle[:12]}: muster review --since {since[:12]} (60 files,")
    assert not (await find_scope(project.top, since=middle, include_uncommitted=False)).too_large
    assert too_large.suggestions[0].startswith("What is not committed is too large by itself (120 files,")


async def test_exactly_four_hundred_thousand_bytes_pass_and_one_more_is_refused(project: GitProject) -> None:
    since = project.head()
    project.commit("Big", {"big.txt": "x" * 399_000 + "\n"})
    spare = 400_000 - (await find_scope(project.top, since=since)).diff_bytes
    project.commit("Exact", {"big.txt": "x" * (399_000 + spare) + "\n"})

    exact = await find_scope(project.top, since=since)
    project.commit("More", {"big.txt": "x" * (399_001 + spare) + "\n"})
    more = await find_scope(project.top, since=since)

    assert (exact.diff_bytes, triage(exact).refused) == (400_000, "")
    assert more.diff_bytes == 400_001
    assert "100,001 tokens" in triage(more).refused
    assert more.blobs == {}


async def test_files_are_treated_by_their_names_and_their_first_lines(project: GitProject) -> None:
    since = project.commit("Base", {"gen.py": "# @generated\nx = 1\n", "hand.py": "x = 1\n"})
    skipped = {"poetry.lock", "sub/a.svg", "dist/x.js"}
    deep = {"auth/login.py", "src/security/x.py", "AGENTS.md"}
    names = [*skipped, *deep, "src/build/x.py"]
    files = dict.fromkeys(names, "x\n") | {"gen.py": "# @generated\nx = 2\n", "hand.py": "# @generated\nx = 2\n"}
    project.commit("Work", files)

    rows = {row.path: row.treatment for row in triage(await find_scope(project.top, since=since)).covered}

    assert {path for path, how in rows.items() if how is Treatment.SKIP} == skipped | {"gen.py"}
    assert {path for path, how in rows.items() if how is Treatment.DEEP} == deep


LISTING = b":100644 100644 %b %b M\0a.py\0:100644 100644 %b %b R090\0b\0c\0" % ((b"a" * 40,) * 4)
LISTING += b"1\t1\ta.py\0" + b"0\t2\t\0b\0c\0"
ODD_LINES = (b"diff --git a/a.py b/a.py", b"@@ -1 +1 @@", b"-x", b"+y", b" ", b"\\ No", b"@@ -9,9", b"\0", b"\xff")


@given(st.lists(st.sampled_from(ODD_LINES)))
def test_no_patch_loses_a_file_or_stops_the_reader(lines: list[bytes]) -> None:
    changes, disagreeing = read_changes(LISTING, b"\n".join(lines))

    assert [change.path for change in changes] == ["a.py", "c"]
    assert "c" in disagreeing


NAMES = st.binary(min_size=1, max_size=8).map(lambda data: data.replace(b"\0", b":"))


@given(st.lists(st.tuples(st.sampled_from("AMDTRC"), NAMES, NAMES, st.none() | st.integers(0, 9)), max_size=5))
def test_no_name_makes_the_reader_lose_a_file(rows: list[tuple[str, bytes, bytes, int | None]]) -> None:
    raw, numbers = b"", b""
    for status, old, new, lines in rows:
        count = b"-\t-\t" if lines is None else b"%d\t0\t" % lines
        raw += b":100644 100644 %b %b %b\0" % (b"a" * 40, b"b" * 40, status.encode())
        raw += old + b"\0" + new + b"\0" if status in "RC" else new + b"\0"
        numbers += count + (b"\0" + old + b"\0" + new if status in "RC" else new) + b"\0"

    found, _ = read_changes(raw + numbers, b"")

    assert [(one.status, os.fsencode(one.path)) for one in found] == [(status, new) for status, _, new, _ in rows]


@given(st.binary())
def test_any_bytes_are_read_as_a_patch_and_as_a_listing(data: bytes) -> None:
    list(read_patch(data))
    read_changes(data, data)
