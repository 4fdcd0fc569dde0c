"""What a role takes from its agents, tools and turns, as each program has to be told; and the skills that it adds."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from muster.agents.claude import ClaudeAgent
from muster.agents.codex import CodexAgent
from muster.agents.gemini import GeminiAgent
from muster.agents.opencode import OpenCodeAgent
from muster.agents.pi import PiAgent
from muster.cli.dry_run import forecast_of
from muster.clock import SystemClock
from muster.config.definitions import load_definitions
from muster.executors.local import LocalExecutor
from muster.model.attempts import Cause, Ending, Outcome
from muster.model.errors import InputError
from muster.model.plan import Plan, Task
from muster.model.planning.roles import Role
from muster.model.policy import RetryPolicy, RunPolicy
from muster.model.running.retry import is_retryable
from muster.pipeline.compose import settle_tasks
from muster.ports import Agent, Binding
from tests.contracts.agent_contract import spec_for
from tests.contracts.captured import DATA
from tests.contracts.executor_contract import attempt


def test_claude_code_is_told_which_of_its_tools_are_off_and_after_how_many_turns_to_stop() -> None:
    argv = ClaudeAgent().launch(spec_for(without=("shell", "web"), max_turns=7)).argv

    assert argv[argv.index("--disallowedTools") + 1].split(",") == [
        "Bash",
        "PowerShell",
        "Monitor",
        "WebFetch",
        "WebSearch",
    ]
    assert argv[argv.index("--max-turns") + 1] == "7"
    assert not {"--disallowedTools", "--max-turns"} & set(ClaudeAgent().launch(spec_for()).argv)


def test_codex_goes_without_the_web_and_not_without_its_shell() -> None:
    argv = CodexAgent().launch(spec_for(without=("web",))).argv

    assert 'web_search="disabled"' in argv
    with pytest.raises(InputError, match="it can go without web, agents"):
        CodexAgent().launch(spec_for(without=("shell",)))


@pytest.mark.parametrize("permission", ["read", "edit", "full"])
def test_gemini_cli_gets_a_policy_that_denies_the_tools(permission: str) -> None:
    launch = GeminiAgent().launch(spec_for(permission=permission, without=("shell", "agents")))

    place = Path(launch.argv[launch.argv.index("--policy") + 1])
    (rule,) = tomllib.loads(launch.files[place.name].decode())["rule"]
    assert place.parent == spec_for().folder
    assert rule == {"toolName": ["run_shell_command", "invoke_agent"], "decision": "deny", "priority": 999}
    assert "--policy" not in GeminiAgent().launch(spec_for(permission=permission)).argv


@pytest.mark.parametrize("permission", ["read", "edit", "full"])
def test_opencode_is_denied_the_tools_whatever_its_permission_allows(permission: str) -> None:
    def rules(*without: str) -> dict[str, str]:
        launch = OpenCodeAgent().launch(spec_for(permission=permission, without=without))
        found: dict[str, str] = json.loads(launch.env["OPENCODE_PERMISSION"])
        return found

    assert {key: value for key, value in rules("edit", "agents").items() if rules().get(key) != value} == {
        key: "deny" for key in ("edit", "task") if rules().get(key) != "deny"
    }
    assert (rules("edit")["edit"], rules("agents")["task"]) == ("deny", "deny")


def test_pi_has_the_tools_of_its_permission_but_for_those_that_are_taken() -> None:
    def tools(permission: str, *without: str) -> str:
        argv = PiAgent().launch(spec_for(permission=permission, without=without)).argv
        return argv[argv.index("--tools") + 1] if "--tools" in argv else "none" if "--no-tools" in argv else "all"

    assert tools("full", "shell", "web") == "read,edit,write,grep,find,ls"
    assert tools("full", "edit") == "read,bash,grep,find,ls"
    # What a permission does not give, no list can give back.
    assert tools("read", "edit") == "read,grep,find,ls"
    assert tools("read", "read") == "none"


def test_a_role_is_not_given_to_an_agent_that_cannot_do_without_its_tools(tmp_path: Path) -> None:
    role = Role("asker", "", False, "Ask.", without=("shell",))
    able: dict[str, Agent] = {"claude": ClaudeAgent(), "codex": CodexAgent()}

    def settled(*seats: str) -> str:
        policy = RunPolicy(team={"asker": seats}, roles={"asker": role})
        return settle_tasks([Task(id="T1", agent="asker")], policy, able, tmp_path)[0].agent

    assert settled("claude:opus") == "claude:opus"
    said = r"'T1': the role 'asker' has no tools for 'shell', and agent 'codex' cannot do without"
    with pytest.raises(InputError, match=said):
        settled("claude", "codex")


@pytest.mark.parametrize(
    ("asked", "gets"),
    [
        ("claude@low", "claude@low"),
        ("executor", "claude:opus@high"),
        ("executor@low", "claude:opus@low"),
        ("executor:sonnet", "claude:sonnet"),
        ("executor:sonnet@low", "claude:sonnet@low"),
    ],
)
def test_a_task_may_ask_for_another_model_or_effort_than_whoever_takes_its_role_has(
    asked: str, gets: str, tmp_path: Path
) -> None:
    policy = RunPolicy(team={"executor": ("claude:opus@high",)})

    (task,) = settle_tasks([Task(id="T1", agent=asked)], policy, {"claude": ClaudeAgent()}, tmp_path)

    assert task.agent == gets


PROGRAMS: dict[str, type[Agent]] = {"pi": PiAgent, "opencode": OpenCodeAgent}


async def replayed(program: str, place: Path, *, max_turns: int, then: str = "") -> Outcome:
    """An attempt of a program that writes what it once wrote for the job of five answers."""
    command = ("sh", "-c", f"cat >/dev/null; cat {DATA / program / 'job.stdout'}; {then}", program)
    agent = PROGRAMS[program](Binding(name=program, command=command))  # type: ignore[call-arg]
    executor = LocalExecutor({program: agent}, SystemClock())
    return await executor.run(attempt(place, agent=program, prompt="Go.", max_turns=max_turns), lambda news: None)


@pytest.mark.anyio
@pytest.mark.parametrize("program", ["pi", "opencode"])
async def test_an_agent_that_goes_on_after_its_last_turn_is_stopped_and_not_tried_again(
    program: str, tmp_path: Path
) -> None:
    outcome = await replayed(program, tmp_path, max_turns=4, then="exec sleep 600")

    assert outcome.ending is Ending.ERROR
    assert outcome.failure is not None
    assert outcome.failure.cause is Cause.LIMIT_TURNS
    assert "after 4 answers" in outcome.failure.message
    assert not is_retryable(RetryPolicy(), outcome.failure)


@pytest.mark.anyio
@pytest.mark.parametrize("program", ["pi", "opencode"])
async def test_an_agent_that_ends_with_its_last_turn_is_done(program: str, tmp_path: Path) -> None:
    assert (await replayed(program, tmp_path, max_turns=5)).ending is Ending.OK


def test_where_nobody_can_count_turns_a_dry_run_says_that_their_limit_has_no_effect() -> None:
    policy = RunPolicy(roles={"asker": Role("asker", "", False, "Ask.", max_turns=9)})
    task = Task(id="T1", agent="pi", fallbacks=("gemini:opus",), role="asker")

    forecast = forecast_of(Plan(slug="p", tasks=(task,)), [task], policy, {"pi": PiAgent(), "gemini": GeminiAgent()})

    said = [advice for advice in forecast["advice"] if "max_turns" in advice]
    assert said == ["max_turns has no effect on T1: nobody can count the turns of gemini."]


SKILL = "---\nname: {name}\ndescription: How to tidy.\n---\nSweep, then wipe.\n"
ROLE = "---\ntools: {{allow: [read, shell], deny: [shell]}}\nmax_turns: 9\nskills: [{skill}]\n---\nBe quick.\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "muster"


def define(home: Path, role: str, **skills: str) -> None:
    places = {"agents/tidier.md": role, **{f"skills/{name}/SKILL.md": text for name, text in skills.items()}}
    for name, text in places.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)


def test_a_role_has_the_skills_that_it_names_in_its_prompt_and_no_other(home: Path) -> None:
    define(home, ROLE.format(skill="tidy"), tidy=SKILL.format(name="tidy"), other=SKILL.format(name="other"))

    known = load_definitions(None, trusted=False)

    role = known.roles["tidier"]
    assert known.problems == {}
    assert (role.without, role.max_turns) == (("edit", "shell", "web", "agents"), 9)
    assert role.prompt == "Be quick.\n\nSkill tidy: How to tidy.\nSweep, then wipe."
    assert set(known.skills) == {"tidy", "other"}


@pytest.mark.parametrize(
    ("role", "skill", "said"),
    [
        (
            ROLE.format(skill="gone"),
            SKILL.format(name="tidy"),
            "tidier.md: skills: there is no skill 'gone'; known: tidy.",
        ),
        (ROLE.format(skill="tidy"), SKILL.format(name="untidy"), "'untidy' is not the file's name; allowed: tidy"),
        (ROLE.format(skill="tidy"), "---\nname: tidy\n---\nSweep.\n", "SKILL.md:2: 'description' is missing"),
        (ROLE.format(skill="tidy"), SKILL.format(name="tidy") + "x" * 2048, "bytes together; allowed: 2,048."),
        (
            "---\ntools: [shell]\n---\nGo.\n",
            SKILL.format(name="tidy"),
            "tools: this is no mapping; allowed: allow or deny",
        ),
        (
            "---\ntools: {deny: [Bash]}\n---\nGo.\n",
            SKILL.format(name="tidy"),
            "'Bash' is not known; allowed: read, edit",
        ),
        ("---\nmax_turns: 0\n---\nGo.\n", SKILL.format(name="tidy"), "max_turns: 0 is out of range; allowed: 1 to"),
    ],
)
def test_what_is_wrong_about_a_role_s_limits_and_skills_is_one_line(
    home: Path, role: str, skill: str, said: str
) -> None:
    define(home, role, tidy=skill)

    known = load_definitions(None, trusted=False)

    assert any(said in problem for problem in known.problems.values()), known.problems
    assert all("\n" not in problem for problem in known.problems.values())
    assert "tidier" not in known.roles
