"""A plan as a picture: text for a terminal, Mermaid for Markdown, DOT for Graphviz."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from muster.model.plan import Plan, Task
from muster.model.planning.waves import dependents, waves

WIDTH = 80


def graph_text(plan: Plan) -> str:
    """Waves from top to bottom; each task names what it needs.

    >>> tasks = (Task(id="a", title="Begin", run="x"), Task(id="b", title="End", run="x", needs=("a",)))
    >>> print(graph_text(Plan(slug="p", tasks=tasks)), end="")
    wave 1
      a  Begin
    wave 2
      b  End
         ← a
    """
    tasks = {task.id: task for task in plan.tasks}
    width = min(max((len(task_id) for task_id in tasks), default=0), 24)
    lines = []
    for number, wave in enumerate(waves(plan.tasks), start=1):
        lines.append(f"wave {number}")
        for task_id in wave:
            lines += _task_lines(tasks[task_id], width)
    return "".join(f"{line}\n" for line in lines)


def graph_mermaid(plan: Plan) -> str:
    """A flowchart with one box for each wave.

    >>> tasks = (Task(id="a", title='Say "hi"', run="x"), Task(id="b", run="x", needs=("a",)))
    >>> print(graph_mermaid(Plan(slug="p", tasks=tasks)), end="")
    flowchart TD
      subgraph wave1["wave 1"]
        t0["a: Say #34;hi#34;"]
      end
      subgraph wave2["wave 2"]
        t1["b"]
      end
      t0 --> t1
    """
    names, labels = _names(plan), _labels(plan)
    lines = ["flowchart TD"]
    for number, wave in enumerate(waves(plan.tasks), start=1):
        lines.append(f'  subgraph wave{number}["wave {number}"]')
        lines += [f'    {names[task_id]}["{_entities(labels[task_id])}"]' for task_id in wave]
        lines.append("  end")
    lines += [f"  {names[before]} --> {names[after]}" for before, after in _edges(plan)]
    return "\n".join(lines) + "\n"


def graph_dot(plan: Plan) -> str:
    r"""A digraph with the tasks of a wave on one rank.

    >>> print(graph_dot(Plan(slug="p", tasks=(Task(id="a", title='Say "hi"', run="x"),))), end="")
    digraph plan {
      rankdir=TB;
      node [shape=box];
      { rank=same; t0; }
      t0 [label="a: Say \"hi\""];
    }
    """
    names, labels = _names(plan), _labels(plan)
    lines = ["digraph plan {", "  rankdir=TB;", "  node [shape=box];"]
    lines += [f"  {{ rank=same; {' '.join(f'{names[task_id]};' for task_id in wave)} }}" for wave in waves(plan.tasks)]
    lines += [f'  {names[task_id]} [label="{_escaped(label)}"];' for task_id, label in labels.items()]
    lines += [f"  {names[before]} -> {names[after]};" for before, after in _edges(plan)]
    return "\n".join([*lines, "}"]) + "\n"


def _task_lines(task: Task, width: int) -> Iterable[str]:
    title = task.title if task.title != task.id else ""
    margin = " " * (width + 4)
    yield _cut(f"  {task.id:<{width}}  {title}".rstrip())
    if task.needs:
        needs = ", ".join(dict.fromkeys(task.needs))
        yield from textwrap.wrap(
            f"← {needs}",
            WIDTH,
            initial_indent=margin,
            subsequent_indent=margin + "  ",
            break_on_hyphens=False,
        )


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1].rstrip() + "…"


def _edges(plan: Plan) -> Iterable[tuple[str, str]]:
    return ((before, after) for before, followers in dependents(plan.tasks).items() for after in followers)


def _names(plan: Plan) -> dict[str, str]:
    """Names for nodes: ids may be words of the picture's language, such as ``end``."""
    return {task.id: f"t{number}" for number, task in enumerate(plan.tasks)}


def _labels(plan: Plan) -> dict[str, str]:
    return {task.id: f"{task.id}: {task.title}" if task.title not in ("", task.id) else task.id for task in plan.tasks}


def _entities(text: str) -> str:
    """Text inside a Mermaid label: everything that could end or format it as an entity code."""
    return "".join(each if each.isalnum() or each in " .,:_-/" else f"#{ord(each)};" for each in text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
