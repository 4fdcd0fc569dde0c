"""What is the user's stays as it is, byte for byte, until the merge that they allow."""

from __future__ import annotations

import os

from tests.journeys.site import Site, adds, task


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """The names under which something differs."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_a_whole_run_up_to_the_merge_leaves_every_byte_of_the_user_as_it_was(site: Site) -> None:
    site.git("switch", "-q", "-c", "topic/with/slashes")
    site.commit("More", {"bin/tool": "#!/bin/sh\n", "c.txt": "three\n"})
    (site.top / "bin/tool").chmod(0o755)
    site.write({"a.txt": "stashed\n"})
    site.git("stash", "-q")
    site.write({"a.txt": "edited\n", "b.txt": "staged\n", "new.txt": "untracked\n", "dir/odd name\t": "x"})
    site.git("add", "b.txt")
    (site.top / "c.txt").unlink()
    (site.top / "link").symlink_to("nowhere")
    site.plan(
        adds("one"),
        task("two", "rm a.txt; chmod 600 b.txt; git config user.name Task; git stash list; echo 2 > two.txt"),
        task("bad", "echo half > half.txt; exit 1", on_failure="continue"),
        task("both", "cat one.txt two.txt > both.txt", needs=["one", "two"]),
    )
    os.utime(site.top / "b.txt", (1, 1))
    before = site.users()

    assert site.muster("run", "--plan", "plan.md", "-q").code == 3
    site.muster("show")
    site.muster("doctor")
    site.muster("diff")

    # A task is as powerful as the user: the one that set a name in the shared configuration did just that.
    assert changed(before, site.users()) <= {".git/config"}
    assert b"name = Task" in site.users()[".git/config"]

    site.git("config", "--unset", "user.name")
    denied = site.muster("deny", "-m", "no")
    assert denied.code == 0
    assert changed(before, site.users()) <= {".git/config"}
    assert "half.txt" in site.tree(
        "refs/muster/salvage/" + site.muster("ls", "--json").json["runs"][0]["run"] + "/bad/1"
    )


def test_uncommitted_changes_block_the_merge_until_they_are_put_away(site: Site) -> None:
    site.plan(adds("new"))
    site.write({"a.txt": "mine\n"})
    before = site.users()

    blocked = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json")

    assert (blocked.code, blocked.json["status"]) == (3, "waiting")
    assert "uncommitted changes" in site.muster("show").out
    assert "a.txt" in blocked.json["hint"]
    assert changed(before, site.users()) == set()
    assert site.muster("ls", "--json").json["runs"][0]["status"] == "waiting"

    again = site.muster("continue")
    assert again.code == 3
    assert "a.txt" in again.out

    site.git("stash", "-q")
    went_on = site.muster("continue")
    site.git("stash", "pop", "-q")

    assert went_on.code == 0, went_on
    assert site.tree() == ["a.txt", "b.txt", "new.txt"]
    assert (site.top / "a.txt").read_text() == "mine\n"


def test_an_untracked_file_in_the_way_is_not_overwritten(site: Site) -> None:
    site.plan(adds("new"))
    site.write({"new.txt": "mine\n"})

    blocked = site.muster("run", "--plan", "plan.md", "--gates", "open")

    assert blocked.code == 3
    assert "new.txt" in blocked.out
    assert (site.top / "new.txt").read_text() == "mine\n"
    assert site.tree() == ["a.txt", "b.txt"]
    (site.top / "new.txt").rename(site.root / "new.txt")
    assert site.muster("continue").code == 0
    assert (site.top / "new.txt").read_text() == "new\n"


def test_commits_of_the_user_during_the_run_are_merged_and_proven_again(site: Site) -> None:
    meeting = site.meeting()
    traces = site.root / "checks"
    check = f"git log -1 --format=%H >> {traces}; test -f new.txt"
    site.plan(task("new", f"{meeting.command}; echo new > new.txt", verify=[check]))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()

    mine = site.commit("Meanwhile", {"mine.txt": "mine\n"})
    meeting.leave()

    assert running.end().code == 0
    assert site.head("HEAD^1") == mine
    assert site.tree() == ["a.txt", "b.txt", "mine.txt", "new.txt"]
    assert len(traces.read_text().split()) == 2, "the merged tree is new, so it has to be proven"
    assert site.muster("undo").code == 0
    assert site.head() == mine


def test_a_branch_that_moves_in_the_last_moment_is_merged_anew(site: Site) -> None:
    working, proving, traces = site.meeting("working"), site.meeting("proving"), site.root / "checks"
    # Proven in its own folder, then on top of the user's first commit, then on top of the second.
    check = f'echo x >> {traces}; if [ "$(wc -l < {traces})" = 2 ]; then {proving.command}; fi; test -f new.txt'
    site.plan(task("new", f"{working.command}; echo new > new.txt", verify=[check]))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    working.reached()
    site.commit("Meanwhile", {"mine.txt": "mine\n"})
    working.leave()
    proving.reached()

    last = site.commit("In the last moment", {"last.txt": "last\n"})
    proving.leave()

    assert running.end().code == 0
    assert site.head("HEAD^1") == last
    assert site.tree() == ["a.txt", "b.txt", "last.txt", "mine.txt", "new.txt"]
    assert len(traces.read_text().split()) == 3
    assert [one["reason"] for one in site.of("main.merge_blocked")] == ["moved"]


def test_a_commit_of_the_user_that_breaks_the_work_is_said_before_the_merge(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("new", f"{meeting.command}; echo new > new.txt", verify=["! test -f mine.txt"]))
    running = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    meeting.reached()

    mine = site.commit("Meanwhile", {"mine.txt": "mine\n"})
    meeting.leave()
    ended = running.end()

    assert (ended.code, ended.json["status"]) == (3, "waiting")
    assert "`! test -f mine.txt` fails" in ended.json["reason"]
    assert site.head() == mine


def test_a_conflict_with_the_user_is_left_to_the_user_with_the_command_for_it(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("edit", f"{meeting.command}; echo theirs > a.txt"))
    running = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    meeting.reached()

    mine = site.commit("Meanwhile", {"a.txt": "mine\n"})
    meeting.leave()
    ended = running.end()

    assert (ended.code, ended.json["status"]) == (3, "waiting")
    assert "conflicts in a.txt" in ended.json["reason"]
    assert (site.head(), site.git("status", "--porcelain", "--untracked-files=no")) == (mine, "")
    command = ended.json["hint"].split()
    assert command[:2] == ["git", "merge"]

    site.git(*command[1:], ok=False)
    assert site.git("diff", "--name-only", "--diff-filter=U") == "a.txt"
    site.write({"a.txt": "both\n"})
    site.git("commit", "-q", "-a", "-m", "Both")

    assert site.muster("continue").code == 0
    assert site.show()["status"] == "complete"
    assert (site.top / "a.txt").read_text() == "both\n"


def test_undo_refuses_to_take_away_what_came_after(site: Site) -> None:
    site.plan(adds("new"))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 0
    later = site.commit("Later", {"later.txt": "x\n"})

    refused = site.muster("undo", "--json")

    assert (refused.code, refused.json["error"]["code"]) == (6, "conflict")
    assert site.head() == later
