"""The manifest's verdict: what an attempt left is held against what its task must leave.

A path in a manifest is relative to the project. Without wildcards it is
exactly that file or folder; with wildcards it is read like a line of a
``.gitignore``: ``src/*.py`` is anchored, ``*.lock`` matches at every depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from pathspec.patterns.gitignore.base import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from muster.model.attempts import Cause, Failure, Problem, Receipt
from muster.model.plan import Changes, Contains, Task
from muster.model.record import Record

# Problems travel in a journal entry of at most 64 KiB and in the next attempt's prompt.
MAX_PROBLEMS = 20
MAX_NAMED = 5
MAX_NAME = 200
MAX_TAIL = 1000

_WILDCARDS = re.compile(r"[*?\[\\]")


class AuditFacts(Record, frozen=True):
    """What was seen after an attempt; ``paths`` are those it changed, ``files`` all of the tree it left.

    ``outside`` are changed paths outside the project, ``embedded`` are
    repositories made inside it, ``missing_texts`` are those of the manifest's
    texts that the tree does not hold. ``read_only`` says that the task was not
    allowed to write.
    """

    paths: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    missing_texts: tuple[Contains, ...] = ()
    message: str = ""
    receipts: tuple[Receipt, ...] = ()
    hook_failure: str = ""
    read_only: bool = False


def judge(task: Task, facts: AuditFacts) -> tuple[Problem, ...]:
    """All that keeps a task from being done; empty when its manifest holds and is proven.

    >>> task = Task(id="T1", expected_paths=("src/limit.py",))
    >>> judge(task, AuditFacts(paths=("src/limit.py",), files=("src/limit.py",)))
    ()
    >>> [problem.message for problem in judge(task, AuditFacts(paths=("a.txt",), files=("a.txt",)))]
    ["Expected path 'src/limit.py' does not exist."]
    """
    return _at_most((*_judge_work(task, facts), *_judge_proof(task, facts.receipts)))


def judge_work(task: Task, facts: AuditFacts) -> tuple[Problem, ...]:
    """The part of the verdict that needs no verify command, to be asked before time is spent on them."""
    return _at_most(_judge_work(task, facts))


def failure_of(problems: Sequence[Problem]) -> Failure:
    """The failure that an attempt with these problems (at least one) ends with.

    The class is that of the problem that explains the others: who may not
    write cannot meet a manifest, and who changed nothing lacks every path.

    >>> failure = failure_of(judge(Task(id="T1", expected_paths=("a.txt",)), AuditFacts()))
    >>> failure.cause, failure.files
    (<Cause.EMPTY_RESULT: 'empty-result'>, ('a.txt',))
    """
    rules = {problem.rule for problem in problems}
    explaining = (Cause.WROTE_WHILE_READ_ONLY, Cause.HOOK, Cause.EMPTY_RESULT)
    return Failure(
        cause=next((cause for cause in explaining if cause.value in rules), Cause.AUDIT),
        message="\n".join(problem.message for problem in problems),
        files=tuple(dict.fromkeys(problem.path for problem in problems if problem.path)),
    )


def path_matches(pattern: str, path: str) -> bool:
    """Whether a path of the project is meant by a path or pattern of a manifest.

    >>> path_matches("src/*.py", "src/limit.py"), path_matches("src/*.py", "lib/src/limit.py")
    (True, False)
    >>> path_matches("README.md", "docs/README.md"), path_matches("*.md", "docs/README.md")
    (False, True)
    >>> path_matches("docs/", "docs/a/b.md"), path_matches("[id].tsx", "[id].tsx")
    (True, True)
    """
    literal = _literal(pattern)
    if path == literal or (literal and path.startswith(literal + "/")):
        return True
    regex = _regex(pattern)
    return regex is not None and regex.match(path) is not None


def _judge_work(task: Task, facts: AuditFacts) -> Iterable[Problem]:
    if facts.read_only and (facts.paths or facts.outside):
        written = (*facts.paths, *facts.outside)
        yield _problem("wrote-while-read-only", f"The task may only read, but it changed {_names(written)}.", written)
    if facts.hook_failure:
        yield Problem(rule="hook", message=f"A commit hook of the repository said no: {_tail(facts.hook_failure)}")
    if facts.outside:
        message = f"Changed {_names(facts.outside)} outside the project's folder."
        yield _problem("outside-project", message, facts.outside)
    if facts.embedded:
        message = f"Made a git repository inside the project: {_names(facts.embedded)}; its files cannot be merged."
        yield _problem("embedded-repository", message, facts.embedded)
    yield from _judge_changes(task, facts)
    yield from _judge_paths(task, facts)
    if facts.paths and task.commit_message_pattern:
        yield from _judge_message(task.commit_message_pattern, facts.message)


def _judge_changes(task: Task, facts: AuditFacts) -> Iterable[Problem]:
    if facts.read_only:
        return
    if task.changes is Changes.REQUIRED and not (facts.paths or facts.outside or facts.embedded):
        yield Problem(rule="empty-result", message="Nothing was changed; only `changes: any` or `none` allows that.")
    if task.changes is Changes.NONE and facts.paths:
        message = f"The manifest allows no changes, but {_names(facts.paths)} changed."
        yield _problem("unwanted-changes", message, facts.paths)


def _judge_paths(task: Task, facts: AuditFacts) -> Iterable[Problem]:
    for pattern in task.expected_paths:
        if not any(path_matches(pattern, path) for path in facts.files):
            wild = _regex(pattern) is not None
            message = f"No file matches the expected path {_name(pattern)}."
            yield Problem(
                rule="expected-path",
                message=message if wild else f"Expected path {_name(pattern)} does not exist.",
                path=pattern,
            )
    for pattern in task.forbidden_paths:
        touched = [path for path in facts.paths if path_matches(pattern, path)]
        if touched:
            message = f"Changed {_names(touched)}, which forbidden_paths {_name(pattern)} does not allow."
            yield _problem("forbidden-path", message, touched)
    existing = set(facts.files) if facts.missing_texts else set()
    for missing in facts.missing_texts:
        there = "does not contain" if missing.path in existing else "does not exist, so it cannot contain"
        yield Problem(
            rule="must-contain", message=f"{_name(missing.path)} {there} {_name(missing.text)}.", path=missing.path
        )


def _judge_message(pattern: str, message: str) -> Iterable[Problem]:
    try:
        fits = re.search(pattern, message) is not None
    except re.error as error:
        yield Problem(
            rule="commit-message", message=f"commit_message_pattern {_name(pattern)} cannot be read: {error}."
        )
        return
    if not fits:
        first = message.partition("\n")[0]
        text = f"The commit message {_name(first)} does not match commit_message_pattern {_name(pattern)}."
        yield Problem(rule="commit-message", message=text)


def _judge_proof(task: Task, receipts: Sequence[Receipt]) -> Iterable[Problem]:
    failed = [receipt for receipt in receipts if not receipt.ok]
    for receipt in failed:
        tail = f": {_tail(receipt.tail)}" if receipt.tail.strip() else "."
        message = f"Verify command {_name(receipt.command)} ended with exit code {receipt.exit_code}{tail}"
        yield Problem(rule="verify", message=message)
    ran = {receipt.command for receipt in receipts}
    # A command that was not run because an earlier one failed is no news; one that nobody ran is no proof.
    if not failed:
        for command in task.verify:
            if command not in ran:
                yield Problem(rule="verify", message=f"Verify command {_name(command)} was not run.")


def _literal(pattern: str) -> str:
    return pattern.removeprefix("./").strip("/")


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str] | None:
    """The pattern as a regular expression; None when it is a plain path or cannot be read."""
    if not _WILDCARDS.search(pattern):
        return None
    pattern = pattern.removeprefix("./")
    # A manifest's list has neither comments nor exceptions.
    escaped = "\\" + pattern if pattern.startswith(("#", "!")) else pattern
    try:
        regex, _ = GitIgnoreSpecPattern.pattern_to_regex(escaped)
    except GitIgnorePatternError:
        return None
    return None if regex is None else re.compile(str(regex), re.DOTALL)  # a file's name may hold a newline


def _problem(rule: str, message: str, paths: Sequence[str]) -> Problem:
    return Problem(rule=rule, message=message, path=paths[0])


def _at_most(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    found = tuple(problems)
    if len(found) <= MAX_PROBLEMS:
        return found
    kept = found[: MAX_PROBLEMS - 1]
    return (*kept, Problem(rule=found[-1].rule, message=f"… and {len(found) - len(kept)} more problems."))


def _name(text: str) -> str:
    return repr(text if len(text) <= MAX_NAME else text[:MAX_NAME] + "…")


def _names(paths: Sequence[str]) -> str:
    named = ", ".join(_name(path) for path in paths[:MAX_NAMED])
    more = len(paths) - MAX_NAMED
    return f"{named} and {more:,} more" if more > 0 else named


def _tail(output: str) -> str:
    text = output.strip()
    return text if len(text) <= MAX_TAIL else "… " + text[-MAX_TAIL:]
