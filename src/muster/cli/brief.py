"""``muster brief``: write down what is wanted and how it is judged."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import click

from muster.cli.options import MESSAGE
from muster.cli.output import emit, json_option

TEMPLATE = """\
<!-- Say what you want in your own words; this comment is left out.
Paragraphs become the intent. List items become criteria, constraints or questions:

- a thing that must hold, verify: `make test`
- never change the public interface
- which database?
-->
"""


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@MESSAGE
@click.option("--project", "slug", metavar="SLUG", help="The project's name; by default made from the title.")
@click.option("--strict/--soft", default=False, help="Refuse every deviation from a brief's form (default: soft).")
@click.option("--force", is_flag=True, help="Replace a brief that is there already.")
@json_option
def brief(
    file: Path | None, messages: tuple[str, ...], slug: str | None, strict: bool, force: bool, as_json: bool
) -> None:
    """Make a brief from your words, or check one that you wrote.

    The words come from -m, from FILE ('-' is the standard input) or from your
    editor. A text that has a brief's sections is checked and kept as it is;
    any other is sorted into sections, with nothing left out and no model asked.
    """
    from muster.clock import SystemClock
    from muster.config.load import find_project
    from muster.pipeline.briefs import keep_brief, read_brief

    project = find_project(Path.cwd())
    data, source = words(file, messages)
    told = read_brief(data, source, SystemClock().now(), slug=slug, strict=strict)
    found = told.brief
    place, written = keep_brief(project, told, source, force=force)
    shown = _relative(place)
    if as_json:
        warnings = [issue.text(source) for issue in told.issues]
        digest = sha256(place.read_bytes()).hexdigest()
        emit(
            {
                "slug": found.slug,
                "path": shown,
                "sha256": digest,
                "written": written,
                "warnings": warnings,
                "brief": found,
            }
        )
        return
    for issue in told.issues:
        click.echo(issue.text(source), err=True)
    click.echo(f"{'wrote' if written else 'fine as it is:'} {shown}")
    for question in found.open_questions:
        click.echo(f"open:  {' '.join(question.split())}")
    click.echo(f"next:  muster plan --project {found.slug} has agents plan it")
    click.echo(f"or:    muster plan new .muster/projects/{found.slug}/plan.md begins a plan of your own")


def words(file: Path | None, messages: tuple[str, ...]) -> tuple[bytes, str]:
    """What a person says, from -m, a file, the standard input or the editor, and how to call it in messages."""
    from muster.model.errors import NotFoundError
    from muster.pipeline.artefacts import read_source

    if messages and file is not None:
        raise click.UsageError("Give either -m or FILE.")
    if messages:
        return "\n\n".join(messages).encode(errors="surrogateescape"), "-m"
    if file is not None:
        if str(file) != "-" and not file.exists():
            raise NotFoundError(f"There is no file {str(file)!r}.", hint="Words of your own go behind -m.")
        return read_source(file)
    if not sys.stdin.isatty():
        raise click.UsageError("Say what is wanted: -m TEXT, a FILE, or '-' for the standard input.")
    written = click.edit(TEMPLATE, extension=".md", require_save=False) or ""
    return written.replace(TEMPLATE, "").encode(), "editor"


def _relative(place: Path) -> str:
    try:
        return str(place.relative_to(Path.cwd()))
    except ValueError:
        return str(place)
