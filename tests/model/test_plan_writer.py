"""Plans that Muster writes read back as the same plans."""

from __future__ import annotations

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.model.errors import InputError
from muster.model.plan import Changes, Contains, Money, OnFailure, Plan, Task
from muster.model.planning.markdown import is_prose, read_markdown
from muster.model.planning.plan_document import format_plan, parse_plan
from muster.model.planning.plan_rules import id_problem, path_problem, title_problem
from muster.model.planning.profiles import PHASES
from muster.model.planning.slugs import slug_of

# Anything that can be stored: no NUL, no half of a surrogate pair.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
HARD_LINES = st.sampled_from(
    ["", " ", "\t", "---", "```", "~~~~", "## x", "  a", "- b", "\u2028", "\ufeff", "\x85", "\r"]
)
LINES = st.lists(st.one_of(TEXT, HARD_LINES), max_size=6).map("\n".join)
FILLED = LINES.filter(str.strip)
PATHS = st.text("ab*?[]!# ä\"'/.,:{}", min_size=1, max_size=9).filter(lambda text: path_problem(text) is None)
NAMES = st.text("aZ09._-", max_size=5).map("n".__add__)
IDS = st.text("aAbZ09._-", min_size=1, max_size=6).filter(lambda text: id_problem(text) is None)
TITLES = st.one_of(TEXT, st.text('ab #:—-`"', max_size=9)).filter(lambda text: title_problem(text) is None)
PROSE = st.text("ab.,:*>|- \n`", max_size=30).map(str.strip).filter(lambda text: not text or is_prose(text))


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Task, ...]:
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique_by=str.lower))
    result = []
    for number, task_id in enumerate(ids):
        command = draw(st.booleans())
        result.append(
            Task(
                id=task_id,
                title=draw(TITLES),
                needs=tuple(draw(st.lists(st.sampled_from(ids[:number]), max_size=3))) if number else (),
                agent="" if command else draw(NAMES),
                run=draw(FILLED) if command else "",
                prompt=draw(LINES),
                prose=draw(PROSE),
                expected_paths=tuple(draw(st.lists(PATHS, max_size=3))),
                forbidden_paths=tuple(draw(st.lists(PATHS, max_size=2))),
                must_contain=tuple(
                    Contains(path=path, text=text)
                    for path, text in draw(st.lists(st.tuples(PATHS, TEXT.filter(bool)), max_size=2))
                ),
                changes=draw(st.sampled_from(Changes)),
                verify=tuple(draw(st.lists(FILLED, max_size=2))),
                commit_message_pattern=draw(st.sampled_from(["", "^feat\\(", "[a-z]+: .*\\d", "ä|\u2028"])),
                timeout_s=draw(st.floats(1e-9, 604_800.0)),
                attempts=draw(st.none() | st.integers(1, 10)),
                retryable=draw(st.sampled_from([(), ("limit_*",), ("auth", "crash")])),
                non_retryable=draw(st.sampled_from([(), ("timeout",), ("*",)])),
                on_failure=draw(st.sampled_from(OnFailure)),
                profile_used=draw(st.just("") | NAMES),
                max_cost=draw(st.none() | st.floats(1e-9, 1e6).map(lambda usd: Money(usd=usd))),
            )
        )
    return tuple(result)


PLANS = st.builds(
    Plan,
    slug=TEXT.map(slug_of),
    tasks=tasks(),
    title=TITLES,
    brief_sha256=st.sampled_from(["", "0" * 64, "12345678"]),
    profile=st.just("") | NAMES,
    phase_models=st.dictionaries(st.sampled_from(PHASES), NAMES),
    session_start_sha=st.sampled_from(["", "abcdef1"]),
)


@settings(max_examples=100)
@given(PLANS)
def test_every_plan_reads_back_as_it_was(plan: Plan) -> None:
    text = format_plan(plan)

    again = parse_plan(text.encode(), source="elsewhere.md")

    tasks = tuple(msgspec.structs.replace(task, line=0) for task in again.tasks)
    assert msgspec.structs.replace(again, tasks=tasks, source="", sha256="") == plan
    assert format_plan(again) == text


@settings(max_examples=30)
@given(PLANS)
def test_other_yaml_readers_take_every_value_for_text(plan: Plan) -> None:
    section = read_markdown(format_plan(plan)).sections[-1]

    values = yaml.safe_load(section.fences[-1].text)

    task = plan.tasks[-1]
    assert values["id"] == task.id
    assert tuple(values.get("needs", ())) == task.needs
    assert tuple(values.get("verify", ())) == task.verify
    assert (values.get("run", ""), values.get("prompt", "")) == (task.run, task.prompt)


@pytest.mark.parametrize("prose", ["# no", "a\n## no", "```\nopen", "<!-- open"])
def test_prose_that_would_end_its_section_is_refused(prose: str) -> None:
    with pytest.raises(InputError, match="T1"):
        format_plan(Plan(slug="a", tasks=(Task(id="T1", run="x", prose=prose),)))
