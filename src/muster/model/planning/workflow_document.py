"""Roles, teams and workflows as Markdown files that people write: values in the front matter, prose below it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from muster.model.errors import InputError
from muster.model.gates import Boundary
from muster.model.plan import Changes, Task
from muster.model.planning import plan_rules as rules
from muster.model.planning.fields import Fields
from muster.model.planning.issues import DocumentError, Issues, quoted
from muster.model.planning.markdown import NotTextError, decode, read_markdown
from muster.model.planning.roles import TOOLS, Role
from muster.model.planning.waves import find_cycle
from muster.model.planning.workflow import DEFAULTS, Kind, Skill, Step, Team, Workflow
from muster.model.planning.yaml_values import YamlMap, YamlProblem, YamlScalar, read_yaml
from muster.model.quantities import DURATION_FORMS, parse_duration

T = TypeVar("T")

MAX_STEPS = 50
MAX_PROMPT = 8 * 1024
PRODUCES = ("plan", "verdict", "findings")
BOUNDARIES = (Boundary.RESEARCH_DONE, Boundary.PLAN_READY, Boundary.PLAN_CRITIC_BLOCKER)
MAX_TURNS = 1000
# What skills may add to each prompt of a role.
MAX_SKILLS = 2 * 1024
ROLE_KEYS = ("name", "description", "permission", "effort", "timeout", "tools", "max_turns", "skills")
SKILL_KEYS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
_SKILL_NAME = re.compile(r"(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*")
READ_ONLY, WRITES = "read-only", "workspace-write"


def parse_role(data: bytes, name: str, source: str) -> Role:
    r"""Read ``agents/<name>.md``; a permission that is not known means read-only.

    >>> parse_role(b"---\ndescription: Asks.\n---\nAsk twice.\n", "asker", "asker.md").writes
    False

    Raises:
        DocumentError: with file, line, key and reason.
    """

    def build(fields: Fields, body: str) -> Role:
        if not body or len(body) > MAX_PROMPT:
            message = f"the role's prompt has {len(body):,} characters"
            fields.issues.error("VALUE", message, 0, allowed=f"1 to {MAX_PROMPT:,} below the front matter")
        return Role(
            name=name,
            description=fields.text("description", rules.title_problem),
            writes=fields.text("permission") == WRITES,
            prompt=body,
            effort=fields.text("effort", rules.name_problem),
            timeout_s=_duration(fields, "timeout"),
            origin=source,
            without=_without(fields),
            max_turns=fields.integer("max_turns", 1, MAX_TURNS),
            skills=fields.texts("skills", rules.name_problem, example="changelog"),
        )

    return _read(data, name, source, ROLE_KEYS, build)


def parse_skill(data: bytes, name: str, source: str) -> Skill:
    r"""Read ``skills/<name>/SKILL.md``, whose form is that of Agent Skills (agentskills.io/specification).

    >>> parse_skill(b"---\nname: tidy\ndescription: How to tidy.\n---\nSweep.\n", "tidy", "SKILL.md").text
    'Sweep.'

    Raises:
        DocumentError: with file, line, key and reason.
    """

    def build(fields: Fields, body: str) -> Skill:
        for key in ("name", "description"):
            if not fields.has(key):
                fields.issues.error("MISSING", f"{key!r} is missing", fields.line)
        if not _SKILL_NAME.fullmatch(name):
            allowed = "a folder's name of lower-case letters, digits and single hyphens"
            fields.issues.error("VALUE", f"{quoted(name)} is no skill's name", fields.line, "name", allowed=allowed)
        if not body:
            fields.issues.error("MISSING", "nothing stands below the front matter", 0)
        return Skill(name=name, description=fields.text("description", _skill_description), text=body, origin=source)

    return _read(data, name, source, SKILL_KEYS, build)


def with_skills(role: Role, skills: Mapping[str, Skill]) -> Role:
    r"""The role with the skills that it names in its prompt.

    >>> asker = Role(name="asker", description="", writes=False, prompt="Ask.", skills=("tidy",))
    >>> with_skills(asker, {"tidy": Skill(name="tidy", description="How to tidy.", text="Sweep.")}).prompt
    'Ask.\n\nSkill tidy: How to tidy.\nSweep.'

    Raises:
        InputError: there is no such skill, or they are too long together.
    """
    for name in role.skills:
        if name not in skills:
            known = ", ".join(sorted(skills)) or "none"
            raise InputError(f"{role.origin}: skills: there is no skill {name!r}; known: {known}.")
    texts = [f"Skill {one.name}: {one.description}\n{one.text}" for one in (skills[name] for name in role.skills)]
    size = len("\n\n".join(texts).encode())
    if size > MAX_SKILLS:
        raise InputError(f"{role.origin}: skills: they have {size:,} bytes together; allowed: {MAX_SKILLS:,}.")
    return replace(role, prompt="\n\n".join((role.prompt, *texts)))


def parse_team(data: bytes, name: str, source: str) -> Team:
    """Read ``teams/<name>.team.md``.

    Raises:
        DocumentError: with file, line, key and reason.
    """

    def build(fields: Fields, body: str) -> Team:
        value = fields.get("roles")
        roles = {}
        if isinstance(value, YamlMap):
            members = Fields(value, "roles", fields.issues)
            for role, written in value.items.items():
                one = isinstance(written, YamlScalar) and not written.empty
                agent = members.text(role, rules.agent_problem) if one else ""
                found = (agent,) if one else members.texts(role, rules.agent_problem, example="claude:opus@high")
                if found:
                    roles[role] = found
        elif value is not None:
            fields.issues.error("TYPE", "this is no mapping", value.line, "roles", allowed="role: agent")
        return Team(
            name=name,
            roles=roles,
            description=fields.text("description", rules.title_problem),
            max_parallel=fields.integer("max_parallel", 1, 256),
            origin=source,
            text=body,
        )

    return _read(data, name, source, ("name", "description", "roles", "max_parallel"), build)


def parse_workflow(data: bytes, name: str, source: str) -> Workflow:
    """Read ``workflows/<name>.workflow.md``.

    Raises:
        DocumentError: with file, line, key and reason.
    """

    def build(fields: Fields, body: str) -> Workflow:
        found = [_step(item) for item in fields.mappings("steps", "a list of steps, each with an id")]
        if not 1 <= len(found) <= MAX_STEPS:
            message = f"there are {len(found)} steps"
            fields.issues.error("VALUE", message, fields.line_of("steps"), "steps", allowed=f"1 to {MAX_STEPS}")
        _check_steps(found, fields.issues)
        return Workflow(
            name=name,
            steps=tuple(found),
            description=fields.text("description", rules.title_problem),
            team=fields.text("team", rules.name_problem),
            origin=source,
            text=body,
        )

    return _read(data, name, source, ("name", "description", "team", "steps"), build)


def _read(data: bytes, name: str, source: str, keys: tuple[str, ...], build: Callable[[Fields, str], T]) -> T:
    issues = Issues()
    try:
        document = read_markdown(decode(data))
        front = document.front_matter
        values = read_yaml(front.text, front.line) if front is not None else None
    except NotTextError as error:
        issues.error("NOT_TEXT", str(error), error.line, hint=error.hint)
        raise DocumentError(source, issues.sorted) from None
    except YamlProblem as problem:
        issues.error(problem.code, str(problem), problem.line, hint=problem.hint)
        raise DocumentError(source, issues.sorted) from None
    if not isinstance(values, YamlMap):
        issues.error("FRONT_MATTER", "there is no front matter", 1, allowed="'---', key: value lines, '---'")
        raise DocumentError(source, issues.sorted)
    fields = Fields(values, "", issues)
    fields.refuse_unknown(keys)
    told = fields.text("name", rules.name_problem)
    if told and told != name:
        issues.error("VALUE", f"{quoted(told)} is not the file's name", fields.line_of("name"), "name", allowed=name)
    assert front is not None
    below = decode(data).split("\n")[front.line + front.text.count("\n") :]
    made = build(fields, "\n".join(below).strip())
    if issues.errors:
        raise DocumentError(source, issues.sorted)
    return made


STEP_KEYS = (
    *("id", "kind", "phase", "title", "needs", "reads", "role", "prompt", "run", "shards", "boundary"),
    *("produces", "proves_brief", "changes", "verify", "timeout", "attempts"),
)


def _step(fields: Fields) -> Step:
    fields.refuse_unknown(STEP_KEYS)
    kind = fields.one_of("kind", Kind.COMMAND if fields.has("run") else Kind.AGENT)
    step = Step(
        id=fields.text("id", rules.id_problem),
        kind=kind,
        phase=fields.text("phase", rules.phase_problem),
        title=fields.text("title", rules.title_problem),
        needs=fields.texts("needs", example="explore"),
        reads=fields.texts("reads", example="explore"),
        role=fields.text("role", rules.name_problem),
        prompt=fields.text("prompt"),
        run=fields.text("run", rules.command_problem),
        shards=fields.texts("shards", example="the tests"),
        boundary=fields.text("boundary", _one_of(tuple(boundary.value for boundary in BOUNDARIES))),
        produces=fields.text("produces", _one_of(PRODUCES)),
        proves_brief=fields.text("proves_brief", _one_of(("true", "false"))) == "true",
        changes=fields.one_of("changes", Changes.REQUIRED),
        verify=fields.texts("verify", rules.command_problem, example='"make test"'),
        timeout_s=_duration(fields, "timeout") or Task(id="").timeout_s,
        attempts=fields.integer("attempts", 1, rules.MAX_ATTEMPTS),
        line=fields.line,
    )
    needed = {"id": True, "run": kind is Kind.COMMAND, "shards": kind is Kind.SHARDS, "boundary": kind is Kind.GATE}
    for key, wanted in needed.items():
        if wanted and not fields.has(key):
            fields.issues.error("MISSING", f"{key!r} is missing", fields.line, fields.path)
        if not wanted and fields.has(key):
            message = f"{key!r} does not fit to a step of kind {kind.value}"
            fields.issues.error("VALUE", message, fields.line_of(key), fields.path_of(key), allowed="no value")
    return step


def _check_steps(steps: list[Step], issues: Issues) -> None:
    known: dict[str, Step] = {}
    for step in steps:
        for other in [name for name in (step.id,) if name in known]:
            issues.error("DUPLICATE_ID", f"id {quoted(other)} is used twice", step.line, f"{other}.id")
        known[step.id] = step
    for step in steps:
        for key, names in (("needs", step.needs), ("reads", step.reads)):
            for name in names:
                if name not in known:
                    hint, path = issues.similar(name, known), f"{step.id}.{key}"
                    issues.error("UNKNOWN_NEED", f"unknown step {quoted(name)}", step.line, path, hint=hint)
        makers = [known[name] for name in step.reads or step.needs if name in known]
        if step.kind is Kind.EXECUTE and not any(_makes_plan(maker) for maker in makers):
            issues.error("NO_PLAN", "it reads no step that makes a plan", step.line, step.id, allowed="reads: [plan]")
    cycle = find_cycle([Task(id=step.id, needs=step.needs) for step in steps])
    if cycle:
        issues.error("CYCLE", f"steps need each other in a circle: {' → '.join(cycle)}", steps[0].line, "steps")


def _without(fields: Fields) -> tuple[str, ...]:
    """The kinds of tools that a role does not get: those that it is denied, and all but those that it is allowed."""
    value = fields.get("tools")
    if value is None:
        return ()
    if not isinstance(value, YamlMap):
        allowed = f"allow or deny, each a list of: {', '.join(TOOLS)}"
        fields.issues.error("TYPE", "this is no mapping", value.line, "tools", allowed=allowed)
        return ()
    tools = Fields(value, "tools", fields.issues)
    tools.refuse_unknown(("allow", "deny"))
    allow, deny = (tools.texts(key, _one_of(TOOLS), example="shell") for key in ("allow", "deny"))
    return tuple(kind for kind in TOOLS if kind in deny or (tools.has("allow") and kind not in allow))


def _skill_description(text: str) -> tuple[str, str] | None:
    return None if 0 < len(text) <= 1024 else (f"it has {len(text):,} characters", "1 to 1,024")


def _makes_plan(step: Step) -> bool:
    return (step.produces or DEFAULTS[step.kind][2]) == "plan"


def _duration(fields: Fields, key: str) -> float | None:
    allowed = f"{DURATION_FORMS}, more than 0 and at most 7d"
    return fields.quantity(key, parse_duration, 0, rules.MAX_TIMEOUT_S, allowed)


def _one_of(words: tuple[str, ...]) -> Callable[[str], tuple[str, str] | None]:
    return lambda text: None if text in words else (f"{quoted(text)} is not known", ", ".join(words))
