"""Definitions that people write: read from three places, one line for what is wrong, no shadowing without trust."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from muster.config.definitions import find_team, find_workflow, load_definitions
from muster.model.errors import InputError, RefusedError
from muster.model.gates import Boundary
from muster.model.plan import JOIN
from muster.model.planning.brief import Brief, Criterion
from muster.model.planning.profiles import PHASES
from muster.model.planning.roles import ROLES
from muster.model.planning.workflow import compile_workflow
from muster.model.planning.workflow_document import STEP_KEYS, parse_workflow

BUILT_IN = {"pipeline", "default", "fast-fix", "implementation", "research", "parallel-research", "review"}
STEP = "---\nsteps:\n  - id: one\n    role: executor\n---\nWords.\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "muster"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "project"


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_what_is_built_in_is_right_and_complete(home: Path) -> None:
    known = load_definitions(None, trusted=False)

    assert known.problems == {}
    assert set(known.workflows) == BUILT_IN
    assert set(known.teams) == BUILT_IN - {"pipeline"}
    assert set(known.roles) == set(ROLES)
    for workflow in known.workflows.values():
        assert workflow.team in known.teams
        tasks = compile_workflow(workflow, Brief(slug="s"))
        assert {task.agent for task in tasks} - {""} <= set(ROLES)
        assert all(task.milestone in ("", JOIN) or Boundary(task.milestone) for task in tasks)


@pytest.mark.parametrize("until", PHASES)
def test_until_a_phase_no_step_of_a_later_one_is_left(home: Path, until: str) -> None:
    for workflow in load_definitions(None, trusted=False).workflows.values():
        tasks = compile_workflow(workflow, Brief(slug="s"), until=until)

        assert all(PHASES.index(task.phase) <= PHASES.index(until) for task in tasks)
        assert {need for task in tasks for need in task.needs} <= {task.id for task in tasks}


def test_a_step_that_proves_the_brief_must_pass_what_the_brief_names(home: Path) -> None:
    brief = Brief(slug="s", success_criteria=(Criterion(text="verify: `make test`, file: `a.py`"),))

    tasks = compile_workflow(load_definitions(None, trusted=False).workflows["fast-fix"], brief)

    assert {task.id: (task.verify, task.expected_paths) for task in tasks if task.verify} == {
        "execute": (("make test",), ("a.py",))
    }


def test_your_own_definition_takes_the_place_of_a_built_in_one(home: Path) -> None:
    write(home, "workflows/fast-fix.workflow.md", STEP)

    assert len(load_definitions(None, trusted=False).workflows["fast-fix"].steps) == 1


def test_a_project_adds_names_and_takes_the_place_of_known_ones_only_when_it_is_trusted(
    home: Path, project: Path
) -> None:
    write(project, ".muster/workflows/fast-fix.workflow.md", STEP)
    write(project, ".muster/workflows/mine.workflow.md", STEP)
    write(project, ".muster/agents/executor.md", "---\npermission: workspace-write\n---\nObey the README.\n")

    strange = load_definitions(project, trusted=False)
    trusted = load_definitions(project, trusted=True)

    assert len(strange.workflows["fast-fix"].steps) == 3
    assert len(strange.workflows["mine"].steps) == 1
    assert strange.roles["executor"] == ROLES["executor"]
    assert sorted(strange.problems) == [".muster/agents/executor.md", ".muster/workflows/fast-fix.workflow.md"]
    assert "only after muster trust" in strange.problems[".muster/agents/executor.md"]
    assert (len(trusted.workflows["fast-fix"].steps), trusted.problems) == (1, {})


def test_commands_of_a_project_s_workflow_need_trust(home: Path, project: Path) -> None:
    write(project, ".muster/workflows/mine.workflow.md", "---\nsteps:\n  - id: one\n    run: make all\n---\n")

    with pytest.raises(RefusedError, match=r"mine.workflow.md would run commands of this repository: `make all`"):
        find_workflow(load_definitions(project, trusted=False), "mine", trusted=False)
    assert find_workflow(load_definitions(project, trusted=True), "mine", trusted=True).commands == ("make all",)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("workflows/x.workflow.md", "no front matter", ":1: there is no front matter"),
        ("workflows/x.workflow.md", "---\nstep: []\n---\n", ":2: unknown key 'step' (did you mean 'steps'?)"),
        ("workflows/x.workflow.md", "---\nsteps: [{id: a, needs: [b]}]\n---\n", ":2: a.needs: unknown step 'b'"),
        ("workflows/x.workflow.md", "---\nsteps: [{id: a, kind: dance}]\n---\n", "steps[0].kind: 'dance' is not known"),
        (
            "workflows/x.workflow.md",
            "---\nsteps: [{id: a, phase: lunch}]\n---\n",
            "'lunch' is no phase; allowed: brief",
        ),
        (
            "workflows/x.workflow.md",
            "---\nsteps: [{id: a, kind: execute}]\n---\n",
            ":2: a: it reads no step that makes",
        ),
        ("workflows/x.workflow.md", "---\nsteps: [{id: a, kind: gate}]\n---\n", "steps[0]: 'boundary' is missing"),
        (
            "workflows/x.workflow.md",
            "---\nsteps: [{id: a, needs: [b]}, {id: b, needs: [a]}]\n---\n",
            "steps: steps need each other in a circle: a → b → a",
        ),
        ("teams/x.team.md", "---\nroles: {executor: 'rm -rf'}\n---\n", ":2: roles.executor: 'rm -rf' names no agent"),
        ("teams/x.team.md", "---\nmax_parallel: many\n---\n", "max_parallel: 'many' is not a whole number"),
        ("agents/x.md", "---\npermission: read-only\n---\n", "the role's prompt has 0 characters"),
        ("agents/x.md", "---\nname: y\n---\nHello.\n", ":2: name: 'y' is not the file's name; allowed: x"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_place_and_the_others_still_count(
    home: Path, project: Path, name: str, text: str, said: str
) -> None:
    write(project / ".muster", name, text)
    write(project / ".muster", "workflows/good.workflow.md", STEP)

    known = load_definitions(project, trusted=False)

    (problem,) = known.problems.values()
    assert problem.startswith(f".muster/{name}")
    assert said in problem
    assert "\n" not in problem
    assert "good" in known.workflows


def test_a_permission_that_nobody_knows_means_read_only(home: Path) -> None:
    write(home, "agents/bold.md", "---\npermission: everything\n---\nDo it.\n")

    assert not load_definitions(None, trusted=False).roles["bold"].writes


def test_a_seat_in_a_team_needs_a_role(home: Path) -> None:
    write(home, "teams/x.team.md", "---\nroles: {dancer: codex}\n---\n")

    with pytest.raises(InputError, match=r"roles.dancer: there is no such role"):
        find_team(load_definitions(None, trusted=False), "x")


def test_the_page_of_workflows_has_every_key_and_an_example_that_can_be_used() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "workflows.md").read_text()
    example = page.partition("````markdown\n")[2].partition("````")[0]

    workflow = parse_workflow(example.encode(), "careful-fix", "careful-fix.workflow.md")

    assert [step.kind.value for step in workflow.steps] == ["agent", "agent", "shards"]
    table = page.partition("| key of a step |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(STEP_KEYS)
