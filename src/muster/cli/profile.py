"""``muster profile``: which model does which phase, and why."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.groups import Listing
from muster.cli.output import emit, json_option, table
from muster.model.quantities import counted


@click.group(cls=Listing)
def profile() -> None:
    """List, show, check and make model profiles."""


@profile.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all profiles with the model of each phase."""
    from muster.cli.project import read_settings
    from muster.config.profiles import load_models, load_profiles
    from muster.model.planning.profiles import PHASES

    project, resolved = read_settings()
    loaded = load_profiles(project, load_models(resolved.settings.agents.named))
    if as_json:
        emit({"profiles": list(loaded.profiles.values()), "problems": list(loaded.problems.values())})
        return
    rows = [
        (known.name, *(known.phase_models[phase] for phase in PHASES), known.origin)
        for known in loaded.profiles.values()
    ]
    table(("PROFILE", *(phase.upper() for phase in PHASES), "FROM"), rows)
    for problem in loaded.problems.values():
        click.echo(problem, err=True)


@profile.command()
@click.argument("name", required=False)
@click.option("--agent", help="The agent whose model names are shown; without it the default agent.")
@json_option
def show(name: str | None, agent: str | None, as_json: bool) -> None:
    """Show the profile that a run here would take, or the one called NAME."""
    from muster.cli.project import read_settings
    from muster.config.profiles import choose_profile, load_models
    from muster.config.settings import AgentSettings
    from muster.model.planning.tiers import resolve_phases

    project, resolved = read_settings({"--profile": ("default_profile", name)})
    table_of_models = load_models(resolved.settings.agents.named)
    choice = choose_profile(project, resolved=resolved)
    agent = agent or resolved.settings.agents.default
    dialect = resolved.settings.agents.named.get(agent, AgentSettings()).dialect
    names = resolve_phases(table_of_models, agent, choice.profile.phase_models, dialect=dialect)
    source = "named here" if name else resolved.sources["default_profile"].label
    if as_json:
        emit(
            {
                "profile": choice.profile.name,
                "profile_source": choice.source.value,
                "source": source,
                "origin": choice.profile.origin,
                "agent": agent,
                "phase_models": choice.profile.phase_models,
                "phase_models_resolved": names,
            }
        )
        return
    click.echo(f"{choice.profile.name} ({source}), for {agent}")
    table(
        ("PHASE", "MODEL", f"AS {agent} CALLS IT"), [(p, m, names[p]) for p, m in choice.profile.phase_models.items()]
    )


@profile.command()
@json_option
def lint(as_json: bool) -> int:
    """Check all profile files; exit code 6 when one is wrong."""
    from muster.cli.project import read_settings
    from muster.config.profiles import load_models, load_profiles
    from muster.model.planning.profiles import BUILT_IN

    project, resolved = read_settings()
    loaded = load_profiles(project, load_models(resolved.settings.agents.named))
    own = sum(known.origin != BUILT_IN for known in loaded.profiles.values())
    if as_json:
        emit({"valid": not loaded.problems, "profiles": own, "problems": list(loaded.problems.values())})
    else:
        for problem in loaded.problems.values():
            click.echo(problem)
        wrong = len(loaded.problems)
        click.echo(f"{own} of your own can be used, {counted(wrong, 'file')} cannot")
    return 6 if loaded.problems else 0


@profile.command()
@click.argument("name")
@click.option("--like", default="balanced", show_default=True, help="The profile to start from.")
@click.option("--user", is_flag=True, help="Make it for all projects of this user.")
def new(name: str, like: str, user: bool) -> None:
    """Write a profile file to edit; never over one that is there."""
    from muster.cli.project import read_settings
    from muster.config.load import find_project
    from muster.config.places import PROJECT_FOLDER, user_folder
    from muster.config.profiles import load_models, load_profiles, new_profile
    from muster.model.planning.profiles import find_profile

    project, resolved = read_settings()
    known = load_profiles(project, load_models(resolved.settings.agents.named)).profiles
    folder = user_folder() if user else find_project(Path.cwd()) / PROJECT_FOLDER
    click.echo(new_profile(folder / "profiles", name, find_profile(known, like)))


@profile.command()
@click.argument("name", required=False)
@click.option("--tasks", type=click.IntRange(1), default=10, show_default=True, help="How many tasks a run has.")
@json_option
def cost(name: str | None, tasks: int, as_json: bool) -> None:
    """Say what a full run costs with each profile, or with NAME.

    These are rough estimates, which grow with the number of tasks; after three
    finished runs of a profile whose prices are known, this project's own
    numbers take their place.
    """
    from muster.cli.cost import read_charges
    from muster.cli.project import read_project, read_settings
    from muster.config.profiles import load_models, load_profiles
    from muster.model.errors import NotFoundError
    from muster.model.planning.profiles import find_profile
    from muster.model.views.costs import profile_cost

    project, resolved = read_settings()
    known = load_profiles(project, load_models(resolved.settings.agents.named)).profiles
    wanted = [find_profile(known, name).name] if name else list(known)
    try:
        finished = read_project(read_charges, finished=True)
    except NotFoundError:
        finished = []
    found = [profile_cost(each, finished, tasks) for each in wanted]
    if as_json:
        emit({"tasks": tasks, "profiles": found})
        return
    rows = []
    for one in found:
        low, high = (f"{usd:.2f} usd" if usd is not None else "unknown" for usd in (one.low, one.high))
        measured = one.basis == "measured"
        note = f"p50 and p90 of {one.n} runs here" if measured else f"rough, for {tasks} tasks; {one.n} runs measured"
        unpriced = f", {one.unpriced_runs} without a known price" if one.unpriced_runs else ""
        rows.append((one.profile, low, high, one.basis, note + unpriced))
    table(("PROFILE", "FROM", "TO", "BASIS", "WHAT IT IS"), rows)
