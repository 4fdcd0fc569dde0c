"""Pictures of plans: readable in a terminal, and safe whatever titles hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from muster.model.plan import Plan, Task
from muster.model.planning.plan_graph import graph_dot, graph_mermaid, graph_text

NASTY = 'a "b" ]; end --> \\ <script> #x; é\u2028'


def plan_with(title: str) -> Plan:
    tasks = (
        Task(id="end", title=title, run="x"),
        Task(id="b" * 40, title=title * 5, run="x"),
        Task(id="c", title="c", run="x", needs=("end", "b" * 40)),
    )
    return Plan(slug="p", tasks=tasks)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=90))
def test_text_fits_into_eighty_columns(title: str) -> None:
    many = Task(id="z", run="x", needs=tuple(f"t{number}" for number in range(60)))
    tasks = (*plan_with(title).tasks, *(Task(id=f"t{number}", run="x") for number in range(60)), many)

    for line in graph_text(Plan(slug="p", tasks=tasks)).split("\n"):
        assert len(line) <= 80


def test_nodes_have_names_that_no_language_reserves() -> None:
    assert "t0 -> t2;" in graph_dot(plan_with("x"))
    assert "t0 --> t2" in graph_mermaid(plan_with("x"))


@given(st.one_of(st.just(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=30)))
def test_a_title_cannot_leave_its_label(title: str) -> None:
    dot = graph_dot(plan_with(title)).replace("\\\\", "").replace('\\"', "")
    mermaid = graph_mermaid(plan_with(title))

    labels = [line for line in dot.split("\n") if "label=" in line]
    assert len(labels) == 3
    assert all(line.count('"') == 2 and line.endswith('"];') for line in labels)
    boxes = [line for line in mermaid.split("\n") if line.startswith("    t")]
    assert len(boxes) == 3
    assert all(line.count('"') == 2 and line.endswith('"]') for line in boxes)


def test_the_same_plan_gives_the_same_picture() -> None:
    assert graph_text(plan_with("One")) == (
        "wave 1\n"
        "  end                       One\n"
        f"  {'b' * 40}  OneOneOneOneOne\n"
        "wave 2\n"
        "  c\n"
        f"{' ' * 28}← end, {'b' * 40}\n"
    )
