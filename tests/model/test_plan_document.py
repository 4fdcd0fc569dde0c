"""Plans as files: what people write is read exactly, and every mistake has its line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from muster.model.plan import Changes, Contains, Money, OnFailure, Plan, Task
from muster.model.planning.issues import PlanError
from muster.model.planning.plan_document import MAX_PLAN_BYTES, check_plan, parse_plan


def plan_of(text: str) -> Plan:
    return parse_plan(textwrap.dedent(text).encode(), source="plan.md")


def manifest(*lines: str) -> str:
    """A plan with one task whose manifest begins on line 3."""
    return "\n".join(["## A task", "```yaml", *lines, "```", ""])


def complaint(data: str | bytes) -> str:
    with pytest.raises(PlanError) as caught:
        parse_plan(data.encode() if isinstance(data, str) else data, source="plan.md")
    return caught.value.message


FULL = """\
---
type: plan
slug: limit-logins
brief_sha256: 0123456789abcdef
profile: balanced
phase_models: {plan: opus, execute: sonnet}
session_start_sha: abcdef0123
---
# Limit logins

Some words about all of it.

## T1: Generate the code

Run the generator.

```yaml
id: T1
run: make codegen
changes: any
```

Never by hand.

## Background

```python
## not a heading
```

## Rate-limit the login endpoint

````yaml
id: T3
needs: [T1]
agent: executor:opus@high
prompt: |
  Limit it.

    ```yaml
    id: not-a-task
    ```
  ## not a heading
expected_paths: [src/auth/limit.py, "tests/**"]
forbidden_paths: ["migrations/**"]
must_contain: [{path: src/auth/limit.py, text: "def allow("}]
changes: required
verify: ["pytest -q tests/auth"]
commit_message_pattern: "^feat\\\\("
timeout: 1h30m
attempts: 3
on_failure: skip-dependents
profile_used: balanced
max_cost: 2 usd
````
"""


def test_a_full_plan_is_read_as_it_was_meant() -> None:
    plan = parse_plan(FULL.encode(), source="docs/plan.md")

    assert (plan.slug, plan.title, plan.source) == ("limit-logins", "Limit logins", "docs/plan.md")
    assert (plan.profile, plan.phase_models) == ("balanced", {"plan": "opus", "execute": "sonnet"})
    assert (plan.brief_sha256, plan.session_start_sha) == ("0123456789abcdef", "abcdef0123")
    first, second = plan.tasks
    assert first == Task(
        id="T1",
        title="Generate the code",
        run="make codegen",
        changes=Changes.ANY,
        prose="Run the generator.\n\nNever by hand.",
        line=13,
    )
    assert second == Task(
        id="T3",
        title="Rate-limit the login endpoint",
        needs=("T1",),
        agent="executor:opus@high",
        prompt="Limit it.\n\n  ```yaml\n  id: not-a-task\n  ```\n## not a heading\n",
        expected_paths=("src/auth/limit.py", "tests/**"),
        forbidden_paths=("migrations/**",),
        must_contain=(Contains(path="src/auth/limit.py", text="def allow("),),
        verify=("pytest -q tests/auth",),
        commit_message_pattern="^feat\\(",
        timeout_s=5400.0,
        attempts=3,
        on_failure=OnFailure.SKIP_DEPENDENTS,
        profile_used="balanced",
        max_cost=Money(usd=2.0),
        line=31,
    )


def test_only_an_id_and_the_work_are_required() -> None:
    plan = plan_of(manifest("id: T1", "run: make"))

    assert plan.tasks == (Task(id="T1", title="A task", run="make", line=1),)
    assert plan.tasks[0].changes is Changes.REQUIRED
    assert plan.slug == "plan"


def test_words_of_yaml_are_taken_for_what_they_say() -> None:
    plan = plan_of(
        """
        ## one
        ```yaml
        id: no
        run: "true"
        ```
        ## two
        ```yaml
        id: 1
        needs: [no]
        title: 2026-01-01
        run: yes
        verify: [on, 0x10, 1_000, null]
        ```
        ## three
        ```yaml
        id: 1e3
        needs: [no, 1]
        agent: off
        prompt: ~
        ```
        """
    )

    assert [task.id for task in plan.tasks] == ["no", "1", "1e3"]
    assert plan.tasks[1].title == "2026-01-01"
    assert plan.tasks[1].run == "yes"
    assert plan.tasks[1].verify == ("on", "0x10", "1_000", "null")
    assert plan.tasks[2].needs == ("no", "1")
    assert (plan.tasks[2].agent, plan.tasks[2].prompt) == ("off", "")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
def test_line_ends_a_byte_order_mark_and_a_missing_last_newline_change_nothing(
    newline: str, mark: str, last: str
) -> None:
    text = FULL.rstrip("\n") + last

    plan = parse_plan((mark + text).replace("\n", newline).encode(), source="plan.md")

    assert plan.tasks == parse_plan(FULL.encode(), source="plan.md").tasks


@pytest.mark.parametrize("text", ["a\nb", "a\nb\n", " a\n\n b\n\n\n", "\ta\n", "\n a\n", "a:\n  # b\n", "{x}\n%y\n"])
def test_a_prompt_is_kept_byte_for_byte(text: str) -> None:
    chomp = "-" if not text.endswith("\n") else "+"
    lines = [f"  {line}" for line in text.removesuffix("\n").split("\n")]

    plan = plan_of("\n".join(["## A", "```yaml", "id: T1", "agent: x", f"prompt: |2{chomp}", *lines, "```"]))

    assert plan.tasks[0].prompt == text


def test_a_task_that_is_commented_out_is_not_there() -> None:
    plan = plan_of(manifest("id: T1", "run: make") + "<!--\n" + manifest("id: T1", "run: make") + "-->\n")

    assert len(plan.tasks) == 1


def test_text_around_tasks_is_no_mistake() -> None:
    words = "".join(f"## Config\n```yaml\n{text}\n```\n" for text in ("services: {run: x}", "[}", "- a", "id", ""))

    plan = plan_of(words + manifest("id: T1", "run: make"))

    assert [task.id for task in plan.tasks] == ["T1"]


@pytest.mark.parametrize(
    ("source", "head", "slug"),
    [
        ("plan.md", "", "plan"),
        ("work/add login.md", "", "add-login"),
        ("plan.md", "# Größe & Co.\n", "grosse-co"),
        ("x/.muster/projects/login/plan.md", "# Other\n", "login"),
        ("plan.md", "---\nslug: mine\n---\n# Other\n", "mine"),
    ],
)
def test_a_plan_without_a_slug_gets_one(source: str, head: str, slug: str) -> None:
    assert parse_plan((head + manifest("id: T1", "run: make")).encode(), source=source).slug == slug


TWO = "## One\n```yaml\nid: {}\nrun: x\n```\n## Two\n```yaml\nid: {}\nrun: x\n```\n"

BAD: list[tuple[str, str | bytes, tuple[str, ...]]] = [
    # what, the plan, what the message must hold
    ("unknown key", manifest("id: T1", "need: []", "run: x"), ("plan.md:4: T1: unknown key 'need'", "mean 'needs'?")),
    (
        "unknown far key",
        manifest("id: T1", "run: x", "zzz: 1"),
        ("T1: unknown key 'zzz'", "known: id, title"),
    ),
    ("unknown need", manifest("id: T8", "run: x", "needs: [T9]"), ("plan.md:5: T8.needs[0]: unknown task 'T9'",)),
    (
        "unknown near need",
        TWO.format("build", "test").replace("id: test", "id: test\nneeds:\n- biuld"),
        ("plan.md:10: test.needs[0]: unknown task 'biuld' (did you mean 'build'?)",),
    ),
    ("duplicate id", TWO.format("a", "a"), ("plan.md:8: a.id: id 'a' is already used on line 3",)),
    ("same but for case", TWO.format("a", "A"), ("plan.md:8: A.id: id 'A' differs from 'a' on line 3 only in case",)),
    ("needs itself", manifest("id: a", "run: x", "needs: [a]"), ("plan.md:5: a.needs: ", "circle: a → a")),
    (
        "cycle",
        TWO.format("a\nneeds: [b]", "b\nneeds: [a]"),
        ("plan.md:4: a.needs: tasks need each other in a circle: a → b → a", "remove one"),
    ),
    ("no work", manifest("id: a"), ("plan.md:3: a: neither 'agent' nor 'run'", "exactly one")),
    ("empty work", manifest("id: a", "run:"), ("plan.md:4: a: neither 'agent' nor 'run'",)),
    ("blank work", manifest("id: a", "run: ' '"), ("plan.md:4: a.run: the command is empty",)),
    ("both", manifest("id: a", "run: x", "agent: y"), ("plan.md:5: a: both 'agent' and 'run' are given",)),
    ("needs as text", manifest("id: a", "run: x", "needs: b"), ("plan.md:5: a.needs: text does not fit", "[T1]")),
    ("list as text", manifest("id: a", "run: [x]"), ("plan.md:4: a.run: a list does not fit", "allowed: text")),
    ("map in list", manifest("id: a", "run: x", "verify: [{a: b}]"), ("plan.md:5: a.verify[0]: a mapping does not",)),
    ("empty item", manifest("id: a", "run: x", "verify: ['']"), ("plan.md:5: a.verify[0]: an item is empty",)),
    ("text as mapping", manifest("id: a", "run: x", "must_contain: [b]"), ("a.must_contain[0]: text does not fit",)),
    (
        "incomplete mapping",
        manifest("id: a", "run: x", "must_contain:", "  - {path: b, tetx: c}"),
        ("plan.md:6: a.must_contain[0]: unknown key 'tetx' (did you mean 'text'?)", "'text' is missing"),
    ),
    ("unknown word", manifest("id: a", "run: x", "changes: some"), ("a.changes: 'some' is not", "required, none, any")),
    ("near word", manifest("id: a", "run: x", "on_failure: stopp"), ("did you mean 'stop'?", "skip-dependents")),
    ("no number", manifest("id: a", "run: x", "attempts: many"), ("a.attempts: 'many' is not a whole", "1 to 10")),
    (
        "no attempts",
        manifest("id: a", "run: x", "attempts: 0"),
        ("plan.md:5: a.attempts: 0 is", "1 to 10"),
    ),
    (
        "a class of failure",
        manifest("id: a", "run: x", "retryable: [timeouts]"),
        ("'timeouts' names no class of failure", "rate_limit"),
    ),
    ("attempts", manifest("id: a", "run: x", "attempts: 11"), ("plan.md:5: a.attempts: 11 is out of", "1 to 10")),
    ("no duration", manifest("id: a", "run: x", "timeout: soon"), ("a.timeout: 'soon' is not a duration", "1h30m")),
    ("zero duration", manifest("id: a", "run: x", "timeout: 0"), ("a.timeout: '0' is out of range", "at most 7d")),
    ("long duration", manifest("id: a", "run: x", "timeout: 8d"), ("a.timeout: '8d' is out of range", "at most 7d")),
    ("huge number", manifest("id: a", "run: x", f"timeout: {'9' * 400}"), ("a.timeout: ", "is not a duration")),
    ("no money", manifest("id: a", "run: x", "max_cost: 2 eur"), ("a.max_cost: '2 eur' is not an amount", "2 usd")),
    ("free", manifest("id: a", "run: x", "max_cost: 0"), ("a.max_cost: '0' is out of range", "more than 0")),
    (
        "regex",
        manifest("id: a", "run: x", "commit_message_pattern: 'a('"),
        ("not a regular expression", "position 1"),
    ),
    ("deep regex", manifest("id: a", "run: x", f"commit_message_pattern: '{'(' * 600}'"), ("pattern of 600 char",)),
    ("big repeat", manifest("id: a", "run: x", "commit_message_pattern: 'a{99999999999}'"), ("is not a regular",)),
    ("absolute", manifest("id: a", "run: x", "expected_paths: [/etc]"), ("a.expected_paths[0]: '/etc' is absolute",)),
    ("drive", manifest("id: a", "run: x", r"expected_paths: ['C:\x']"), (r"'C:\\x' is absolute",)),
    (
        "upwards",
        manifest("id: a", "run: x", "forbidden_paths: [b/../../c]"),
        ("forbidden_paths[0]: 'b/../../c' leaves",),
    ),
    ("home", manifest("id: a", "run: x", "expected_paths: ['~/x']"), ("'~/x' is in a home folder",)),
    ("git folder", manifest("id: a", "run: x", "expected_paths: [.git/x]"), ("'.git/x' is inside .git",)),
    ("nowhere", manifest("id: a", "run: x", "expected_paths: [./]"), ("'./' names no file",)),
    ("text upwards", manifest("id: a", "run: x", "must_contain: [{path: ../b, text: c}]"), ("must_contain[0].path: ",)),
    ("agent", manifest("id: a", "agent: 'a b'"), ("plan.md:4: a.agent: 'a b' names no agent", "executor")),
    ("title", manifest("id: a", "run: x", 'title: "a\\eb"'), ("a.title: 'a\\x1bb' holds a control character",)),
    ("heading", manifest("id: a", "run: x").replace("A task", "A \x1b task"), ("plan.md:1: a.title: ", "control")),
    ("NUL escape", manifest("id: a", 'run: "x\\0"'), ("a.run: a NUL character cannot be stored",)),
    ("profile", manifest("id: a", "run: x", "profile_used: ../x"), ("a.profile_used: '../x' is not a name",)),
    *[
        (f"id {bad}", manifest(f"id: '{bad}'", "run: x"), ("plan.md:3: task 1.id: ", why, "allowed: "))
        for bad, why in [
            (".a", "begins with '.'"),
            ("-a", "begins with '-'"),
            ("a..b", "holds '..'"),
            ("a.lock", "ends in '.lock'"),
            ("a.LOCK", "ends in '.lock'"),
            ("a.", "ends in '.'"),
            ("a b", "is not a task id"),
            ("a/b", "is not a task id"),
            ("ä", "is not a task id"),
            ("a" * 41, "is not a task id"),
            ("main", "is reserved"),
            ("Integration", "is reserved"),
            ("salvage", "is reserved"),
        ]
    ],
    ("id of wrong type", manifest("id: [a]", "run: x"), ("plan.md:3: task 1.id: a list does not fit here",)),
    ("empty id", manifest("id:", "run: x"), ("plan.md:3: task 1.id: the id is empty", "1 to 40")),
    ("ID in capitals", manifest("ID: a", "run: x"), ("plan.md:3: ", "no 'id'", "lower case")),
    ("forgotten id", manifest("title: a", "run: x"), ("plan.md:3: task 1: this looks like a task but has no 'id'",)),
    ("no heading", "```yaml\nid: a\nrun: x\n```\n", ("plan.md:2: task 1: a task needs its own '## heading'",)),
    ("two in one", "## A\n```yaml\nid: a\nrun: x\n```\n```yml\nid: b\nrun: x\n```\n", ("plan.md:7: b: ", "on line 3")),
    (
        "duplicate key",
        manifest("id: a", "run: x", "run: y"),
        ("plan.md:5: A task: key 'run' is", "line 4"),
    ),
    ("tag", manifest("id: a", "run: !!python/object:os.system x"), ("plan.md:4: ", "tag 'tag:yaml.org,2002:python")),
    ("own tag", manifest("id: a", "run: !x y"), ("plan.md:4: ", "tag '!x' is not accepted")),
    ("alias", manifest("id: a", "run: *b"), ("plan.md:4: ", "alias *b has no anchor")),
    ("alias in itself", manifest("id: a", "run: x", "verify: &v [*v]"), ("plan.md:5: ", "used inside itself")),
    ("many aliases", manifest("id: a", "run: &r x", f"verify: [{'*r, ' * 101}]"), ("more than 100 aliases",)),
    ("depth", manifest("id: a", f"run: {'[' * 1000}"), ("plan.md:4: ", "nested too deeply")),
    ("merge key", manifest("id: a", "run: x", "<<: {a: b}"), ("unknown key '<<'",)),
    ("two documents", manifest("id: a", "run: x", "---", "id: b"), ("plan.md:5: ", "a second one begins")),
    ("list key", manifest("id: a", "run: x", "? [b]", ": c"), ("plan.md:5: ", "a key must be text, not a list")),
    ("no YAML", manifest("id: a", "run: [x"), ("plan.md:", "not readable as YAML")),
    ("tab", manifest("id: a", "\trun: x"), ("plan.md:4: ", "not readable as YAML")),
    ("control character", manifest("id: a", "run: x\x07"), ("plan.md:4: ", "does not allow the character U+0007")),
    ("next line", manifest("id: a", "run: x\x85y"), ("plan.md:4: ", "U+0085 as a line end", r"write it as \N")),
    ("empty", "", ("plan.md:1: the plan has no task", "## heading")),
    ("only words", "# Title\n\nwords\n", ("plan.md:1: the plan has no task",)),
    ("Latin-1", "## A\nGrö".encode("latin-1"), ("plan.md:2: byte 0xf6 is not UTF-8", "save the file as UTF-8")),
    ("UTF-16", manifest("id: a").encode("utf-16"), ("plan.md:1: the file is UTF-16",)),
    ("NUL", b"## A\n\n\0", ("plan.md:3: the file holds a NUL byte",)),
    ("open fence", "# A\n\n## A\n```yaml\nid: a\nrun: x\n", ("plan.md:4: this code block is never closed",)),
    ("open comment", manifest("id: a", "run: x") + "<!-- b\n", ("plan.md:6: this comment is never closed (close",)),
    ("open front matter", "---\ntype: plan\n", ("plan.md:1: the front matter is never closed",)),
    (
        "front matter list",
        "---\n- a\n---\n" + manifest("id: a", "run: x"),
        ("plan.md:2: front matter: the front",),
    ),
    ("front matter text", "---\na\n---\n" + manifest("id: a", "run: x"), ("the front matter is text", "key: value")),
    ("front matter YAML", "---\na: [\n---\n" + manifest("id: a", "run: x"), ("front matter: not readable as YAML",)),
    ("front matter key", "---\nslugg: a\n---\n" + manifest("id: a", "run: x"), ("plan.md:2: ", "did you mean 'slug'?")),
    ("type", "---\ntype: brief\n---\n" + manifest("id: a", "run: x"), ("front matter.type: 'brief' is no plan",)),
    (
        "slug",
        "---\nslug: ../x\n---\n" + manifest("id: a", "run: x"),
        ("slug: '../x' is no slug", "lower-case"),
    ),
    ("sha", "---\nbrief_sha256: x\n---\n" + manifest("id: a", "run: x"), ("brief_sha256: 'x' is not a hash",)),
    (
        "phase",
        "---\nphase_models: {paln: opus}\n---\n" + manifest("id: a", "run: x"),
        ("plan.md:2: front matter.phase_models: unknown key 'paln' (did you mean 'plan'?)",),
    ),
    (
        "phase in list",
        "---\nphase_models: [{phase: paln, model: opus}]\n---\n" + manifest("id: a", "run: x"),
        ("front matter.phase_models[0].phase: 'paln' is no phase; allowed: brief, research, plan",),
    ),
    ("big manifest", manifest("id: a", f"run: {'x' * 60_000}"), ("plan.md:1: a: the task has 58", "at most 48 KiB")),
    ("many values", manifest("id: a", "run: x", f"verify: [{'x, ' * 2_001}]"), ("more than 2,000 values",)),
]


@pytest.mark.parametrize(("text", "parts"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(text: str | bytes, parts: tuple[str, ...]) -> None:
    message = complaint(text)

    for part in parts:
        assert part in message


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    message = complaint("---\nkind: plan\n---\n" + manifest("id: a", "attempts: 0", "needs: [b]", "changes: x"))

    places = [line.split(": ")[0] for line in message.splitlines()]
    assert places == ["plan.md:2", "plan.md:6", "plan.md:7", "plan.md:8", "plan.md:9"]


def test_one_mistake_is_told_once() -> None:
    message = complaint(TWO.format("-a", "b\nneeds: [-a]"))

    assert message.count("\n") == 0


def test_lines_stay_right_below_many_line_ends_and_blocks() -> None:
    head = "---\ntype: plan\n---\n\n~~~text\n## no\n~~~\n" + "words\n" * 40
    text = head + manifest("id: a", "run: |", "  one", "", "  two", "timeout: soon")

    assert f"plan.md:{text.split('timeout')[0].count(chr(10)) + 1}: a.timeout" in complaint(text)
    assert f"plan.md:{text.split('timeout')[0].count(chr(10)) + 1}: a.timeout" in complaint(text.replace("\n", "\r\n"))


def test_five_hundred_tasks_fit_and_one_more_does_not() -> None:
    def text(count: int) -> bytes:
        return "".join(manifest(f"id: t{number}", "run: x") for number in range(count)).encode()

    assert len(parse_plan(text(500), source="plan.md").tasks) == 500
    assert "more than 500 tasks" in complaint(text(501))
    assert len(parse_plan(text(501), source="plan.md", max_tasks=1000).tasks) == 501


BOMB = [f"l{level}: &l{level} [{f'*l{level - 1}, ' * 9}]" for level in range(1, 12)]

HOSTILE = {
    "brackets": "[" * 10_000_000,
    "keys": "x: {" * 2_000_000,
    "ticks": "".join("`" * (3 + number % 4000) + "\n" for number in range(5_000)),
    "headings": "## x\n" * 300_000,
    "blocks": "## x\n```yaml\nid: a\n```\n" * 100_000,
    "small blocks": "## x\n```yaml\nrun\n```\n" * 100_000,
    "comments": "<!--\n" * 2_000_000,
    "spaces": " " * 10_000_000,
    "number signs": ("#" * 7 + " ") * 1_000_000,
    "needs": manifest("id: a", "run: x", "needs: [" + "b, " * 1_900 + "]") * 100,
    "carriage returns": "\r" * 3_000_000,
    "items": manifest("id: a", "run: x", "verify:", *["- x"] * 2_000_000),
    "bomb": manifest("id: a", "l0: &l0 [x]", *BOMB, "needs: *l11"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_megabytes_of_nonsense_are_refused_with_an_explanation(kind: str) -> None:
    text = HOSTILE[kind]
    if kind in ("brackets", "keys", "spaces"):
        text = manifest("id: a", f"run: {text}")

    assert "plan.md" in complaint(text)


def test_a_prompt_of_ten_megabytes_is_read() -> None:
    prompt = "  Do it, and do it well.\n" * 400_000

    plan = plan_of(manifest("id: a", "agent: x", "prompt: |", prompt.removesuffix("\n")))

    assert len(plan.tasks[0].prompt) == len(prompt) - 2 * 400_000


def test_a_file_beyond_all_limits_is_refused_unread() -> None:
    assert "at most 32 MiB" in complaint(b" " * (MAX_PLAN_BYTES + 1))


WORDS = ["## a\n", "# t\n", "```yaml\n", "```\n", "id: a\n", "id: b\n", "needs: [a]\n", "run: x\n", "agent: x\n"]
MARKS = ["---\n", "<!--", "-->\n", "- ", "  ", "[", "{", "}", ":", "&a ", "*a ", "!x ", '"', "|\n", "\t", "\r", "\0"]
PIECES = st.sampled_from([*WORDS, *MARKS])


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=25).map("".join).map(str.encode)))
@example(b"## a\n```yaml\nid: a\nrun: &a x\nneeds: *a\n```")
@example(b"---\n---\n## a\n```yaml\n? id\n: a\n```")
@example(b'## a\n```yaml\nid: "\\ud800"\n```')
def test_whatever_is_in_the_file_there_is_a_plan_or_an_explanation(data: bytes) -> None:
    plan, issues = check_plan(data, source="plan.md")

    assert plan is not None or issues
    for issue in issues:
        assert 0 <= issue.line <= data.count(b"\n") + data.count(b"\r") + 1
        assert "\n" not in issue.text("plan.md")


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="the words for broken YAML are those of libyaml")
def test_the_example_of_all_mistakes_is_explained_as_the_file_beside_it_says() -> None:
    examples = Path(__file__).parents[2] / "examples"
    source = "examples/invalid-plan.md"

    _, issues = check_plan((examples / "invalid-plan.md").read_bytes(), source=source)

    told = "".join(f"{issue.text(source)}\n" for issue in issues)
    assert told == (examples / "invalid-plan.txt").read_text(encoding="utf-8")
