"""What an attempt must leave behind, rule by rule."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.attempts import Cause, Problem, Receipt
from muster.model.plan import Changes, Contains, Task
from muster.model.planning.audit import MAX_PROBLEMS, AuditFacts, failure_of, judge, judge_work, path_matches

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
paths = st.lists(names.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=4).map("/".join)
GOOD = AuditFacts(paths=("a.txt",), files=("a.txt",), message="feat(a): add it")


def receipt(command: str, exit_code: int = 0, tail: str = "") -> Receipt:
    return Receipt(command=command, exit_code=exit_code, tree="t", environment="e", tail=tail)


def rules(task: Task, facts: AuditFacts) -> list[str]:
    return [problem.rule for problem in judge(task, facts)]


def but(facts: AuditFacts, **changed: object) -> AuditFacts:
    return msgspec.structs.replace(facts, **changed)


def test_a_task_whose_manifest_holds_has_no_problem() -> None:
    task = Task(
        id="T1",
        expected_paths=("a.txt", "*.txt"),
        forbidden_paths=("b/**",),
        must_contain=(Contains(path="a.txt", text="x"),),
        verify=("true",),
        commit_message_pattern=r"^feat\(",
    )

    assert judge(task, but(GOOD, receipts=(receipt("true"),))) == ()


@pytest.mark.parametrize(
    ("task", "facts", "rule", "word"),
    [
        (Task(id="T", expected_paths=("b.txt",)), GOOD, "expected-path", "'b.txt' does not exist"),
        (Task(id="T", expected_paths=("tests/**",)), GOOD, "expected-path", "No file matches"),
        (Task(id="T", forbidden_paths=("a.*",)), GOOD, "forbidden-path", "'a.txt'"),
        (Task(id="T", forbidden_paths=("gone",)), but(GOOD, paths=("gone/x",)), "forbidden-path", "'gone/x'"),
        (Task(id="T"), but(GOOD, missing_texts=(Contains(path="a.txt", text="y"),)), "must-contain", "contain 'y'"),
        (Task(id="T"), but(GOOD, missing_texts=(Contains(path="n", text="y"),)), "must-contain", "does not exist"),
        (Task(id="T"), but(GOOD, paths=()), "empty-result", "Nothing was changed"),
        (Task(id="T", changes=Changes.NONE), GOOD, "unwanted-changes", "'a.txt' changed"),
        (Task(id="T", commit_message_pattern="^fix"), GOOD, "commit-message", "'feat(a): add it'"),
        (Task(id="T", commit_message_pattern="("), GOOD, "commit-message", "cannot be read"),
        (Task(id="T"), but(GOOD, outside=("../x",)), "outside-project", "'../x'"),
        (Task(id="T"), but(GOOD, embedded=("sub",)), "embedded-repository", "'sub'"),
        (Task(id="T"), but(GOOD, hook_failure="no tabs"), "hook", "no tabs"),
        (Task(id="T"), but(GOOD, read_only=True), "wrote-while-read-only", "may only read"),
        (Task(id="T"), but(GOOD, paths=(), outside=("o",), read_only=True), "wrote-while-read-only", "'o'"),
        (Task(id="T", verify=("make",)), but(GOOD, receipts=(receipt("make", 2, "boom"),)), "verify", "code 2: boom"),
        (Task(id="T", verify=("make",)), GOOD, "verify", "was not run"),
    ],
)
def test_each_way_to_miss_a_manifest_is_named(task: Task, facts: AuditFacts, rule: str, word: str) -> None:
    problems = judge(task, facts)

    assert [problem.message for problem in problems if problem.rule == rule and word in problem.message]


@pytest.mark.parametrize(
    ("changes", "paths", "fine"),
    [
        (Changes.REQUIRED, ("a.txt",), True),
        (Changes.REQUIRED, (), False),
        (Changes.NONE, ("a.txt",), False),
        (Changes.NONE, (), True),
        (Changes.ANY, ("a.txt",), True),
        (Changes.ANY, (), True),
    ],
)
def test_changes_are_required_refused_or_either(changes: Changes, paths: tuple[str, ...], fine: bool) -> None:
    assert (judge(Task(id="T", changes=changes), but(GOOD, paths=paths)) == ()) == fine


def test_a_task_that_may_only_read_need_not_change_anything() -> None:
    assert judge(Task(id="T"), AuditFacts(read_only=True)) == ()


def test_a_commit_message_is_looked_at_only_where_there_is_work_to_commit() -> None:
    assert judge(Task(id="T", changes=Changes.ANY, commit_message_pattern="^feat"), AuditFacts()) == ()


def test_verify_commands_behind_a_failed_one_are_not_reported_as_forgotten() -> None:
    task = Task(id="T", verify=("first", "second"))

    assert rules(task, but(GOOD, receipts=(receipt("first", 1),))) == ["verify"]


def test_the_work_is_judged_without_asking_for_verify_commands() -> None:
    task = Task(id="T", verify=("make",), expected_paths=("missing",))

    assert [problem.rule for problem in judge_work(task, GOOD)] == ["expected-path"]


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("README.md", "README.md", True),
        ("README.md", "docs/README.md", False),
        ("./README.md", "README.md", True),
        ("/README.md", "README.md", True),
        ("docs", "docs/a/b.md", True),
        ("docs/", "docs/a/b.md", True),
        ("docs", "docs2/a.md", False),
        ("tests/**", "tests/unit/test_a.py", True),
        ("tests/**", "src/tests/test_a.py", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/a/b.py", False),
        ("src/**/*.py", "src/a/b.py", True),
        ("./src/*.py", "src/a.py", True),
        ("*.lock", "deep/down/poetry.lock", True),
        ("file?.txt", "file1.txt", True),
        ("[ab].txt", "a.txt", True),
        ("[id].tsx", "[id].tsx", True),
        ("!important*", "!important.txt", True),
        ("#draft*", "#draft.md", True),
        ("a[", "a[", True),
        ("a[", "ab", False),
        ("\\", "x", False),
        ("*.txt", "two\nlines.txt", True),
        ("**/x.txt", "odd\nfolder/x.txt", True),
        ("", "anything", False),
        ("/", "anything", False),
    ],
)
def test_a_plain_path_is_exact_and_a_wildcard_reads_like_gitignore(pattern: str, path: str, matches: bool) -> None:
    assert path_matches(pattern, path) == matches


@given(path=paths)
def test_every_path_means_itself_and_what_is_below_it(path: str) -> None:
    assert path_matches(path, path)
    assert path_matches(path, path + "/below")


@given(changed=st.lists(paths, max_size=4, unique=True), forbidden=paths, more=st.lists(paths, max_size=3))
def test_touching_a_forbidden_path_is_never_overlooked(changed: list[str], forbidden: str, more: list[str]) -> None:
    task = Task(id="T", forbidden_paths=(*more, forbidden))

    assert "forbidden-path" in rules(task, AuditFacts(paths=(*changed, forbidden), files=(*changed, forbidden)))


@given(failing=st.integers(0, 3), codes=st.lists(st.integers(0, 255), min_size=4, max_size=4))
def test_a_task_is_never_fine_while_a_verify_command_failed_or_is_missing(failing: int, codes: list[int]) -> None:
    task = Task(id="T", verify=("a", "b", "c", "d"))
    receipts = tuple(receipt(command, code) for command, code in zip("abcd", codes, strict=True))

    assert ("verify" in rules(task, but(GOOD, receipts=receipts))) == any(codes)
    assert "verify" in rules(task, but(GOOD, receipts=receipts[:failing] + receipts[failing + 1 :]))


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (("expected-path", "verify"), Cause.AUDIT),
        (("expected-path", "empty-result"), Cause.EMPTY_RESULT),
        (("empty-result", "hook"), Cause.HOOK),
        (("hook", "wrote-while-read-only", "forbidden-path"), Cause.WROTE_WHILE_READ_ONLY),
    ],
)
def test_the_class_of_the_failure_is_that_of_the_problem_that_explains_the_others(
    found: tuple[str, ...], cause: Cause
) -> None:
    failure = failure_of([Problem(rule=rule, message=f"about {rule}", path=rule) for rule in found])

    assert failure.cause is cause
    assert failure.message.splitlines() == [f"about {rule}" for rule in found]
    assert failure.files == found


def test_an_audit_of_a_thousand_paths_still_fits_an_entry() -> None:
    many = tuple(f"{'x' * 500}/{number}" for number in range(1000))
    task = Task(id="T", expected_paths=many, forbidden_paths=("x*/**",), verify=("make",))

    facts = AuditFacts(paths=tuple(f"x/{path}" for path in many), receipts=(receipt("make", 1, "é" * 100_000),))
    problems = judge(task, facts)

    assert len(problems) == MAX_PROBLEMS
    assert "more problems" in problems[-1].message
    assert len(msgspec.json.encode(problems)) < 32 * 1024
