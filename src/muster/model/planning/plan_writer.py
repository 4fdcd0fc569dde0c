"""A plan as the file that reads back as the same plan."""

from __future__ import annotations

import re
from collections.abc import Iterable

from muster.model.errors import InputError
from muster.model.plan import Plan, Task
from muster.model.planning.markdown import longest_fence, read_markdown
from muster.model.planning.plan_rules import heading_title
from muster.model.planning.profiles import PHASES
from muster.model.quantities import format_duration, format_money

# Scalars that no YAML reader takes for anything but text, and that need no quotes in a list.
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./@+*-]*")
_NOT_TEXT = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n"])
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def format_plan(plan: Plan) -> str:
    """Write a plan in its one canonical form; values that are at their default are left out.

    >>> plan = Plan(slug="hello", title="Hello", tasks=(Task(id="T1", title="Greet", run="echo hi"),))
    >>> print(format_plan(plan), end="")
    ---
    type: plan
    slug: hello
    ---
    # Hello
    <BLANKLINE>
    ## T1: Greet
    <BLANKLINE>
    ```yaml
    id: T1
    run: "echo hi"
    ```

    Raises:
        InputError: a task's prose cannot stand in a plan, because it would end the section.
    """
    titled = _heading_reads("# ", plan.title)
    front = ["---", "type: plan", f"slug: {scalar(plan.slug)}"]
    if plan.title and not titled:
        front.append(f"title: {scalar(plan.title)}")
    for key, value in (("brief_sha256", plan.brief_sha256), ("profile", plan.profile)):
        if value:
            front.append(f"{key}: {scalar(value)}")
    if plan.phase_models:
        front.append("phase_models:")
        front += [f"  {phase}: {scalar(plan.phase_models[phase])}" for phase in PHASES if phase in plan.phase_models]
    if plan.session_start_sha:
        front.append(f"session_start_sha: {scalar(plan.session_start_sha)}")
    front.append("---")
    parts = ["\n".join(front)]
    if titled:
        parts[0] += f"\n# {plan.title}"
    parts += map(format_task, plan.tasks)
    return "\n\n".join(parts) + "\n"


def format_task(task: Task) -> str:
    """Write one task's section, without a newline at its end."""
    heading = f"{task.id}: {task.title}" if task.title and task.title != task.id else task.id
    if not (_heading_reads("## ", heading) and heading_title(heading, task.id) == task.title):
        heading = task.id
    manifest = "\n".join(_manifest(task, with_title=heading_title(heading, task.id) != task.title))
    fence = "`" * max(3, longest_fence(manifest) + 1)
    parts = [f"## {heading}", f"{fence}yaml\n{manifest}\n{fence}"]
    if task.prose:
        document = read_markdown(task.prose, front_matter=False)
        if len(document.sections) > 1 or document.unclosed:
            what = "an unclosed block" if document.unclosed else "a heading of level 1 or 2"
            raise InputError(f"The prose of task {task.id} holds {what}, which a task's section of a plan cannot hold.")
        parts.insert(1, task.prose)
    return "\n\n".join(parts)


def scalar(text: str) -> str:
    r"""A text as a YAML scalar on one line, quoted unless every YAML reader takes it for text.

    >>> print(scalar("src/app.py"), scalar("no"), scalar("1"), scalar('say "hi"'))
    src/app.py "no" "1" "say \"hi\""
    """
    if _BARE.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _manifest(task: Task, *, with_title: bool) -> Iterable[str]:
    plain = Task(id=task.id)
    yield f"id: {scalar(task.id)}"
    if with_title:
        yield f"title: {scalar(task.title)}"
    yield from _list("needs", task.needs)
    for key, text in (("agent", task.agent), ("run", task.run), ("prompt", task.prompt)):
        if text:
            yield from _text(key, text)
    yield from _list("expected_paths", task.expected_paths)
    yield from _list("forbidden_paths", task.forbidden_paths)
    if task.must_contain:
        yield "must_contain:"
        for item in task.must_contain:
            yield f"  - {{path: {scalar(item.path)}, text: {scalar(item.text)}}}"
    if task.changes is not plain.changes:
        yield f"changes: {task.changes.value}"
    yield from _list("verify", task.verify)
    if task.commit_message_pattern:
        yield f"commit_message_pattern: {scalar(task.commit_message_pattern)}"
    if task.timeout_s != plain.timeout_s:
        yield f"timeout: {format_duration(task.timeout_s)}"
    if task.attempts is not None:
        yield f"attempts: {task.attempts}"
    yield from _list("retryable", task.retryable)
    yield from _list("non_retryable", task.non_retryable)
    if task.on_failure is not plain.on_failure:
        yield f"on_failure: {task.on_failure.value}"
    if task.profile_used:
        yield f"profile_used: {scalar(task.profile_used)}"
    if task.max_cost is not None:
        yield f"max_cost: {format_money(task.max_cost.usd)}"


def _list(key: str, items: tuple[str, ...]) -> Iterable[str]:
    if not items:
        return
    line = f"{key}: [{', '.join(map(scalar, items))}]"
    if len(line) <= 100:
        yield line
        return
    yield f"{key}:"
    yield from (f"  - {scalar(item)}" for item in items)


def _text(key: str, text: str) -> Iterable[str]:
    """A text as it is, line by line, where YAML can carry it so; quoted otherwise."""
    body = text.rstrip("\n")
    if "\n" not in text or not body or not all(each.isprintable() or each in "\n\t" for each in text):
        yield f"{key}: {scalar(text)}"
        return
    # A first line that begins with white space would hide how far the text is indented.
    indent = "2" if text[0] in " \t\n" else ""
    ends = len(text) - len(body)
    yield f"{key}: |{indent}{'-' if not ends else '' if ends == 1 else '+'}"
    yield from (f"  {line}" if line else "" for line in body.split("\n"))
    yield from [""] * (ends - 1)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _heading_reads(marks: str, text: str) -> bool:
    """Whether a heading reads back as exactly this text."""
    if not text or "\n" in text or text != " ".join(text.split()):
        return False
    return read_markdown(marks + text, front_matter=False).sections[-1].title == text
