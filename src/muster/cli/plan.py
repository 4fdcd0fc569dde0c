"""``muster plan``: make, check, show and draw plans."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.options import GATES, INPUT, MESSAGE, PROFILE, reuse_option
from muster.cli.output import emit, json_option, jsonl_option, style, table
from muster.cli.run import run
from muster.model.quantities import counted

if TYPE_CHECKING:
    from muster.model.plan import Plan, Task
    from muster.model.planning.issues import Issue

_PATH = click.argument("path", required=False, type=click.Path(path_type=Path))
_SLUG = click.option("--project", "slug", metavar="SLUG", help="The plan in .muster/projects/SLUG.")
_CELL = 60


@click.group(invoke_without_command=True)
@MESSAGE
@click.option("-w", "--workflow", metavar="NAME", help="The workflow whose steps are taken (default: default).")
@reuse_option(default=True)
@_SLUG
@GATES
@PROFILE
@INPUT
@json_option
@jsonl_option
@click.pass_context
def plan(ctx: click.Context, /, **options: Any) -> None:
    """Make, check and draw plans. Without a command: have agents plan what TEXT or the project's brief asks for.

    A plan is a Markdown file: each '## heading' with a yaml block that has an
    'id' is a task. PATH is its file, '-' the standard input; without it, it is
    plan.md here or the only plan of the project.
    """
    if ctx.invoked_subcommand is None:
        if not (options["messages"] or options["slug"]):
            click.echo(ctx.get_help())
            ctx.exit(2)
        ctx.invoke(run, until="plan", **options)


@plan.command()
@_PATH
@_SLUG
@click.option("--strict/--soft", default=True, help="Also warn about profile drift and unproven tasks (default).")
@json_option
@click.pass_context
def lint(ctx: click.Context, path: Path | None, slug: str | None, strict: bool, as_json: bool) -> None:
    """Name all that is wrong or doubtful; exit code 2 if unusable."""
    from muster.model.planning.issues import Severity
    from muster.model.planning.plan_document import check_plan
    from muster.model.planning.plan_lint import lint as look_at

    data, source, project = _load(path, slug)
    found, issues = check_plan(data, source=source)
    if found is not None:
        issues += look_at(found, strict=strict, brief_sha256=_brief_sha256(project, found.slug))
        issues += tuple(_strangers(found))
    errors = [issue for issue in issues if issue.severity is Severity.ERROR]
    valid = found is not None and not errors
    if as_json:
        emit({"source": source, "valid": valid, "strict": strict, "issues": [_as_json(issue) for issue in issues]})
    else:
        for issue in issues:
            click.echo(issue.text(source))
        click.echo(style(_verdict(source, found, valid, issues), fg="green" if valid else "red"))
    ctx.exit(0 if valid else 2)


@plan.command()
@_PATH
@_SLUG
@json_option
def show(path: Path | None, slug: str | None, as_json: bool) -> None:
    """Show a plan's tasks, wave by wave."""
    from muster.model.planning.waves import waves

    found, _ = _parse(path, slug)
    levels = waves(found.tasks)
    if as_json:
        emit({"plan": found, "waves": levels})
        return
    click.echo(f"{found.title or found.slug}: {_count(found)}")
    number = {task_id: level for level, wave in enumerate(levels, start=1) for task_id in wave}
    tasks = sorted(found.tasks, key=lambda task: number[task.id])
    rows = [
        (str(number[task.id]), task.id, task.title, ", ".join(task.needs), _work(task), _cell("; ".join(task.verify)))
        for task in tasks
    ]
    table(("WAVE", "TASK", "TITLE", "NEEDS", "WORK", "VERIFY"), rows)


@plan.command()
@_PATH
@_SLUG
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "dot"]), default="text", help="The language.")
@json_option
def graph(path: Path | None, slug: str | None, form: str, as_json: bool) -> None:
    """Draw what waits for what."""
    from muster.model.planning import plan_graph
    from muster.model.planning.waves import waves

    found, _ = _parse(path, slug)
    if as_json:
        edges = [(need, task.id) for task in found.tasks for need in task.needs]
        emit({"waves": waves(found.tasks), "edges": edges})
        return
    draw = {"text": plan_graph.graph_text, "mermaid": plan_graph.graph_mermaid, "dot": plan_graph.graph_dot}[form]
    click.echo(draw(found), nl=False)


@plan.command()
@click.argument("path", default="plan.md", type=click.Path(path_type=Path))
@json_option
def new(path: Path, as_json: bool) -> None:
    """Write a first plan that works here, of commands only. The repository's own tests prove it."""
    from muster.cli.project import find_any_project
    from muster.model.errors import RefusedError
    from muster.pipeline.artefacts import create_text
    from muster.pipeline.starter import command_for_tests, starter_plan

    project = find_any_project() or Path.cwd()
    if not create_text(path, starter_plan(project, str(path))):
        raise RefusedError(f"{path} exists already; nothing was changed.", hint="muster plan new OTHER.md")
    command = command_for_tests(project)
    if as_json:
        emit({"created": str(path), "verify": command})
        return
    click.echo(f"created {path}: three commands in two waves")
    click.echo(f"proof:  {command or 'no test command was found; put yours under verify'}")
    click.echo(f"next:   muster plan graph {path}, then muster run --plan {path}")


@plan.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--floor", type=click.FloatRange(0, 1), default=0.55, show_default=True, help="The least Jaccard.")
@json_option
@click.pass_context
def compare(ctx: click.Context, first: Path, second: Path, floor: float, as_json: bool) -> None:
    """Measure how alike two plans are; exit code 6 when too little.

    Jaccard compares which words the steps use, ROUGE-L also their order, and
    MinHash the pieces of four characters. Nothing is said about which is better.
    """
    from muster.model.planning.plan_compare import compare as measure

    found = measure(_parse(first, None)[0], _parse(second, None)[0])
    alike = found.jaccard >= floor
    if as_json:
        emit({"alike": alike, "floor": floor, "likeness": found})
    else:
        click.echo(f"jaccard  {found.jaccard:.3f}  floor {floor:g}: {'alike' if alike else 'different'}")
        click.echo(f"rouge-l  {found.rouge_l:.3f}\nminhash  {found.minhash:.3f}")
        for mark, words in (("-", found.only_first), ("+", found.only_second)):
            if words:
                click.echo(_cell(f"{mark} {' '.join(words)}"))
    ctx.exit(0 if alike else 6)


def _load(path: Path | None, slug: str | None) -> tuple[bytes, str, Path | None]:
    from muster.cli.project import find_any_project
    from muster.pipeline.artefacts import load_plan

    project = find_any_project()
    data, source = load_plan(project, path=path, slug=slug)
    return data, source, project


def _parse(path: Path | None, slug: str | None) -> tuple[Plan, str]:
    from muster.model.planning.plan_document import parse_plan

    data, source, _ = _load(path, slug)
    return parse_plan(data, source=source), source


def _brief_sha256(project: Path | None, slug: str) -> str:
    from muster.pipeline.artefacts import BRIEF, read_artefact

    data = read_artefact(project, slug, BRIEF) if project is not None else None
    return sha256(data).hexdigest() if data is not None else ""


def _strangers(found: Plan) -> Iterator[Issue]:
    """Agents that nobody knows here; a warning, as they may be known where the plan will run."""
    from muster.model.plan import chosen

    named = {task.id: chosen(task.agent).name for task in found.tasks if task.agent and not task.is_command}
    if not named:
        return
    from muster.cli.project import find_any_project, read_settings
    from muster.config.definitions import load_definitions
    from muster.model.planning.issues import Issue, Severity, did_you_mean
    from muster.wiring.parts import agents

    _, resolved = read_settings()
    known = {*agents(resolved.settings.agents), *load_definitions(find_any_project(), trusted=False).roles}
    for task in found.tasks:
        if (name := named.get(task.id, "")) and name not in known:
            hint = did_you_mean(name, known) or "muster agent ls, muster roles"
            message = f"there is no agent or role {name!r} here"
            yield Issue("UNKNOWN_AGENT", message, Severity.WARNING, task.line, f"{task.id}.agent", hint=hint)


def _as_json(issue: Issue) -> dict[str, Any]:
    """All keys, also those at their default: a program should not have to guess."""
    return {
        "severity": issue.severity.value,
        "code": issue.code,
        "message": issue.message,
        "line": issue.line,
        "path": issue.path,
        "allowed": issue.allowed,
        "hint": issue.hint,
    }


def _verdict(source: str, found: Plan | None, valid: bool, issues: tuple[Issue, ...]) -> str:
    from muster.model.planning.issues import Severity

    errors = sum(issue.severity is Severity.ERROR for issue in issues)
    notes = [_number(errors, "error"), _number(len(issues) - errors, "warning")]
    told = ", ".join(note for note in notes if note) or "nothing to say against it"
    if valid and found is not None:
        return f"{source}: valid, {_count(found)}, {told}"
    return f"{source}: not valid, {told}"


def _count(found: Plan) -> str:
    from muster.model.planning.waves import waves

    return f"{_number(len(found.tasks), 'task')} in {_number(len(waves(found.tasks)), 'wave')}"


def _number(count: int, noun: str) -> str:
    return counted(count, noun) if count else ""


def _work(task: Task) -> str:
    return _cell(task.run) if task.is_command else task.agent


def _cell(text: str) -> str:
    """The beginning of a text, without characters that a terminal would obey."""
    first = text.strip().partition("\n")[0]
    shown = "".join(each if each.isprintable() else "�" for each in first[:_CELL])
    return shown + "…" if shown != text.strip() else shown
