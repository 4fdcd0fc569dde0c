"""What every Workspace promises; an adapter's test subclasses this and says how to make one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from muster.model.errors import ConflictError
from muster.ports import CommitNote, Workspace

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOTE = CommitNote(message="Work\n\nMuster-Task: T1\n", author="Agent <agent@example.org>", at=AT)
MERGE = CommitNote(message="Merge\n", author="Muster <muster@localhost>", at=AT)
FILES = {"a.txt": b"one\n", "b.txt": b"two\n", "dir/c.txt": b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"}


class WorkspaceContract:
    """Subclasses give a project with ``FILES`` on a branch, and workspaces of one run in it."""

    async def start(self, tmp_path: Path) -> None:
        """Make the project."""
        raise NotImplementedError

    async def open(self) -> Workspace:
        """A workspace of the run, as a process makes it; each call is another process."""
        raise NotImplementedError

    async def base(self) -> tuple[str, str]:
        """The commit and the full ref of the user's branch."""
        raise NotImplementedError

    async def content(self, commit: str) -> Mapping[str, bytes]:
        """The files of a commit."""
        raise NotImplementedError

    @pytest.fixture
    async def work(self, tmp_path: Path) -> Workspace:
        await self.start(tmp_path)
        return await self.open()

    @staticmethod
    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.relative_to(folder).parts[0] != ".git"
        }

    @pytest.mark.anyio
    async def test_a_prepared_folder_holds_exactly_the_base(self, work: Workspace) -> None:
        base, _ = await self.base()

        place = await work.prepare("T1", 1, base)

        assert self.read(place) == FILES
        assert await work.place("T1") == place
        assert await work.place("T2") is None

    @pytest.mark.anyio
    async def test_a_folder_that_is_kept_is_as_the_attempt_before_left_it_also_for_another_process(
        self, work: Workspace
    ) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("half\n")
        (place / "new.txt").write_text("new\n")

        again = await (await self.open()).prepare("T1", 2, base, keep=True)
        left = await work.collect("T1", 2, base, NOTE, hooks=False)

        assert again == place
        assert self.read(place) == {**FILES, "a.txt": b"half\n", "new.txt": b"new\n"}
        assert set(left.paths) == {"a.txt", "new.txt"}

    @pytest.mark.anyio
    async def test_a_folder_is_clean_where_there_was_none_to_keep(self, work: Workspace) -> None:
        base, _ = await self.base()

        assert self.read(await work.prepare("T1", 2, base, keep=True)) == FILES

    @pytest.mark.anyio
    async def test_what_a_task_leaves_becomes_a_commit_that_names_the_changed_paths(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("changed\n")
        (place / "b.txt").unlink()
        (place / "new dir").mkdir()
        (place / "new dir" / "n\new.txt").write_text("n\n")

        left = await work.collect("T1", 1, base, NOTE, hooks=False)

        assert set(left.paths) == {"a.txt", "b.txt", "new dir/n\new.txt"}
        assert left.outside == ()
        assert left.embedded == ()
        assert left.hook_failure == ""
        assert left.message.rstrip() == NOTE.message.rstrip()
        assert left.tree == await work.tree_of(left.commit)
        assert await self.content(left.commit) == {
            "a.txt": b"changed\n",
            "dir/c.txt": FILES["dir/c.txt"],
            "new dir/n\new.txt": b"n\n",
        }

    @pytest.mark.anyio
    async def test_a_task_that_leaves_nothing_collects_its_base(self, work: Workspace) -> None:
        base, _ = await self.base()
        await work.prepare("T1", 1, base)

        left = await work.collect("T1", 1, base, NOTE, hooks=False)

        assert left.commit == base
        assert left.tree == await work.tree_of(base)
        assert left.paths == ()

    @pytest.mark.anyio
    async def test_collecting_again_after_a_crash_gives_the_same_commit(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("changed\n")
        left = await work.collect("T1", 1, base, NOTE, hooks=False)

        again = await (await self.open()).collect("T1", 1, base, NOTE, hooks=False)

        assert again == left

    @pytest.mark.anyio
    async def test_equal_work_with_equal_notes_is_the_same_commit(self, work: Workspace) -> None:
        base, _ = await self.base()
        commits = []
        for task in ("T1", "T2"):
            place = await work.prepare(task, 1, base)
            (place / "a.txt").write_text("changed\n")
            commits.append((await work.collect(task, 1, base, NOTE, hooks=False)).commit)

        assert commits[0] == commits[1]

    @pytest.mark.anyio
    async def test_two_tasks_never_see_each_other(self, work: Workspace) -> None:
        base, _ = await self.base()
        first = await work.prepare("T1", 1, base)
        (first / "a.txt").write_text("of the first\n")
        second = await work.prepare("T2", 1, base)

        assert first != second
        assert self.read(second) == FILES

    @pytest.mark.anyio
    @pytest.mark.parametrize("untouched", [False, True])
    async def test_a_folder_that_is_used_again_keeps_nothing(self, work: Workspace, untouched: bool) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("changed\n")
        (place / "empty" / "deep").mkdir(parents=True)
        (place / "new.txt").write_text("n\n")
        left = await work.collect("T1", 1, base, NOTE, hooks=False)
        if not untouched:
            (place / "late.txt").write_text("left by a check\n")
            (place / "b.txt").write_text("changed by a check\n")
        await work.dispose("T1", untouched=untouched)

        second = await work.prepare("T2", 1, base)
        third = await work.prepare("T3", 1, left.commit)

        assert self.read(second) == FILES
        assert sorted(path.name for path in second.rglob("*") if path.is_dir()) == ["dir"]
        assert self.read(third) == await self.content(left.commit)

    @pytest.mark.anyio
    async def test_a_second_attempt_starts_clean(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("half done\n")
        await work.salvage("T1", 1)

        again = await work.prepare("T1", 2, base)

        assert again == place
        assert self.read(again) == FILES

    @pytest.mark.anyio
    async def test_salvage_saves_what_was_not_committed(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("half done\n")
        (place / "new.txt").write_text("new\n")

        saved = await work.salvage("T1", 1)

        assert saved is not None
        assert saved.ref.endswith("/T1/1")
        assert saved.kept == ""
        assert await self.content(saved.commit) == {**FILES, "a.txt": b"half done\n", "new.txt": b"new\n"}

    @pytest.mark.anyio
    async def test_salvage_again_is_the_same_and_other_work_never_overwrites_it(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("half done\n")
        first = await work.salvage("T1", 1)

        assert await work.salvage("T1", 1) == first
        (place / "a.txt").write_text("more\n")
        second = await work.salvage("T1", 1)

        assert first is not None
        assert second is not None
        assert second.ref != first.ref
        assert (await self.content(first.commit))["a.txt"] == b"half done\n"
        assert (await self.content(second.commit))["a.txt"] == b"more\n"

    @pytest.mark.anyio
    async def test_there_is_nothing_to_salvage_in_a_clean_or_collected_or_absent_folder(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        assert await work.salvage("T1", 1) is None
        (place / "a.txt").write_text("done\n")
        await work.collect("T1", 1, base, NOTE, hooks=False)

        assert await work.salvage("T1", 1) is None
        assert await work.salvage("T9", 1) is None

    @pytest.mark.anyio
    async def test_work_merges_without_a_checkout_and_has_two_parents_worth_of_changes(self, work: Workspace) -> None:
        base, _ = await self.base()
        left = []
        for task, name in (("T1", "a.txt"), ("T2", "b.txt")):
            place = await work.prepare(task, 1, base)
            (place / name).write_text(f"by {task}\n")
            left.append(await work.collect(task, 1, base, NOTE, hooks=False))

        first = await work.propose(base, left[0].commit, MERGE)
        second = await work.propose(first.commit, left[1].commit, MERGE)

        assert first.tree == left[0].tree
        assert first.commit not in (base, left[0].commit)
        assert await self.content(second.commit) == {**FILES, "a.txt": b"by T1\n", "b.txt": b"by T2\n"}
        assert second.tree == await work.tree_of(second.commit)
        assert await (await self.open()).propose(first.commit, left[1].commit, MERGE) == second

    @pytest.mark.anyio
    async def test_a_conflict_is_a_value_that_names_the_files(self, work: Workspace) -> None:
        base, _ = await self.base()
        left = []
        for task in ("T1", "T2"):
            place = await work.prepare(task, 1, base)
            (place / "a.txt").write_text(f"by {task}\n")
            left.append(await work.collect(task, 1, base, NOTE, hooks=False))
        onto = await work.propose(base, left[0].commit, MERGE)

        proposal = await work.propose(onto.commit, left[1].commit, MERGE)

        assert proposal.commit == ""
        assert proposal.conflicts == ("a.txt",)

    @pytest.mark.anyio
    async def test_the_integration_ref_moves_only_from_where_it_is_said_to_be(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("x\n")
        left = await work.collect("T1", 1, base, NOTE, hooks=False)
        merged = await work.propose(base, left.commit, MERGE)

        await work.advance(base, merged.commit)
        await work.advance(base, merged.commit)

        with pytest.raises(ConflictError):
            await work.advance(base, left.commit)

    @pytest.mark.anyio
    async def test_a_scratch_folder_is_at_the_commit_and_passes_the_result_on(self, work: Workspace) -> None:
        base, _ = await self.base()
        seen: list[Path] = []

        async def use(place: Path) -> dict[str, bytes]:
            found = self.read(place)
            (place / "junk").write_text("made by a check")
            (place / "a.txt").write_text("changed by a check")
            seen.append(place)
            return found

        assert await work.in_tree(base, use) == FILES
        assert await work.in_tree(base, use) == FILES
        assert await work.salvage("T1", 1) is None

    @pytest.mark.anyio
    async def test_files_and_contents_of_a_tree_can_be_asked(self, work: Workspace) -> None:
        tree = await work.tree_of((await self.base())[0])

        assert set(await work.files(tree)) == set(FILES)
        assert await work.contains(tree, "dir/c.txt", "2\n3")
        assert not await work.contains(tree, "dir/c.txt", "nowhere")
        assert not await work.contains(tree, "missing", "")

    @pytest.mark.anyio
    async def test_the_branch_moves_when_it_is_where_it_was_and_only_then(self, work: Workspace) -> None:
        base, target = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("x\n")
        left = await work.collect("T1", 1, base, NOTE, hooks=False)
        merged = await work.propose(base, left.commit, MERGE)
        assert (await work.main_state(target)).commit == base

        moved = await work.move_main(target, base, merged.commit)
        again = await work.move_main(target, base, merged.commit)
        other = await work.move_main(target, base, left.commit)

        assert (moved.commit, moved.reason) == (merged.commit, "")
        assert again == moved
        assert (other.commit, other.reason) == (merged.commit, "moved")

    @pytest.mark.anyio
    async def test_another_process_finds_and_finishes_what_one_has_begun(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        (place / "a.txt").write_text("by the first\n")
        successor = await self.open()

        assert await successor.place("T1") == place
        left = await successor.collect("T1", 1, base, NOTE, hooks=False)
        await successor.dispose("T1")

        assert (await self.content(left.commit))["a.txt"] == b"by the first\n"
        assert await successor.place("T1") is None

    @pytest.mark.anyio
    async def test_disposing_of_work_that_nobody_saved_saves_it(self, work: Workspace) -> None:
        base, _ = await self.base()
        place = await work.prepare("T1", 3, base)
        (place / "new.txt").write_text("precious\n")

        await work.dispose("T1")
        await work.dispose("T1")

        assert await self.is_kept(b"precious\n")

    @pytest.mark.anyio
    async def test_closing_removes_the_folders_and_loses_nothing(self, work: Workspace) -> None:
        base, _ = await self.base()
        places = [await work.prepare(task, 1, base) for task in ("T1", "T2")]
        (places[0] / "new.txt").write_text("precious\n")
        await work.dispose("T2")

        await work.close()
        await work.close()

        assert not any(os.path.lexists(place) for place in places)
        assert await self.is_kept(b"precious\n")

    @pytest.mark.anyio
    async def test_a_folder_that_was_removed_is_a_conflict_and_a_new_attempt_works(self, work: Workspace) -> None:
        import shutil

        base, _ = await self.base()
        place = await work.prepare("T1", 1, base)
        shutil.rmtree(place)

        with pytest.raises(ConflictError):
            await work.collect("T1", 1, base, NOTE, hooks=False)
        assert await work.salvage("T1", 1) is None
        assert self.read(await work.prepare("T1", 2, base)) == FILES

    async def is_kept(self, content: bytes) -> bool:
        """Whether a file of this content can be reached from any ref."""
        raise NotImplementedError
