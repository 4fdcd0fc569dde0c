"""Settings: which layer wins, what is refused, and that each value knows where it came from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.config.fields import Field, field, fields, nearest
from muster.config.layers import environment_layer
from muster.config.load import find_project, load_settings
from muster.config.policy import run_policy
from muster.config.resolve import Layer, LayerKind, Resolved, resolve
from muster.model.errors import InputError, NotFoundError, RefusedError
from muster.model.gates import Autonomy
from muster.model.planning.profiles import BUILT_IN_PROFILES, PHASES, choose_profile

# Two values for each setting that differ from each other and, one of them at least, from the default.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "default_profile": ("economy", "balanced"),
    "run.gates": ("open", "closed"),
    "run.schedule": ("eager", "waves"),
    "run.max_parallel": (1, 256),
    "run.host_parallel": (1, 1024),
    "run.min_free_memory_mb": (0, 100),
    "run.grace_s": (0.5, 60.0),
    "run.env_allow": (["TOKEN"], ["OTHER"]),
    "run.keep_raw": (True, False),
    "git.hooks": (True, False),
    "worktree.link": (["node_modules"], [".venv"]),
    "worktree.copy": ([".env"], ["a", "b"]),
    "reliability.auto_retry": (True, False),
    "reliability.max_attempts": (1, 10),
    "reliability.backoff_ms": (100, 60_000),
    "reliability.jitter_ratio": (0.0, 1.0),
    "reliability.exponential_factor": (1.0, 5.0),
    "reliability.cap_ms": (100, 5000),
    "reliability.retryable": (["exit"], ["limit_*"]),
    "reliability.non_retryable": (["timeout"], ["*"]),
    "reliability.auto_recover": (True, False),
    "telemetry.enabled": (True, False),
    "telemetry.export": (["textfile"], ["otlp", "prometheus"]),
    "telemetry.textfile_dir": ("/var/lib/a", "/var/lib/b"),
    "telemetry.otel_endpoint": ("http://a.example", "https://b.example"),
    "telemetry.otel_allow_private": (True, False),
    "telemetry.receive": (True, False),
    "audit.path": (".muster/state/audit/{date}.jsonl", "audit.jsonl"),
    "audit.retention_days": (0, 90),
    "budget.run": ("5 usd", "200k tokens"),
    "budget.day": ("5 usd", "200k tokens"),
    "budget.project": ("5 usd", "200k tokens"),
    "reliability.stall_timeout_s": (0.0, 90.0),
    "notify.min_severity": ("info", "error"),
    "notify.quiet_hours": ("22:00-07:00", "12:30-13:15"),
    "notify.jsonl": (True, False),
    "notify.bell": (True, False),
    "notify.webhook": ("https://example.org/hook", ""),
    "notify.webhook_allow_private": (True, False),
    "reliability.heartbeat.tick_s": (1.0, 60.0),
    "reliability.heartbeat.warn_s": (1.0, 10.0),
    "reliability.heartbeat.stale_s": (2.0, 20.0),
    "reliability.heartbeat.dead_s": (3.0, 30.0),
    "review.enabled": (True, False),
    "review.max_rounds": (1, 10),
    "review.commands": (["lint --sarif"], ["other"]),
    "review.agents": (["claude"], ["codex", "gemini"]),
    "review.gate": ("corroborated", "verified"),
    "review.catalogue": ("seed", "full"),
    "review.skip": (["vendor/**"], ["*.pb.go"]),
    "review.deep": (["billing/**"], ["infra/**"]),
    "agents.default": ("codex", "kimi"),
    "run.plan_wave_tasks": (1, 256),
    "run.plan_tasks": (1, 500),
    **{f"phases.{phase}": (["claude:opus@high", "codex"], ["pi"]) for phase in PHASES[:5]},
}
KINDS = (LayerKind.USER, LayerKind.PROJECT, LayerKind.FLAG)
values = st.fixed_dictionaries({}, optional={key: st.sampled_from(pair) for key, pair in SAMPLES.items()})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's settings folder, empty and out of reach of the real one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "config" / "muster"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    return folder


def of(resolved: Resolved, key: str) -> Any:
    found: Any = resolved.settings
    for name in key.split("."):
        found = getattr(found, name)
    found = getattr(found, "value", found)
    return list(found) if isinstance(found, tuple) else found


def test_each_setting_has_a_sample_here() -> None:
    assert set(SAMPLES) == {found.key for found in fields() if found.env}


@given(layers=st.lists(values, min_size=3, max_size=3))
def test_of_all_layers_that_give_a_value_the_highest_wins_and_is_named(layers: list[dict[str, Any]]) -> None:
    stack = [
        Layer(kind=kind, values=given_, labels={key: f"{kind.value} {key}" for key in given_})
        for kind, given_ in zip(KINDS, layers, strict=True)
    ]

    resolved = resolve(stack, trusted=True)

    for key in SAMPLES:
        winner = next((layer for layer in reversed(stack) if key in layer.values), None)
        known = field(key)
        assert known is not None
        if winner is None:
            assert resolved.sources[key].label == "default"
            assert of(resolved, key) == of(Resolved(), key)
        else:
            assert resolved.sources[key].label == f"{winner.kind.value} {key}"
            assert of(resolved, key) == winner.values[key]


@given(key=st.text(min_size=1).filter(lambda key: field(key) is None), kind=st.sampled_from(LayerKind))
def test_every_unknown_key_is_refused_wherever_it_is_given(key: str, kind: LayerKind) -> None:
    with pytest.raises(InputError, match=r"^somewhere: "):
        resolve([Layer(kind=kind, values={key: 1}, labels={key: "somewhere"})])


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("run.gate", "run.gates"),
        ("max_parallel", "run.max_parallel"),
        ("reliabilty.cap_ms", "reliability.cap_ms"),
        ("agents.kimi.comand", "agents.kimi.command"),
        ("profile", "default_profile"),
        ("zzz", ""),
    ],
)
def test_a_misspelt_key_is_told_the_nearest_known_one(wrong: str, meant: str) -> None:
    assert nearest(wrong) == meant


@pytest.mark.parametrize("found", fields(), ids=lambda found: found.key)
def test_each_setting_is_explained_and_refuses_what_it_cannot_hold(found: Field) -> None:
    key = found.key.replace("<name>", "kimi")

    assert found.help.endswith(".")
    assert found.allowed
    with pytest.raises(InputError, match="must be") as caught:
        resolve([Layer(kind=LayerKind.USER, values={key: {"no": ["such"]}}, labels={key: "config.toml:7"})])
    assert caught.value.message.startswith(f"config.toml:7: {key} is ")
    assert found.allowed in caught.value.message


@pytest.mark.parametrize("value", [0, 257, 1.5, "4", True, None, float("nan")])
def test_a_number_out_of_its_range_is_refused_with_the_range(value: Any) -> None:
    with pytest.raises(InputError, match="a whole number from 1 to 256"):
        resolve([Layer(kind=LayerKind.PROJECT, values={"run.max_parallel": value})])


def test_files_environment_and_flags_are_laid_over_each_other(home: Path, project: Path) -> None:
    (home / "config.toml").write_text('default_profile = "economy"\n[run]\ngates = "closed"\nmax_parallel = 2\n')
    (project / "muster.toml").write_text('# ours\n[run]\ngates = "adaptive"\nmax_parallel = 3\nschedule = "eager"\n')

    resolved = load_settings(
        project,
        environ={"MUSTER_RUN_MAX_PARALLEL": "5", "MUSTER_RUN_KEEP_RAW": "true", "MUSTER_WORKTREE_LINK": "a, b"},
        flags={"--gates": ("run.gates", "open"), "--profile": ("default_profile", None)},
    )

    assert {key: source.label for key, source in resolved.sources.items() if source.label != "default"} == {
        "default_profile": f"user file {home / 'config.toml'}:1",
        "run.gates": "flag --gates",
        "run.schedule": "muster.toml:5",
        "run.max_parallel": "env MUSTER_RUN_MAX_PARALLEL",
        "run.keep_raw": "env MUSTER_RUN_KEEP_RAW",
        "worktree.link": "env MUSTER_WORKTREE_LINK",
    }
    settings = resolved.required()
    assert (settings.run.gates, settings.run.max_parallel) == (Autonomy.OPEN, 5)
    assert (settings.run.keep_raw, settings.worktree.link) == (True, ("a", "b"))
    assert resolved.given()[0]["run.gates"] == '"open"'


def test_an_address_that_lets_others_post_is_named_in_the_journal_and_not_told() -> None:
    user = Layer(kind=LayerKind.USER, values={"notify.webhook": "https://hooks.example.org/T0/secret"})

    values, sources = resolve([user]).given()

    assert (values, sources) == ({"notify.webhook": "***"}, {"notify.webhook": "user"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[run]\ngate = 1\n", r"muster\.toml:2: unknown setting 'run\.gate'\. The nearest known name is 'run\.gates'"),
        (b"\n[run]\ngates = 'never'\n", r"muster\.toml:3: run\.gates is 'never', but must be open, closed or adaptive"),
        (b"[run]\ngates = \n", r"muster\.toml: this is not TOML: .*line 2"),
        (b"a = 1\n[run\n", r"muster\.toml: this is not TOML"),
        (b"a = 1\n# \xff\n", r"muster\.toml:2: not UTF-8 \(byte 0xff\)"),
        (b"#" * 1_100_000, r"muster\.toml: larger than 1 MiB"),
        (b"run = 3\n", r"muster\.toml:1: 'run' is a section"),
        (b"[agents.'a b']\ncommand = ['x']\n", r"the agent's name 'a b' must match"),
        (b"[agents.kimi.models]\nopus = '--yolo'\n", r"agents\.kimi\.models is .*a table of texts"),
    ],
)
def test_a_wrong_project_file_is_one_line_with_its_place(home: Path, project: Path, text: bytes, says: str) -> None:
    (project / "muster.toml").write_bytes(text)

    with pytest.raises(InputError, match=says):
        load_settings(project, environ={})


def test_a_settings_file_that_is_a_folder_is_refused(home: Path, project: Path) -> None:
    (project / "muster.toml").mkdir()

    with pytest.raises(InputError, match=r"muster\.toml: this is not a file"):
        load_settings(project, environ={})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("MUSTER_RUN_GATE", "The nearest known name is MUSTER_RUN_GATES"),
        ("MUSTER_PROFIL", "The nearest known name is MUSTER_PROFILE"),
        ("MUSTER_GIT_XYZZY", "no such setting"),
    ],
)
def test_a_misspelt_variable_is_an_error(name: str, says: str) -> None:
    with pytest.raises(InputError, match=f"^env {name}: .*{says}"):
        environment_layer({name: "open"})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    environ = {"MUSTER_ATTEMPT": "01r:T1:1", "MUSTER_RUN": "01r", "MUSTER_GATEWAY_TOKEN": "x", "MUSTER_RUN_GATES": ""}

    assert environment_layer(environ).values == {}


@pytest.mark.parametrize("name", ["MUSTER_RUN_GATES", "MUSTER_RUN_MAX_PARALLEL", "MUSTER_RUN_KEEP_RAW"])
def test_a_wrong_variable_is_refused_by_its_name(home: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"^env {name}: .* must be "):
        load_settings(None, environ={name: "nonsense"})


def test_a_variable_that_is_not_utf8_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match=r"^env MUSTER_PROFILE: not UTF-8"):
        load_settings(None, environ={"MUSTER_PROFILE": os.fsdecode(b"\xff")})


@pytest.mark.parametrize(
    ("key", "harmless", "risky"),
    [
        ("run.env_allow", [], ["AWS_SECRET_ACCESS_KEY"]),
        ("git.hooks", False, True),
        ("worktree.link", ["node_modules", "a/b"], ["/etc"]),
        ("worktree.copy", ["..env"], ["a/../../keys"]),
        ("worktree.copy", [], ["~/.ssh"]),
        ("audit.path", "audit/{date}.jsonl", "../a.jsonl"),
        ("audit.path", ".muster/state/a.jsonl", "$HOME/a.jsonl"),
        ("agents.x.command", [], ["sh", "-c", "evil"]),
        ("agents.x.env_allow", [], ["TOKEN"]),
        ("agents.x.dialect", "", "command"),
        ("agents.x.permission", "edit", "full"),
    ],
)
def test_a_project_may_not_set_what_runs_code_before_it_is_trusted(key: str, harmless: Any, risky: Any) -> None:
    def layer(kind: LayerKind, value: Any) -> Layer:
        return Layer(kind=kind, values={key: value}, labels={key: f"{kind.value}:1"})

    refused = resolve([layer(LayerKind.PROJECT, risky)])

    with pytest.raises(RefusedError, match=f"^project:1: {key} ") as caught:
        refused.required()
    assert caught.value.hint.endswith("muster trust")
    assert refused.settings == Resolved().settings
    assert resolve([layer(LayerKind.PROJECT, harmless)]).ignored == ()
    assert resolve([layer(LayerKind.PROJECT, risky)], trusted=True).ignored == ()
    assert all(resolve([layer(kind, risky)]).ignored == () for kind in (LayerKind.USER, LayerKind.FLAG))


@pytest.mark.parametrize(
    ("marks", "start", "found"),
    [
        ([], "a/b", "."),
        (["muster.toml"], "a/b", "."),
        (["a/muster.toml"], "a/b", "a"),
        (["a/.muster/"], "a/b", "a"),
        (["muster.toml", "a/b/muster.toml"], "a/b", "a/b"),
        (["a/muster.toml"], ".", "."),
        (["../muster.toml"], "a/b", "."),
    ],
)
def test_the_project_is_the_nearest_marked_folder_inside_the_repository(
    project: Path, marks: list[str], start: str, found: str
) -> None:
    (project / "a" / "b").mkdir(parents=True)
    for mark in marks:
        (project / mark).mkdir() if mark.endswith("/") else (project / mark).touch()

    assert find_project(project / start) == (project / found).resolve()


def test_there_is_no_project_outside_of_a_repository(tmp_path: Path) -> None:
    (tmp_path / "muster.toml").touch()

    with pytest.raises(NotFoundError, match="no git repository"):
        find_project(tmp_path)


def test_what_a_run_records_is_what_was_set() -> None:
    layer = Layer(kind=LayerKind.USER, values={key: pair[0] for key, pair in SAMPLES.items()})
    choice = choose_profile(BUILT_IN_PROFILES, flag="economy")

    policy = run_policy(resolve([layer]).settings, choice)

    assert (policy.autonomy.value, policy.schedule.value, policy.max_parallel) == ("open", "eager", 1)
    assert (policy.retry.max_attempts, policy.retry.backoff_ms, policy.retry.cap_ms) == (1, 100, 100)
    assert (policy.retry.jitter_ratio, policy.retry.exponential_factor, policy.retry.auto_retry) == (0.0, 1.0, True)
    assert (policy.retry.retryable, policy.retry.non_retryable) == (("exit",), ("timeout",))
    assert (policy.profile, policy.profile_source, policy.phase_models["plan"]) == ("economy", "flag", "sonnet")
    assert (policy.env_allow, policy.worktree_link, policy.worktree_copy) == (("TOKEN",), ("node_modules",), (".env",))
    assert (policy.run_hooks, policy.keep_raw, policy.grace_s, policy.default_agent) == (True, True, 0.5, "codex")
