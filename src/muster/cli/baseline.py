"""``muster baseline`` and ``muster drift``: how runs went, and whether they go worse now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option
from muster.cli.summary import read, source_options

DRIFTED = 9


@click.group(cls=Listing)
def baseline() -> None:
    """Save how runs go, to hold later runs against it with muster drift."""


@baseline.command("save")
@click.argument("name")
@source_options
def save(name: str, **source: Any) -> None:
    """Save how runs went, up to now, under NAME."""
    from muster.telemetry.baselines import checked_name

    checked_name(name)
    click.echo(_save(_project(), name, source))


@baseline.command("refresh")
@source_options
def refresh(**source: Any) -> None:
    """Save a baseline of all that there are runs of.

    These are channel-NAME for each channel, gateway, and backend-NAME for each agent.
    """
    from muster.model.views.summary import GATEWAY, UNKNOWN

    project, whole = _project(), read(source)
    channels = [name for name in whole.channels if name != UNKNOWN]
    scopes = {f"channel-{name}": {"channel": name} for name in channels}
    if any(name != "cli" for name in channels):
        scopes[GATEWAY] = {"channel": GATEWAY}
    scopes |= {f"backend-{name}": {"backend": name} for name in whole.backends}
    for name, scope in sorted(scopes.items()):
        click.echo(_save(project, name.replace("/", "-"), {**source, **scope}))
    if not scopes:
        click.echo("There are no runs yet.")


@baseline.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all baselines."""
    from muster.cli.output import table
    from muster.telemetry.baselines import load, names_of

    project = _project()
    found = [load(project, name) for name in names_of(project)]
    if as_json:
        rows = ((one.name, one.saved, one.summary.runs.ended, one.summary.asked) for one in found)
        emit({"baselines": [dict(zip(("name", "saved", "runs", "asked"), row, strict=True)) for row in rows]})
        return
    asked = (" ".join(f"{name}={value}" for name, value in one.summary.asked.items()) for one in found)
    table(
        ["NAME", "SAVED", "RUNS", "OF"],
        (
            (one.name, f"{one.saved:%Y-%m-%d %H:%M}", str(one.summary.runs.ended), what)
            for one, what in zip(found, asked, strict=True)
        ),
        empty="No baselines yet. Save how runs go now: muster baseline save NAME",
    )


@baseline.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what is saved under NAME."""
    import msgspec

    from muster.reports.summaries import summary_text
    from muster.telemetry.baselines import load

    found = load(_project(), name)
    if as_json:
        emit(msgspec.to_builtins(found))
    else:
        click.echo(summary_text(found.summary), nl=False)


@click.command()
@click.argument("name", required=False)
@source_options
@click.option("--max-age", default="7d", show_default=True, help="An older baseline is stale.")
@click.option("--threshold", "given", multiple=True, metavar="METRIC=FACTOR", help="As in p95_cancel=1.5.")
@click.option("--min-n", type=click.IntRange(1), default=3, show_default=True, help="Fewer say nothing.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="By default .muster/state/drift/NAME.")
@json_option
@click.pass_context
def drift(
    ctx: click.Context,
    /,
    name: str | None,
    max_age: str,
    given: tuple[str, ...],
    min_n: int,
    out: Path | None,
    as_json: bool,
    **source: Any,
) -> None:
    """Hold what came after the baseline NAME was saved against it, or what --from and --since say.

    Without NAME, the baselines are listed. Writes drift_DATE.md and
    drift_DATE.json. The exit code is 9 when a metric is worse than its
    threshold allows, or the baseline is older than --max-age.
    """
    from datetime import timedelta

    import msgspec

    from muster.clock import SystemClock
    from muster.model.errors import InputError
    from muster.model.quantities import parse_duration
    from muster.model.views.drift import drift as compare
    from muster.reports.summaries import drift_text
    from muster.telemetry.baselines import load

    if name is None:
        ctx.invoke(list_, as_json=as_json)
        return
    thresholds = _thresholds(given)
    try:
        oldest = timedelta(seconds=parse_duration(max_age))
    except (ValueError, OverflowError) as error:
        raise InputError(f"--max-age: {error}.") from None
    project, now = _project(), SystemClock().now()
    before = load(project, name)
    if (backend := source["backend"]) and backend not in before.summary.backends:
        known = ", ".join(before.summary.backends) or "none"
        raise InputError(f"The baseline {name!r} has no runs of the agent {backend!r}; of: {known}.")
    # What the baseline was saved of is asked about again, unless it is said otherwise.
    asked = {key: source[key] or before.summary.asked.get(key, "") for key in ("channel", "session", "backend")}
    summary = read({**source, **asked}, after=before.saved)
    found = compare(before, summary, now, max_age=oldest, thresholds=thresholds, min_n=min_n)
    folder = out or project / ".muster/state/drift" / "-".join(filter(None, (name, source["backend"])))
    folder.mkdir(parents=True, exist_ok=True)
    as_object, text = {"schema": 1, **msgspec.to_builtins(found)}, drift_text(found)
    place = folder / f"drift_{now:%Y-%m-%d}"
    place.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(as_object)) + b"\n")
    place.with_suffix(".md").write_text(text, encoding="utf-8")
    if as_json:
        emit(as_object)
    else:
        click.echo(f"{text}\n{place}.md")
    ctx.exit(DRIFTED if found.drifted or not found.fresh else 0)


def _thresholds(given: tuple[str, ...]) -> dict[str, float]:
    from muster.model.errors import InputError
    from muster.model.views.drift import RULES

    found = {}
    for one in given:
        name, _, factor = one.partition("=")
        try:
            found[name] = float(factor)
        except ValueError:
            found[name] = 0.0
        if name not in RULES or not 1 <= found[name] < float("inf"):
            raise InputError(
                f"--threshold {one}: must be METRIC=FACTOR with a factor of at least 1.",
                hint=f"Metrics: {', '.join(RULES)}",
            )
    return found


def _save(project: Path, name: str, source: dict[str, Any]) -> str:
    from muster.clock import SystemClock
    from muster.model.running.state import replace
    from muster.model.views.drift import Baseline
    from muster.telemetry import baselines

    saved = SystemClock().now()
    summary = read(source)
    each = {backend: read({**source, "backend": backend}) for backend in summary.backends}
    # Sessions come and go: nothing is held against one.
    kept, *others = (replace(one, sessions={}) for one in (summary, *each.values()))
    backends = dict(zip(each, others, strict=True))
    baselines.save(project, Baseline(name=name, saved=saved, summary=kept, backends=backends))
    return f"{name}: {summary.runs.ended} runs, {summary.entries} entries"


def _project() -> Path:
    from muster.config.load import find_project

    return find_project(Path.cwd())
