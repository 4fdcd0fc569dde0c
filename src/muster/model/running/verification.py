"""Which verify commands still need a receipt for a tree."""

from __future__ import annotations

from collections.abc import Iterable

from muster.model.attempts import Receipt
from muster.model.plan import Task
from muster.model.policy import Schedule
from muster.model.running.state import RunState, TaskState, TaskStatus


def still_to_run(task: Task, tree: str, receipts: Iterable[Receipt]) -> tuple[str, ...]:
    """The verify commands that did not pass on exactly this tree yet.

    >>> task = Task(id="T1", verify=("a", "b"))
    >>> still_to_run(task, "t1", [Receipt(command="a", exit_code=0, tree="t1", environment="")])
    ('b',)
    """
    passed = {receipt.command for receipt in receipts if receipt.ok and receipt.tree == tree}
    return tuple(command for command in dict.fromkeys(task.verify) if command not in passed)


def wave_tasks(state: RunState) -> tuple[TaskState, ...]:
    """The finished tasks that are verified together: a wave's, and at the end all of them."""
    everything = state.open_tasks == 0 or state.policy.schedule is Schedule.EAGER
    names = state.tasks if everything or not state.wave else state.waves[state.wave - 1]
    return tuple(state.tasks[n] for n in names if state.tasks[n].status is TaskStatus.DONE and state.tasks[n].attempts)


def wave_receipts(state: RunState) -> tuple[Receipt, ...]:
    """The receipts of the wave's tasks that hold for the integrated tree, one for each command."""
    found: dict[str, Receipt] = {}
    for entry in wave_tasks(state):
        for receipt in entry.last.receipts:
            if receipt.ok and receipt.tree == state.integration_tree:
                found[receipt.command] = receipt
    return tuple(found.values())


def missing_checks(state: RunState) -> tuple[str, ...]:
    """The wave's verify commands that nothing proves yet on the integrated tree."""
    known = {receipt.command for receipt in wave_receipts(state)}
    wanted = dict.fromkeys(command for entry in wave_tasks(state) for command in entry.task.verify)
    return tuple(command for command in wanted if command not in known)


def main_checks(state: RunState, tree: str) -> tuple[str, ...]:
    """All verify commands that the merge into the user's branch still needs on ``tree``."""
    passed = {receipt.command for receipt in state.verified if receipt.ok and receipt.tree == tree}
    done = (entry for entry in state.tasks.values() if entry.status is TaskStatus.DONE)
    wanted = dict.fromkeys(command for entry in done for command in entry.task.verify)
    return tuple(command for command in wanted if command not in passed)
