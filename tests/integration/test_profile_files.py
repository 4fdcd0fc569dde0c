"""Profiles and model names in files: all that can be read is taken, the rest is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.config.load import load_settings
from muster.config.profiles import choose_profile, load_models, load_profiles, new_profile
from muster.config.settings import AgentSettings
from muster.model.errors import InputError
from muster.model.planning.profiles import BUILT_IN_PROFILES, PHASES, ProfileChoice
from muster.model.planning.tiers import resolve_model, resolve_phases

GOOD = "phase_models:\n" + "".join(f"- {{phase: {phase}, model: haiku}}\n" for phase in PHASES)
AGENTS = ("claude", "codex", "gemini", "opencode", "pi")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's settings folder, empty and out of reach of the real one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "config/muster/profiles").mkdir(parents=True)
    return tmp_path / "config/muster"


@pytest.fixture
def project(tmp_path: Path, home: Path) -> Path:
    (tmp_path / "project/.git").mkdir(parents=True)
    (tmp_path / "project/.muster/profiles").mkdir(parents=True)
    return tmp_path / "project"


def choose(project: Path, *, flag: str = "", plan: str = "", env: str = "") -> ProfileChoice:
    resolved = load_settings(
        project, environ={"MUSTER_PROFILE": env}, flags={"--profile": ("default_profile", flag or None)}
    )
    return choose_profile(project, resolved=resolved, frontmatter=plan)


def test_a_file_of_the_project_wins_over_the_users_and_over_what_is_built_in(home: Path, project: Path) -> None:
    (home / "profiles/premium.yaml").write_text(GOOD)
    (home / "profiles/mine.yaml").write_text(GOOD)
    (project / ".muster/profiles/mine.yaml").write_text(GOOD.replace("haiku", "opus"))

    loaded = load_profiles(project, load_models())

    assert loaded.problems == {}
    assert loaded.profiles["premium"].phase_models["plan"] == "haiku"
    assert loaded.profiles["mine"].phase_models["plan"] == "opus"
    assert loaded.profiles["mine"].origin == ".muster/profiles/mine.yaml"


def test_one_bad_file_is_one_line_and_the_others_still_load(project: Path) -> None:
    folder = project / ".muster/profiles"
    (folder / "good.yaml").write_text(GOOD)
    (folder / "broken.yaml").write_text("phase_models: [\n")
    (folder / "binary.yaml").write_bytes(b"\xff\xfe")
    (folder / "balanced.yaml").write_text(GOOD)
    (folder / "python.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    (folder / "bomb.yaml").write_text(
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
        + "phase_models: [{phase: *i, model: *i}]\n"
    )
    (folder / "folder.yaml").mkdir()
    (folder / "out.yaml").symlink_to("/etc/passwd")

    loaded = load_profiles(project, load_models())

    assert set(loaded.profiles) == {*BUILT_IN_PROFILES, "good"}
    assert loaded.profiles["balanced"] == BUILT_IN_PROFILES["balanced"]
    assert {Path(file).stem: line.partition(": ")[2][:24] for file, line in loaded.problems.items()} == {
        "broken": "this is not YAML: expect",
        "binary": "not UTF-8 (byte 0xff).",
        "balanced": "the profile 'balanced' i",
        "python": "this is not YAML: could ",
        "bomb": "unknown key 'a'; allowed",
        "folder": "this is not a file.",
        "out": "leads out of the project",
    }
    assert all("\n" not in line and line.startswith(".muster/profiles/") for line in loaded.problems.values())


def test_the_profile_of_a_run_comes_from_the_first_who_names_one(project: Path) -> None:
    def chosen(**given: str) -> tuple[str, str]:
        choice = choose(project, **given)
        return choice.profile.name, choice.source.value

    assert chosen() == ("premium", "default")
    (project / "muster.toml").write_text('default_profile = "economy"\n')
    assert chosen() == ("economy", "config")
    assert chosen(env="balanced") == ("balanced", "env")
    assert chosen(env="balanced", plan="premium") == ("premium", "plan_frontmatter")
    assert chosen(env="balanced", plan="premium", flag="economy") == ("economy", "flag")


def test_a_broken_file_is_not_silently_replaced_by_the_built_in_profile_of_its_name(project: Path) -> None:
    (project / ".muster/profiles/premium.yaml").write_text("phase_models: 3\n")

    with pytest.raises(InputError, match=r"premium\.yaml: phase_models: expected a list"):
        choose(project)
    assert choose(project, flag="economy").profile.name == "economy"


@pytest.mark.parametrize("agent", AGENTS)
def test_every_shipped_agent_has_a_name_for_every_model_of_every_built_in_profile(home: Path, agent: str) -> None:
    table = load_models()

    for profile in BUILT_IN_PROFILES.values():
        assert all(resolve_phases(table, agent, profile.phase_models).values())


def test_the_users_table_and_the_settings_of_an_agent_win_over_what_is_built_in(home: Path) -> None:
    (home / "models.yaml").write_text("claude: {opus: mine}\ncodex: {opus: theirs}\n")

    table = load_models({"codex": AgentSettings(models={"opus": "ours"})})

    assert [resolve_model(table, agent, "opus") for agent in ("claude", "codex")] == ["mine", "ours"]
    assert resolve_model(table, "claude", "sonnet") == "sonnet"


def test_a_wrong_model_table_of_the_user_is_named(home: Path) -> None:
    (home / "models.yaml").write_text("claude: {opus: '-x'}\n")

    with pytest.raises(InputError, match=r"models\.yaml: claude\.'opus': '-x' is no model name"):
        load_models()


def test_a_new_profile_is_a_copy_to_edit_and_nothing_is_written_over(project: Path) -> None:
    folder = project / ".muster/profiles"

    path = new_profile(folder, "mine", BUILT_IN_PROFILES["balanced"])

    assert load_profiles(project, load_models()).profiles["mine"].phase_models == (
        BUILT_IN_PROFILES["balanced"].phase_models
    )
    with pytest.raises(InputError, match="exists already"):
        new_profile(folder, "mine", BUILT_IN_PROFILES["premium"])
    assert "Like balanced" in path.read_text()
    for name in ("balanced", "../x", ""):
        with pytest.raises(InputError):
            new_profile(folder, name, BUILT_IN_PROFILES["premium"])
