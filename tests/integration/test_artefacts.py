"""Artefacts: whole files, inside the project, never through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muster.model.errors import InputError, MusterError, NotFoundError, RefusedError
from muster.pipeline.artefacts import find_plan, load_plan, read_artefact, read_plan, slugs, write_artefact, write_text

PLAN = "## Hello\n```yaml\nid: T1\nrun: echo hi\n```\n"


def test_an_artefact_reads_back_as_it_was_written(tmp_path: Path) -> None:
    place = write_artefact(tmp_path, "login", "brief.md", "ä\r\n")
    write_artefact(tmp_path, "login", "brief.md", "new")

    assert read_artefact(tmp_path, "login", "brief.md") == b"new"
    assert place == tmp_path / ".muster/projects/login/brief.md"
    assert [path.name for path in place.parent.iterdir()] == ["brief.md"]
    assert read_artefact(tmp_path, "login", "plan.md") is None
    assert read_artefact(tmp_path, "other", "plan.md") is None


@pytest.mark.parametrize("link", [".muster", ".muster/projects", ".muster/projects/login"])
def test_a_linked_folder_is_never_written_through(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    project = tmp_path / "project"
    (project / link).parent.mkdir(parents=True)
    (project / link).symlink_to(outside)

    with pytest.raises(RefusedError, match="symbolic link"):
        write_artefact(project, "login", "brief.md", "text")
    with pytest.raises(RefusedError, match="symbolic link"):
        read_artefact(project, "login", "brief.md")

    assert list(outside.iterdir()) == []


def test_a_linked_file_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    place = write_artefact(tmp_path, "login", "plan.md", "text")
    place.unlink()
    place.symlink_to(secret)

    with pytest.raises(RefusedError, match="symbolic link"):
        read_artefact(tmp_path, "login", "plan.md")
    with pytest.raises(RefusedError, match="symbolic link"):
        write_artefact(tmp_path, "login", "plan.md", "text")

    assert secret.read_text() == "mine"


@pytest.mark.parametrize("slug", ["../up", "", "A", "a/b", ".git", "a\0b"])
def test_a_slug_cannot_lead_elsewhere(tmp_path: Path, slug: str) -> None:
    with pytest.raises(InputError, match="slug"):
        write_artefact(tmp_path, slug, "plan.md", "text")


def test_a_pipe_in_place_of_an_artefact_does_not_block(tmp_path: Path) -> None:
    place = write_artefact(tmp_path, "login", "plan.md", "text")
    place.unlink()
    os.mkfifo(place)

    with pytest.raises(InputError, match="not a file"):
        read_artefact(tmp_path, "login", "plan.md")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_artefact(tmp_path, "login", "plan.md", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(MusterError, match="No space left"):
        write_artefact(tmp_path, "login", "plan.md", "new")

    assert place.read_text() == "old"
    assert len(list(place.parent.iterdir())) == 1


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / ".muster").write_text("")

    with pytest.raises(InputError, match="not a folder"):
        write_artefact(tmp_path, "login", "plan.md", "text")


def test_a_report_is_written_whole_into_a_new_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "runs/1/report.md", "done")

    assert (tmp_path / "runs/1/report.md").read_text() == "done"


def test_the_plan_of_the_project_comes_before_the_only_other_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no plan"):
        find_plan(tmp_path)
    other = write_artefact(tmp_path, "login", "plan.md", PLAN)
    assert find_plan(tmp_path) == other
    (tmp_path / "plan.md").write_text(PLAN)

    assert find_plan(tmp_path) == tmp_path / "plan.md"
    assert find_plan(tmp_path, "login") == other
    with pytest.raises(NotFoundError, match="'logout' has no plan") as caught:
        find_plan(tmp_path, "logout")
    assert caught.value.hint == "projects: login"


def test_several_plans_are_a_question(tmp_path: Path) -> None:
    for slug in ("a", "b"):
        write_artefact(tmp_path, slug, "plan.md", PLAN)

    assert slugs(tmp_path) == ("a", "b")
    with pytest.raises(InputError, match="several plans: a, b"):
        find_plan(tmp_path)


def test_a_plan_is_read_by_path_by_slug_or_because_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_artefact(tmp_path, "login", "plan.md", PLAN)
    monkeypatch.chdir(tmp_path)

    for plan in (
        read_plan(tmp_path, path=place, slug=None),
        read_plan(tmp_path, path=None, slug="login"),
        read_plan(tmp_path, path=None, slug=None),
    ):
        assert (plan.slug, plan.tasks[0].run) == ("login", "echo hi")
    assert load_plan(tmp_path, path=None, slug=None)[1] == ".muster/projects/login/plan.md"
    with pytest.raises(NotFoundError, match="nowhere"):
        read_plan(tmp_path, path=Path("nowhere.md"), slug=None)
