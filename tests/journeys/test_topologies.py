"""Repositories of every shape: parts of bigger ones, shallow ones, linked ones, odd names."""

from __future__ import annotations

import os

from tests.journeys.site import Site, adds, plan, task

ODD = [
    "two words.txt",
    "quo\"te's.txt",
    "new\nline.txt",
    "tab\t.txt",
    "-dash.txt",
    "*star?.txt",
    "ümläut ✓.txt",
    "\udcff.txt",
]


def test_a_project_in_a_folder_of_a_bigger_repository(site: Site) -> None:
    site.commit("Big", {"pkg/one/app.txt": "1\n", "pkg/two/app.txt": "2\n"})
    one = site.top / "pkg/one"
    site.write({"pkg/one/plan.md": plan(task("new", "cat app.txt > copy.txt", expected_paths=["copy.txt"]))})
    assert site.muster("init", cwd=one).code == 0

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", cwd=one)

    assert ran.code == 0, ran
    assert "pkg/one/copy.txt" in site.tree()
    assert not (site.top / ".muster").exists()
    assert "pkg/one/copy.txt" in site.muster("diff", cwd=one).out
    assert site.muster("show", "--json", cwd=one).json["status"] == "complete"

    site.write({"pkg/one/plan.md": plan(task("out", "echo x > ../two/x.txt; echo y > y.txt"))})
    outside = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json", cwd=one)

    assert outside.code == 1
    assert "pkg/two/x.txt" in outside.json["tasks"][0]["reason"]
    assert "pkg/two/x.txt" not in site.tree()


def test_file_names_of_every_kind_go_through(site: Site) -> None:
    names = [os.fsencode(name) for name in ODD]
    script = f"for name in {names!r}: open(name, 'ab').write(b'more\\n')"
    site.write({"edit.py": script})
    for name in names:
        (site.top / os.fsdecode(name)).write_bytes(b"x\n")
    site.git("add", "-A")
    site.git("commit", "-q", "-m", "Odd names")
    site.plan(
        task("edit", "python3 -S -E edit.py", expected_paths=["two words.txt", "ümläut ✓.txt"]),
        task("add", "printf x > 'another odd\nname'; mkdir -p 'a b/ç'; printf x > 'a b/ç/d'"),
    )

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json")

    assert ran.code == 0, ran
    for name in names:
        assert (site.top / os.fsdecode(name)).read_bytes() == b"x\nmore\n"
    assert {"another odd\nname", "a b/ç/d"} <= set(site.tree())
    assert site.muster("show").code == site.muster("diff").code == site.muster("report").code == 0
    assert site.git("status", "--porcelain", "--untracked-files=no") == ""


def test_line_ends_are_kept_as_they_are(site: Site) -> None:
    site.commit(
        "Windows", {"dos.txt": b"one\r\ntwo\r\n", ".gitattributes": "eol.txt text eol=crlf\n", "eol.txt": "a\r\n"}
    )
    site.plan(task("dos", "printf 'three\\r\\n' >> dos.txt; printf 'b\\r\\n' >> eol.txt"))

    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0

    assert (site.top / "dos.txt").read_bytes() == b"one\r\ntwo\r\nthree\r\n"
    assert (site.top / "eol.txt").read_bytes() == b"a\r\nb\r\n"
    assert site.git("cat-file", "blob", "main:eol.txt") == "a\nb"
    assert site.git("status", "--porcelain", "--untracked-files=no") == ""


def test_a_shallow_clone_with_a_submodule(site: Site) -> None:
    site.git("init", "-q", str(site.root / "lib"))
    site.write({"lib.txt": "lib\n"}, at=site.root / "lib")
    site.git("add", "-A", cwd=site.root / "lib")
    site.git("commit", "-q", "-m", "Lib", cwd=site.root / "lib")
    site.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{site.root}/lib", "lib")
    site.commit("With a submodule", {"c.txt": "3\n"})
    site.git("clone", "-q", "--depth", "1", f"file://{site.top}", str(site.root / "shallow"))
    shallow = site.root / "shallow"
    site.git("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", cwd=shallow)
    site.write({"plan.md": plan(adds("new"))}, at=shallow)

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", cwd=shallow)

    assert ran.code == 0, ran
    assert "new.txt" in site.git("ls-tree", "--name-only", "HEAD", cwd=shallow)
    assert (shallow / "lib/lib.txt").read_text() == "lib\n"
    assert site.git("status", "--porcelain", "--untracked-files=no", cwd=shallow) == ""
    assert site.git("rev-parse", "--is-shallow-repository", cwd=shallow) == "true"


def test_a_worktree_of_the_user_on_a_branch_with_slashes(site: Site) -> None:
    linked = site.root / "linked"
    site.git("worktree", "add", "-q", "-b", "feature/one/two", str(linked))
    site.write({"plan.md": plan(adds("new"))}, at=linked)
    before = {name: data for name, data in site.users().items() if not name.startswith(".git/")}
    main = site.head("main")

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", cwd=linked)

    assert ran.code == 0, ran
    assert (linked / "new.txt").read_text() == "new\n"
    assert site.tree("feature/one/two") == ["a.txt", "b.txt", "new.txt"]
    assert site.head("main") == main
    assert {name: data for name, data in site.users().items() if not name.startswith(".git/")} == before


def test_a_detached_head_gets_the_result_as_a_ref(site: Site) -> None:
    site.git("switch", "-q", "--detach")
    site.plan(adds("new"))
    base = site.head()

    ran = site.muster("run", "--plan", "plan.md", "--json")

    assert ran.code == 0, ran
    assert site.head() == site.head("main") == base
    ref = f"refs/muster/{ran.json['run']}/integration"
    assert ref in site.muster("show").out
    assert site.tree(ref) == ["a.txt", "b.txt", "new.txt"]
    assert site.muster("undo").code == 2


def test_a_branch_that_is_not_checked_out_any_more_is_merged_all_the_same(site: Site) -> None:
    site.plan(adds("new"))
    assert site.muster("run", "--plan", "plan.md", "-q").code == 3
    site.git("switch", "-q", "-c", "elsewhere")
    site.write({"a.txt": "dirty\n"})

    assert site.muster("approve", "--continue").code == 0

    assert site.tree("main") == ["a.txt", "b.txt", "new.txt"]
    assert site.tree("elsewhere") == ["a.txt", "b.txt"]
    assert (site.top / "a.txt").read_text() == "dirty\n"


def test_two_repositories_do_not_meet(site: Site) -> None:
    other = Site.create(site.root / "other")
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo x > x.txt"))
    other.plan(adds("new"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    assert other.muster("ps", "--json").json["processes"] == []
    assert other.muster("stop").code == 2
    assert other.muster("run", "--plan", "plan.md", "--gates", "open").code == 0
    assert other.muster("gc").code == 0
    meeting.leave()

    assert running.end().code == 0


def test_two_runs_in_one_repository_are_both_merged(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo slow > slow.txt", verify=["test -f slow.txt"]), at="slow.md")
    site.plan(adds("fast"), at="fast.md")
    slow = site.start("run", "--plan", "slow.md", "--gates", "open")
    meeting.reached()

    assert site.muster("run", "--plan", "fast.md", "--gates", "open").code == 0
    assert [one["status"] for one in site.muster("ls", "--json").json["runs"]] == ["complete", "running"]
    meeting.leave()

    assert slow.end().code == 0
    assert site.tree() == ["a.txt", "b.txt", "fast.txt", "slow.txt"]
