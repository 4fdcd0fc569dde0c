"""Which profile a run takes, what a custom one may say and what models are called."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.errors import InputError, NotFoundError
from muster.model.planning.profiles import (
    BUILT_IN_PROFILES,
    PHASES,
    Profile,
    choose_profile,
    read_profile,
)
from muster.model.planning.tiers import merge_tables, read_table, resolve_model, resolve_phases, tiers

BUILT_IN = {
    #            brief     research  plan      execute   review    continue
    "economy": ("sonnet", "sonnet", "sonnet", "sonnet", "sonnet", "sonnet"),
    "balanced": ("sonnet", "sonnet", "opus", "sonnet", "opus", "sonnet"),
    "premium": ("opus", "opus", "opus", "opus", "opus", "opus"),
}
TABLE = {"claude": {"opus": "opus", "sonnet": "sonnet", "opus-*": "claude-opus-*"}, "kimi": {"opus": "kimi-k3"}}


def entries(model: str = "opus", phases: tuple[str, ...] = PHASES) -> list[dict[str, Any]]:
    return [{"phase": phase, "model": model} for phase in phases]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_profile_names_a_model_for_each_phase(name: str) -> None:
    assert tuple(BUILT_IN_PROFILES[name].phase_models[phase] for phase in PHASES) == BUILT_IN[name]


def test_the_first_of_flag_front_matter_environment_and_setting_chooses_and_is_remembered() -> None:
    order = ("flag", "frontmatter", "env", "config")
    recorded = {"flag": "flag", "frontmatter": "plan_frontmatter", "env": "env", "config": "config"}
    for given_ in itertools.chain.from_iterable(itertools.combinations(order, n) for n in range(5)):
        profiles = {name: Profile(name=name, phase_models={}) for name in (*order, "premium")}

        choice = choose_profile(profiles, **{name: name for name in given_})

        first = given_[0] if given_ else "premium"
        assert choice.profile.name == first
        assert choice.source.value == recorded.get(first, "default")


def test_an_unknown_profile_is_an_error_and_the_next_choice_is_not_taken_instead() -> None:
    with pytest.raises(NotFoundError, match=r"'cheap'.*'economy', 'balanced', 'premium'"):
        choose_profile(BUILT_IN_PROFILES, flag="cheap", config="economy")


@pytest.mark.parametrize("model", ["opus", "sonnet", "opus-4-1", "sonnet[1m]", "opus@high", "haiku", "gpt-7"])
def test_a_custom_profile_takes_tiers_their_versions_and_names_of_the_model_table(model: str) -> None:
    profile = read_profile("mine", {"phase_models": entries(model)}, "mine.yaml", {"haiku", "gpt-*"})

    assert set(profile.phase_models.values()) == {model}
    assert profile.origin == "mine.yaml"


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("mine", None, "expected the key phase_models"),
        ("mine", ["x"], "expected the key phase_models"),
        ("mine", {}, "phase_models: expected a list"),
        ("mine", {"phase_models": {"brief": "opus"}}, "phase_models: expected a list"),
        ("mine", {"phase_models": entries(), "modle": 1}, "unknown key 'modle'; allowed are phase_models"),
        ("mine", {"phase_models": entries(), "description": 3}, "description: expected a text"),
        ("mine", {"phase_models": entries(phases=PHASES[:4])}, "no entry for the phase 'review', 'continue'"),
        ("mine", {"phase_models": [*entries(), entries()[0]]}, r"phase_models\[6\].phase: .*'brief' was given before"),
        ("mine", {"phase_models": [{"phase": "deploy", "model": "opus"}]}, r"\[0\].phase: unknown .*'deploy'.*'brief'"),
        ("mine", {"phase_models": [*entries()[:2], {"phase": "plan", "model": "gpt"}]}, r"\[2\].model: 'gpt'.*'haiku'"),
        ("mine", {"phase_models": [{"phase": "plan", "model": "opusculum"}]}, r"\[0\].model: 'opusculum'"),
        ("mine", {"phase_models": [{"phase": "plan", "model": None}]}, r"\[0\].model: NoneType"),
        ("mine", {"phase_models": [{"phase": ["plan"], "model": "opus"}]}, r"\[0\].phase: unknown phase list"),
        ("mine", {"phase_models": [{"phase": "plan"}]}, r"\[0\]: expected exactly the keys phase and model"),
        ("mine", {"phase_models": ["plan"]}, r"\[0\]: expected exactly the keys phase and model"),
        ("balanced", {"phase_models": entries()}, "'balanced' is locked"),
        ("My Own", {"phase_models": entries()}, "name must match"),
    ],
)
def test_a_wrong_profile_names_file_place_and_what_is_allowed(name: str, data: Any, says: str) -> None:
    with pytest.raises(InputError, match=rf"^mine\.yaml: .*{says}|^mine\.yaml: {says}"):
        read_profile(name, data, "mine.yaml", {"haiku"})


words = st.text(max_size=9) | st.sampled_from(["phase_models", "phase", "model", "opus", *PHASES])
yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(words, inner, max_size=3),
    max_leaves=15,
)


def reading(data: Any) -> str:
    try:
        return str(sorted(read_profile("mine", data, "mine.yaml").phase_models))
    except InputError as error:
        return error.message


@given(data=yaml_values)
def test_whatever_a_profile_file_holds_it_is_a_whole_profile_or_one_line(data: Any) -> None:
    said = reading(data)

    assert said == str(sorted(PHASES)) or (said.startswith("mine.yaml: ") and "\n" not in said)


@pytest.mark.parametrize(
    ("agent", "dialect", "model", "name"),
    [
        ("claude", "", "opus", "opus"),
        ("claude", "", "opus-4-1", "claude-opus-4-1"),
        ("mine", "claude", "sonnet", "sonnet"),
        ("kimi", "acp", "opus", "kimi-k3"),
        ("kimi", "claude", "sonnet", "sonnet"),
        ("scripted", "", "anything", "anything"),
        ("script", "command", "anything", "anything"),
    ],
)
def test_a_tier_becomes_the_name_that_the_agent_wants(agent: str, dialect: str, model: str, name: str) -> None:
    assert resolve_model(TABLE, agent, model, dialect=dialect) == name


@pytest.mark.parametrize(("agent", "says"), [("kimi", "it knows opus"), ("nobody", "it has no models")])
def test_an_unknown_combination_fails_and_names_what_the_agent_knows(agent: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        resolve_phases(TABLE, agent, BUILT_IN_PROFILES["economy"].phase_models)

    assert f"[agents.{agent}.models]" in caught.value.hint


def test_names_of_a_later_table_win_and_the_others_stay() -> None:
    merged = merge_tables((TABLE, {"claude": {"opus": "mine"}, "new": {"gpt": "g"}}))

    assert merged["claude"] == {"opus": "mine", "sonnet": "sonnet", "opus-*": "claude-opus-*"}
    assert tiers(merged) == {"opus", "sonnet", "opus-*", "gpt"}


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"claude": []},
        {1: {}},
        {"claude": {"opus": 1}},
        {"claude": {1: "x"}},
        {"claude": {"opus": "--dangerous"}},
        {"claude": {"opus": "a b"}},
        {"claude": {"opus": "a-*"}},
    ],
)
def test_a_wrong_model_table_is_refused_by_name(data: Any) -> None:
    with pytest.raises(InputError, match=r"^models\.yaml: "):
        read_table(data, "models.yaml")
