"""A plan as a Markdown file that people write: reading it, with everything that is wrong named at once.

A task is a ``##`` section with a fenced ``yaml`` block that has an ``id``; the
section's other text is the task's prose. Only ``id`` and one of ``agent`` and
``run`` are required. Sections without such a block are plain prose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from muster.model.plan import MAX_TASKS, Changes, Contains, Money, OnFailure, Plan, Task
from muster.model.planning import plan_rules as rules
from muster.model.planning.document import front_fields, open_document
from muster.model.planning.fields import Fields
from muster.model.planning.issues import Issue, Issues, PlanError, quoted
from muster.model.planning.markdown import Block, Document, Fence, Section
from muster.model.planning.plan_writer import format_plan as format_plan
from muster.model.planning.profiles import PHASES
from muster.model.planning.slugs import is_slug, slug_of, slug_problem
from muster.model.planning.waves import find_cycle
from muster.model.planning.yaml_values import YamlMap, YamlProblem, YamlScalar, read_yaml
from muster.model.quantities import DURATION_FORMS, MONEY_FORMS, format_size, parse_duration, parse_money

MAX_PLAN_BYTES = 32 * 1024 * 1024
MAX_YAML_BLOCKS = 5_000
# A task travels in one journal entry of at most 64 KiB; a long prompt is kept beside it, long prose is cut.
MAX_TASK_BYTES = 48 * 1024

_TYPE_LINE = re.compile(r"^[\"']?type[\"']?[ \t]*:[ \t]*[\"']?plan[\"']?[ \t]*$", re.MULTILINE)
_ID_LINE = re.compile(r"^[ \t]*[\"']?id[\"']?[ \t]*:", re.MULTILINE)
_WORK_LINE = re.compile(r"^[ \t]*[\"']?(?:run|agent)[\"']?[ \t]*:", re.MULTILINE)


def parse_plan(data: bytes, *, source: str, max_tasks: int = MAX_TASKS) -> Plan:
    r"""Read a plan.

    >>> plan = parse_plan(b"## Say hello\n```yaml\nid: T1\nrun: echo hello > hello.txt\n```\n", source="plan.md")
    >>> plan.tasks[0].title, plan.tasks[0].timeout_s
    ('Say hello', 1800.0)

    Raises:
        PlanError: with all that is wrong, each with file, line, path and what is allowed.
    """
    plan, issues = check_plan(data, source=source, max_tasks=max_tasks)
    if plan is None:
        raise PlanError(source, issues)
    return plan


def looks_like_plan(data: bytes) -> bool:
    r"""Whether somebody wrote this as a plan: it says so, or a section has a block that says what a task is and does.

    >>> looks_like_plan(b"## Hello\n```yaml\nid: T1\nrun: echo\n```\n"), looks_like_plan(b"# Hello\nBe friendly.\n")
    (True, False)
    >>> looks_like_plan(b"---\ntype: plan\n---\n## Hello\n```yaml\nid: T1\nrnu: echo\n```\n")
    True
    """
    document = open_document(data, "plan", MAX_PLAN_BYTES, Issues())
    if document is None:
        return False
    if document.front_matter and _TYPE_LINE.search(document.front_matter.text):
        return True
    fences = (fence for section in document.sections for fence in section.fences)
    return any(f.language in ("yaml", "yml") and _ID_LINE.search(f.text) and _WORK_LINE.search(f.text) for f in fences)


def check_plan(data: bytes, *, source: str, max_tasks: int = MAX_TASKS) -> tuple[Plan | None, tuple[Issue, ...]]:
    """Read a plan and say all that is wrong; there is no plan when something is an error."""
    issues = Issues()
    document = open_document(data, "plan", MAX_PLAN_BYTES, issues)
    if document is None:
        return None, issues.sorted
    front = _FrontMatter(document.front_matter, issues)
    manifests = _manifests(document, issues, max_tasks)
    found = [_task(section, fence, fields) for section, fence, fields in manifests]
    tasks = [each.task for each in found]
    if not tasks and not issues.errors:
        hint = "a task is a '## heading' with a ```yaml block that has an 'id' and 'run' or 'agent'"
        issues.error("EMPTY_PLAN", "the plan has no task", 1, hint=hint)
    _check_ids(found, issues)
    _check_needs(found, issues)
    if issues.errors:
        return None, issues.sorted
    title = front.title or next((section.title for section in document.sections if section.level == 1), "")
    plan = Plan(
        slug=front.slug or _slug_from(source, title),
        tasks=tuple(tasks),
        title=title,
        brief_sha256=front.brief_sha256,
        profile=front.profile,
        phase_models=front.phase_models,
        session_start_sha=front.session_start_sha,
        sha256=hashlib.sha256(data).hexdigest(),
        source=source,
    )
    return plan, issues.sorted


class _FrontMatter:
    """The values of the front matter, each at its default where nothing right is written."""

    def __init__(self, block: Block | None, issues: Issues) -> None:
        found = front_fields(block, issues) if block else None
        fields = found or Fields(YamlMap({}, {}, 1), "front matter", issues)
        fields.refuse_unknown(rules.FRONT_KEYS)
        fields.text("type", lambda text: None if text == "plan" else (f"{quoted(text)} is no plan", "plan"))
        self.slug = fields.text("slug", slug_problem)
        self.title = fields.text("title", rules.title_problem)
        self.brief_sha256 = fields.text("brief_sha256", rules.sha_problem)
        self.profile = fields.text("profile", rules.name_problem)
        self.session_start_sha = fields.text("session_start_sha", rules.sha_problem)
        self.phase_models = _phase_models(fields)


def _phase_models(fields: Fields) -> dict[str, str]:
    """A model for each named phase, from a mapping or from a list of phase and model."""
    value = fields.get("phase_models")
    if isinstance(value, YamlMap):
        models = Fields(value, fields.path_of("phase_models"), fields.issues)
        models.refuse_unknown(PHASES)
        return {phase: model for phase in PHASES if (model := models.text(phase, rules.name_problem))}
    found = {}
    for item in fields.mappings("phase_models", "a mapping of phases to models"):
        item.refuse_unknown(("phase", "model"))
        phase = item.text("phase", rules.phase_problem)
        model = item.text("model", rules.name_problem)
        if phase and model:
            found[phase] = model
    return found


_Manifest = tuple[Section, Fence, Fields]


class _Found(NamedTuple):
    """A task as it was read, with the places of what must fit to other tasks."""

    task: Task
    fields: Fields
    needs: list[tuple[str, int, str]]


def _manifests(document: Document, issues: Issues, max_tasks: int) -> list[_Manifest]:
    """All blocks that describe a task, each with its section."""
    found: list[_Manifest] = []
    blocks = 0
    for section in document.sections:
        first_line = 0
        for fence in section.fences:
            if fence.language not in ("yaml", "yml"):
                continue
            blocks += 1
            fields = _manifest(section, fence, f"task {len(found) + 1}", issues)
            if fields is None:
                pass
            elif first_line:
                message = f"this section has a second task, the first is on line {first_line}"
                issues.error("TWO_TASKS", message, fence.line, fields.path, hint="give each task its own '## heading'")
            else:
                found.append((section, fence, fields))
                first_line = fence.line
            if len(found) > max_tasks or blocks > MAX_YAML_BLOCKS:
                what = f"{max_tasks:,} tasks" if len(found) > max_tasks else f"{MAX_YAML_BLOCKS:,} YAML blocks"
                issues.error("TOO_MANY", f"the plan has more than {what}; nothing after this line was read", fence.line)
                return found
    return found


def _manifest(section: Section, fence: Fence, path: str, issues: Issues) -> Fields | None:
    """The manifest in a YAML block; None when the block is something else."""
    try:
        values = read_yaml(fence.text, fence.line)
    except YamlProblem as problem:
        if _ID_LINE.search(fence.text):
            issues.error(problem.code, str(problem), problem.line, section.title[:60] or path, hint=problem.hint)
        return None
    if not isinstance(values, YamlMap):
        return None
    works = "run" in values.items or "agent" in values.items
    if "id" not in values.items:
        lowered = {key.lower() for key in values.items}
        # Only a block that cannot be anything else: dropping a task in silence would be worse than asking.
        if section.level == 2 and (works or "id" in lowered) and lowered <= set(rules.MANIFEST_KEYS):
            hint = "write 'id' in lower case" if "id" in lowered else "add 'id: …', or mark the block as ```text"
            issues.error("MISSING_ID", "this looks like a task but has no 'id'", fence.line, path, hint=hint)
        return None
    if section.level != 2:
        if works:
            issues.error("NO_SECTION", "a task needs its own '## heading'", fence.line, path)
        return None
    scalar = values.items["id"]
    valid = isinstance(scalar, YamlScalar) and rules.id_problem(scalar.text) is None
    return Fields(values, scalar.text if valid and isinstance(scalar, YamlScalar) else path, issues)


def _task(section: Section, fence: Fence, fields: Fields) -> _Found:
    issues = fields.issues
    fields.refuse_unknown(rules.MANIFEST_KEYS)
    task_id = fields.text("id", rules.id_problem)
    if not fields.has("id"):
        issues.error("MISSING_ID", "the id is empty", fields.line_of("id"), fields.path_of("id"), allowed=rules.ID_FORM)
    if fields.has("agent") == fields.has("run"):
        both = "both 'agent' and 'run' are given" if fields.has("agent") else "neither 'agent' nor 'run' is given"
        line = max(fields.line_of("agent"), fields.line_of("run"))
        issues.error("AGENT_OR_RUN", both, line, fields.path, allowed="exactly one of them")
    title = fields.text("title", rules.title_problem)
    if not fields.has("title"):
        title = _heading_title(section, task_id, fields)
    needs = fields.texts_at("needs", example="T1")
    cost = fields.quantity("max_cost", parse_money, 0, rules.MAX_COST_USD, f"{MONEY_FORMS}, more than 0")
    timeout_s = fields.quantity(
        "timeout", parse_duration, 0, rules.MAX_TIMEOUT_S, f"{DURATION_FORMS}, more than 0 and at most 7d"
    )
    task = Task(
        id=task_id,
        title=title,
        needs=tuple(need for _, _, need in needs),
        agent=fields.text("agent", rules.agent_problem),
        run=fields.text("run", rules.command_problem),
        prompt=fields.text("prompt"),
        prose=section.without(fence),
        expected_paths=fields.texts("expected_paths", rules.path_problem, example="src/app.py"),
        forbidden_paths=fields.texts("forbidden_paths", rules.path_problem, example='"migrations/**"'),
        must_contain=_must_contain(fields),
        changes=fields.one_of("changes", Changes.REQUIRED),
        verify=fields.texts("verify", rules.command_problem, example='"make test"'),
        commit_message_pattern=fields.text("commit_message_pattern", rules.regex_problem),
        timeout_s=Task(id="").timeout_s if timeout_s is None else timeout_s,
        attempts=fields.integer("attempts", 1, rules.MAX_ATTEMPTS),
        retryable=fields.texts("retryable", rules.class_problem, example="rate_limit"),
        non_retryable=fields.texts("non_retryable", rules.class_problem, example="timeout"),
        on_failure=fields.one_of("on_failure", OnFailure.STOP),
        profile_used=fields.text("profile_used", rules.name_problem),
        max_cost=None if cost is None else Money(usd=cost),
        line=section.line,
    )
    size = len(msgspec.json.encode(msgspec.structs.replace(task, prompt="", prose="")))
    if size > MAX_TASK_BYTES:
        message = f"the task has {format_size(size)} beside prompt and prose"
        hint = "put long text into 'prompt' or into a file"
        issues.error(
            "TOO_LARGE", message, section.line, fields.path, allowed=f"at most {format_size(MAX_TASK_BYTES)}", hint=hint
        )
    return _Found(task, fields, needs)


def _heading_title(section: Section, task_id: str, fields: Fields) -> str:
    title = rules.heading_title(section.title, task_id)
    problem = rules.title_problem(title)
    if problem:
        fields.issues.error("VALUE", problem[0], section.line, fields.path_of("title"), allowed=problem[1])
    return title


def _must_contain(fields: Fields) -> tuple[Contains, ...]:
    found = []
    for item in fields.mappings("must_contain", "a list of {path: …, text: …}"):
        item.refuse_unknown(("path", "text"))
        for key in ("path", "text"):
            if not item.has(key):
                fields.issues.error(
                    "MISSING", f"{key!r} is missing", item.line, item.path, allowed="{path: …, text: …}"
                )
        found.append(Contains(path=item.text("path", rules.path_problem), text=item.text("text")))
    return tuple(found)


def _check_ids(found: Sequence[_Found], issues: Issues) -> None:
    """Ids must differ, also where upper and lower case are the same to the file system."""
    seen: dict[str, tuple[str, int]] = {}
    for _, fields, _ in found:
        value = fields.get("id")
        if not isinstance(value, YamlScalar):
            continue
        other, line = seen.setdefault(value.text.lower(), (value.text, value.line))
        if line == value.line:
            continue
        same = other == value.text
        message = (
            f"id {quoted(value.text)} is already used on line {line}"
            if same
            else f"id {quoted(value.text)} differs from {quoted(other)} on line {line} only in case"
        )
        issues.error(
            "DUPLICATE_ID", message, value.line, fields.path_of("id"), allowed="an id of its own for each task"
        )


def _check_needs(found: Sequence[_Found], issues: Issues) -> None:
    """Needs must name tasks of the plan and must not go in a circle."""
    # Also ids that are wrong count as known here, so that one mistake is reported once.
    raw_ids = [fields.get("id") for _, fields, _ in found]
    known = {value.text: None for value in raw_ids if isinstance(value, YamlScalar)}
    for task, _, needs in found:
        if issues.full:
            break
        for path, line, need in needs:
            if need not in known:
                hint = issues.similar(need, known.keys() - {task.id})
                issues.error("UNKNOWN_NEED", f"unknown task {quoted(need)}", line, path, hint=hint)
    cycle = find_cycle([task for task, _, _ in found])
    if cycle:
        first = next(fields for task, fields, _ in found if task.id == cycle[0])
        shown = cycle if len(cycle) <= 12 else (*cycle[:6], "…", *cycle[-5:])
        message = f"tasks need each other in a circle: {' → '.join(shown)}"
        issues.error("CYCLE", message, first.line_of("needs"), first.path_of("needs"), hint="remove one of these needs")


def _slug_from(source: str, title: str) -> str:
    """A slug where the plan gives none: its project's folder, its title or its file's name."""
    parts = source.replace("\\", "/").split("/")
    if len(parts) >= 3 and parts[-3] == "projects" and is_slug(parts[-2]):
        return parts[-2]
    return slug_of(title) if title else slug_of(parts[-1].removesuffix(".md"), "plan")
