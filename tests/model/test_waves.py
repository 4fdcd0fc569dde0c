"""Waves: every task once, after its needs, as early as possible."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.errors import InputError
from muster.model.plan import Task
from muster.model.planning.waves import dependents, find_cycle, waves


@st.composite
def acyclic_tasks(draw: st.DrawFn) -> list[Task]:
    """Tasks that need only tasks of lower number, in any order of the file."""
    count = draw(st.integers(0, 25))
    tasks = []
    for number in range(count):
        earlier = [f"t{i}" for i in range(number)]
        needs = draw(st.lists(st.sampled_from(earlier), max_size=4)) if earlier else []
        tasks.append(Task(id=f"t{number}", run="true", needs=tuple(needs)))
    return draw(st.permutations(tasks))


@given(acyclic_tasks())
def test_every_task_is_in_the_earliest_wave_after_all_its_needs(tasks: list[Task]) -> None:
    result = waves(tasks)

    depth = {task_id: level for level, wave in enumerate(result) for task_id in wave}
    assert sorted(task_id for wave in result for task_id in wave) == sorted(task.id for task in tasks)
    for task in tasks:
        assert depth[task.id] == max((depth[need] + 1 for need in task.needs), default=0)


@given(acyclic_tasks())
def test_tasks_keep_the_order_of_the_file_inside_a_wave(tasks: list[Task]) -> None:
    position = {task.id: index for index, task in enumerate(tasks)}

    for wave in waves(tasks):
        assert list(wave) == sorted(wave, key=position.__getitem__)


@given(acyclic_tasks())
def test_dependents_are_the_needs_turned_around(tasks: list[Task]) -> None:
    forward = {(task.id, need) for task in tasks for need in task.needs}

    backward = {(dependent, task_id) for task_id, ids in dependents(tasks).items() for dependent in ids}

    assert forward == backward
    assert find_cycle(tasks) == ()


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30))
def test_a_cycle_is_named_exactly_when_there_is_one(edges: list[tuple[int, int]]) -> None:
    needs: dict[str, list[str]] = {f"t{number}": [] for number in range(9)}
    for task, need in edges:
        needs[f"t{task}"].append(f"t{need}")
    tasks = [Task(id=task_id, run="true", needs=tuple(ids)) for task_id, ids in needs.items()]

    cycle = find_cycle(tasks)

    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in needs[before] for before, after in itertools.pairwise(cycle))
        with pytest.raises(InputError, match="circle"):
            waves(tasks)
    else:
        assert sum(map(len, waves(tasks))) == 9


def test_a_chain_of_ten_thousand_tasks_needs_no_recursion() -> None:
    count = 10_000
    tasks = [Task(id=f"t{i}", run="true", needs=(f"t{i + 1}",) if i + 1 < count else ()) for i in range(count)]

    assert len(waves(tasks)) == count
    assert find_cycle(tasks) == ()


def test_a_task_that_needs_itself_is_a_cycle() -> None:
    assert find_cycle([Task(id="a", run="true", needs=("a",))]) == ("a", "a")


def test_needs_outside_the_plan_count_as_done() -> None:
    assert waves([Task(id="a", run="true", needs=("gone",))]) == (("a",),)
