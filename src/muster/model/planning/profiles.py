"""Which model does which phase: built-in profiles, the check of custom ones, and which profile a run takes."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from muster.model.errors import InputError, NotFoundError
from muster.model.planning.tiers import shown, star
from muster.model.record import Record

PHASES = ("brief", "research", "plan", "execute", "review", "continue")
NAME_PATTERN = r"[a-z0-9][a-z0-9_-]{0,39}"
MODEL_PATTERN = r"^(opus|sonnet)(\b|-).*"
BUILT_IN = "built-in"
# A repository must not be able to change what unattended runs rely on.
LOCKED = frozenset({"balanced"})


class Profile(Record, frozen=True):
    """A model for each of the six phases; ``origin`` is ``built-in`` or the file it was read from."""

    name: str
    phase_models: dict[str, str]
    description: str = ""
    origin: str = BUILT_IN


class ProfileSource(enum.Enum):
    """Who chose the profile of a run."""

    FLAG = "flag"
    PLAN_FRONTMATTER = "plan_frontmatter"
    ENV = "env"
    CONFIG = "config"
    DEFAULT = "default"


class ProfileChoice(Record, frozen=True):
    """The profile of a run and who chose it."""

    profile: Profile
    source: ProfileSource


def _built_in(name: str, models: str, description: str) -> Profile:
    return Profile(name=name, phase_models=dict(zip(PHASES, models.split(), strict=True)), description=description)


BUILT_IN_PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        _built_in("economy", "sonnet sonnet sonnet sonnet sonnet sonnet", "The smaller model for everything."),
        _built_in("balanced", "sonnet sonnet opus sonnet opus sonnet", "The larger model where a plan is judged."),
        _built_in("premium", "opus opus opus opus opus opus", "The larger model for everything."),
    )
}


def read_profile(name: str, data: Any, file: str, known_models: Collection[str] = ()) -> Profile:
    """Check what a profile file holds; ``known_models`` are the tiers of the model table.

    >>> entries = [{"phase": phase, "model": "opus"} for phase in PHASES]
    >>> read_profile("mine", {"phase_models": entries}, "mine.yaml").phase_models["review"]
    'opus'
    >>> read_profile("mine", {"phase_models": entries[:5]}, "mine.yaml")
    Traceback (most recent call last):
    muster.model.errors.InputError: mine.yaml: phase_models: no entry for the phase 'continue'.

    Raises:
        InputError: naming file, key, reason and what is allowed.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"{file}: a profile's name must match {NAME_PATTERN}, not {shown(name)}.")
    if name in LOCKED:
        raise InputError(f"{file}: the profile {name!r} is locked; choose another name.")
    if not isinstance(data, Mapping):
        raise InputError(f"{file}: expected the key phase_models with a list of phase and model.")
    for key in data:
        if key not in ("phase_models", "description"):
            raise InputError(f"{file}: unknown key {shown(key)}; allowed are phase_models and description.")
    description = data.get("description", "")
    if not isinstance(description, str):
        raise InputError(f"{file}: description: expected a text.")
    entries = data.get("phase_models")
    if not isinstance(entries, list):
        raise InputError(f"{file}: phase_models: expected a list of phase and model, one for each of {_list(PHASES)}.")
    models = _phase_models(entries, file, known_models)
    return Profile(name=name, phase_models=models, description=description, origin=file)


def find_profile(profiles: Mapping[str, Profile], name: str) -> Profile:
    """The profile of this name.

    Raises:
        NotFoundError: there is none.
    """
    if name not in profiles:
        raise NotFoundError(f"There is no profile {name!r}; known are {_list(profiles)}.", hint="muster profile list")
    return profiles[name]


def choose_profile(
    profiles: Mapping[str, Profile], *, flag: str = "", frontmatter: str = "", env: str = "", config: str = ""
) -> ProfileChoice:
    """Take the first name that was given: flag, front matter of a resumed plan, environment, project, ``premium``.

    >>> choice = choose_profile(BUILT_IN_PROFILES, frontmatter="economy", config="balanced")
    >>> choice.profile.name, choice.source.value
    ('economy', 'plan_frontmatter')

    Raises:
        NotFoundError: the name that was given first is unknown; the others are not tried.
    """
    named = (
        (flag, ProfileSource.FLAG),
        (frontmatter, ProfileSource.PLAN_FRONTMATTER),
        (env, ProfileSource.ENV),
        (config, ProfileSource.CONFIG),
        ("premium", ProfileSource.DEFAULT),
    )
    name, source = next((name, source) for name, source in named if name)
    return ProfileChoice(profile=find_profile(profiles, name), source=source)


def _phase_models(entries: list[Any], file: str, known_models: Collection[str]) -> dict[str, str]:
    models: dict[str, str] = {}
    for index, entry in enumerate(entries):
        where = f"{file}: phase_models[{index}]"
        if not isinstance(entry, Mapping) or set(entry) != {"phase", "model"}:
            raise InputError(f"{where}: expected exactly the keys phase and model.")
        phase, model = entry["phase"], entry["model"]
        if phase not in PHASES:
            raise InputError(f"{where}.phase: unknown phase {shown(phase)}; allowed are {_list(PHASES)}.")
        if phase in models:
            raise InputError(f"{where}.phase: the phase {phase!r} was given before.")
        if not isinstance(model, str) or not _is_model(model, known_models):
            known = f" or one of {_list(sorted(known_models))}" if known_models else ""
            raise InputError(
                f"{where}.model: {shown(model)} is not allowed; use opus, sonnet, a version of these{known}."
            )
        models[phase] = model
    if missing := [phase for phase in PHASES if phase not in models]:
        raise InputError(f"{file}: phase_models: no entry for the phase {_list(missing)}.")
    return {phase: models[phase] for phase in PHASES}


def _is_model(model: str, known_models: Collection[str]) -> bool:
    return re.fullmatch(MODEL_PATTERN, model) is not None or any(star(tier, model) is not None for tier in known_models)


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
