"""``muster bundle``: a run as one file for somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, json_option, redactor
from muster.cli.project import RUN, read_project, use_project

if TYPE_CHECKING:
    from muster.diagnostics.imported import Imported
    from muster.model.running.state import RunState
    from muster.wiring.kit import Kit

_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group()
def bundle() -> None:
    """Take a run out as one file, and look at such files of others.

    A bundle has the brief, plan, events, receipts, diffs, transcripts and costs
    of a run without secrets, and a page, index.html, that opens without a server.
    """


@bundle.command()
@RUN
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; muster-RUN.zip by default.")
@json_option
def export(run: str, out: Path | None, as_json: bool) -> None:
    """Write RUN, by default the newest, into one ZIP file. The same run gives the same bytes."""
    manifest, place = read_project(_export, run, out)
    if as_json:
        emit({"file": str(place), "manifest": manifest})
        return
    click.echo(f"{place}: {len(manifest['members'])} files, {manifest['entries']} entries of run {manifest['run']}")
    for name, why in manifest["left_out"].items():
        click.echo(f"  without {name}: {why}")
    click.echo(f"next:   muster bundle open {place}")


async def _export(kit: Kit, wanted: str, out: Path | None) -> tuple[dict[str, Any], Path]:

    import msgspec

    from muster.diagnostics.bundle import export_bundle
    from muster.operations.runs import find_run

    run = await find_run(kit.store, wanted)
    place = out or Path(f"muster-{run}.zip")
    manifest = await export_bundle(kit, run, place, redactor())
    return msgspec.to_builtins(manifest), place


@bundle.command()
@_FILE
@json_option
def verify(file: Path, as_json: bool) -> None:
    """Check FILE: every hash, and the chain of its entries. Nothing is unpacked.

    It shows that nothing was changed since the export, not who exported it.
    """
    from muster.diagnostics.archive import read_archive

    found = read_archive(file).manifest
    if as_json:
        emit({"ok": True, "run": found.run, "entries": found.entries, "members": len(found.members)})
        return
    click.echo(f"ok: {len(found.members)} files and {found.entries} entries of run {found.run} are as exported")
    if found.redacted:
        click.echo(f"    {len(found.redacted)} entries lost a secret at the export; of these only the links are proven")


@bundle.command("open")
@click.argument("what", metavar="FILE|RUN")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="A new folder to unpack into.")
@json_option
def open_(what: str, to: Path | None, as_json: bool) -> None:
    """Check and unpack a bundle, or find an imported one. Says where its page is.

    The page is made anew from the entries, so that nothing of a stranger runs.
    """
    import tempfile

    from muster.diagnostics.bundle import INDEX, open_bundle, printable
    from muster.reports.text import run_text

    folder, state = _imported(what)
    imported = state is not None
    if state is None:
        if to is not None:
            _refuse_existing(to)
        folder = to.absolute() if to else Path(tempfile.mkdtemp(prefix="muster-bundle-"))
        state = open_bundle(Path(what), folder)
    if as_json:
        emit({"run": state.run, "status": "replayed", "folder": str(folder), "page": str(folder / INDEX)})
        return
    click.echo(f"replayed from a bundle; nothing of it is run or counted\n{printable(run_text(state, live=False))}")
    click.echo(f"page    {(folder / INDEX).absolute().as_uri()}")
    if to is None and not imported:
        click.echo(f"done    rm -r {folder}")


def _imported(what: str) -> tuple[Path, RunState | None]:
    from muster.cli.project import find_any_project
    from muster.diagnostics.archive import EVENTS, read_entries
    from muster.diagnostics.imported import IMPORTED, imported_runs
    from muster.model.running.evolve import fold

    project = find_any_project()
    if project is not None and not Path(what).exists():
        for one in imported_runs(project):
            if len(what) >= 4 and (one.run.startswith(what.lower()) or one.run.endswith(what.lower())):
                folder = project / IMPORTED / one.run / "bundle"
                return folder, fold(one.run, read_entries((folder / EVENTS).read_bytes()))
    return Path(), None


def _refuse_existing(folder: Path) -> None:
    from muster.model.errors import InputError

    if folder.exists():
        raise InputError(f"{folder} exists already; nothing was unpacked.", hint="--to a new folder")


@bundle.command("import")
@_FILE
@json_option
def import_(file: Path, as_json: bool) -> None:
    """Keep FILE beside this project's runs. `muster ls` tags it replayed, and it counts in nothing."""
    kept, known = use_project(_import, file.absolute())
    if as_json:
        emit({"imported": kept, "known": known})
        return
    click.echo(f"run {kept.run} {'was here already' if known else 'is here now'}, {kept.tag}")
    click.echo(f"next:   muster bundle open {kept.run}")


async def _import(kit: Kit, file: Path) -> tuple[Imported, bool]:
    from muster.diagnostics.bundle import import_bundle

    return import_bundle(kit, file)
