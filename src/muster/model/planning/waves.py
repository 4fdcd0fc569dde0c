"""Which tasks may run together: the waves of a plan, its cycles and who depends on whom."""

from __future__ import annotations

from collections.abc import Sequence

from muster.model.errors import InputError
from muster.model.plan import Task


def waves(tasks: Sequence[Task]) -> tuple[tuple[str, ...], ...]:
    """Put each task into the earliest wave in which all of its needs are done.

    Tasks keep the order of the file inside a wave. Needs that name no task of
    the plan are left to the reader of the plan and count as done.

    >>> waves([Task(id="a"), Task(id="c", needs=("b",)), Task(id="b", needs=("a",)), Task(id="d")])
    (('a', 'd'), ('b',), ('c',))

    Raises:
        InputError: tasks need each other in a circle.
    """
    known = _by_id(tasks)
    open_needs = {task.id: len(_known_needs(task, known)) for task in known.values()}
    needed_by = dependents(tasks)
    depth: dict[str, int] = {}
    current, level = [task_id for task_id, count in open_needs.items() if not count], 0
    while current:
        following = []
        for task_id in current:
            depth[task_id] = level
            for dependent in needed_by[task_id]:
                open_needs[dependent] -= 1
                if not open_needs[dependent]:
                    following.append(dependent)
        current, level = following, level + 1
    if len(depth) < len(known):
        raise InputError(f"Tasks need each other in a circle: {' → '.join(find_cycle(tasks))}.")
    result: list[list[str]] = [[] for _ in range(level)]
    for task_id in known:
        result[depth[task_id]].append(task_id)
    return tuple(map(tuple, result))


def dependents(tasks: Sequence[Task]) -> dict[str, tuple[str, ...]]:
    """Tell for each task which tasks need it directly, in the order of the file.

    >>> dependents([Task(id="a"), Task(id="b", needs=("a",)), Task(id="c", needs=("a", "b"))])
    {'a': ('b', 'c'), 'b': ('c',), 'c': ()}
    """
    known = _by_id(tasks)
    result: dict[str, list[str]] = {task_id: [] for task_id in known}
    for task in known.values():
        for need in _known_needs(task, known):
            result[need].append(task.id)
    return {task_id: tuple(ids) for task_id, ids in result.items()}


def find_cycle(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Name one circle of tasks that need each other, first task repeated at the end; empty when there is none.

    >>> find_cycle([Task(id="a", needs=("b",)), Task(id="b", needs=("a",)), Task(id="c")])
    ('a', 'b', 'a')
    """
    known = _by_id(tasks)
    done: set[str] = set()
    for start in known:
        if start in done:
            continue
        # A stack of our own: a chain of needs may be longer than Python's recursion limit.
        path, on_path = [start], {start: 0}
        pending = [iter(_known_needs(known[start], known))]
        while path:
            need = next(pending[-1], None)
            if need is None:
                pending.pop()
                done.add(path[-1])
                del on_path[path.pop()]
            elif need in on_path:
                return (*path[on_path[need] :], need)
            elif need not in done:
                on_path[need] = len(path)
                path.append(need)
                pending.append(iter(_known_needs(known[need], known)))
    return ()


def _by_id(tasks: Sequence[Task]) -> dict[str, Task]:
    return {task.id: task for task in tasks}


def _known_needs(task: Task, known: dict[str, Task]) -> tuple[str, ...]:
    """The needs that are tasks, each once."""
    return tuple(need for need in dict.fromkeys(task.needs) if need in known)
