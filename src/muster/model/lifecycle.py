"""The events of a run's own life, each saying whose run it is: its session, its channel, its agents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from muster.model.events import RunStateChanged
from muster.model.plan import Task, chosen
from muster.model.state import RunState


def run_state(state: RunState, word: str, **facts: Any) -> RunStateChanged:
    """The event that a run came to the state ``word``."""
    whose: dict[str, Any] = {"session_id": state.session, "channel": state.channel, "backend": backend_of(state)}
    return RunStateChanged(state=word, run_id=state.run, **whose, **facts)


def planned_backend(tasks: Iterable[Task]) -> str:
    """The agents that tasks are meant for, by name, as one text.

    >>> planned_backend([Task(id="a", agent="codex:gpt-5@high"), Task(id="b", run="true"), Task(id="c", agent="pi")])
    'codex,command,pi'
    """
    return _together("command" if task.is_command else task.agent for task in tasks if not task.milestone)


def backend_of(state: RunState) -> str:
    """The agents that attempts of a run were started with; before the first one, those that are planned."""
    used = (one.agent or "command" for entry in state.tasks.values() for one in entry.attempts)
    return _together(used) or planned_backend(entry.task for entry in state.tasks.values())


def _together(agents: Iterable[str]) -> str:
    return ",".join(sorted({chosen(agent).name for agent in agents} - {""}))
