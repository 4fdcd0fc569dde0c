"""How each agent's program finds the scripted model: its own settings and variables, in a home of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.live.install import Program, look, search_path
from tests.live.model_wires import CACHED, INPUT, KEY, OUTPUT, REASONING

MODEL = "scripted-1"


@dataclass(frozen=True)
class Cli:
    """One program: how a person starts it by hand, what it reads at home, and what it must find in its environment.

    ``model`` is what its ``--model`` takes and ``reported`` what it says that it used. ``quiet`` is what a person
    sets by hand and Muster by itself. ``answer`` is what it tells of one answer: input without cache, cached input
    and output. ``patience_s`` is how long its own retries may take. ``dialect``, ``command`` and ``env_allow`` are
    how an operator binds it.
    """

    name: str
    wire: str
    model: str
    env: Callable[[str], dict[str, str]]
    files: Callable[[str], dict[str, str]]
    argv: tuple[str, ...] = ()
    quiet: Mapping[str, str] = field(default_factory=dict)
    reported: str = ""
    reports_cost: bool = False
    answer: tuple[int, int, int] = (INPUT - CACHED, CACHED, OUTPUT)
    counts_every_answer: bool = True
    tells_usage_of_failures: bool = True
    has_efforts: bool = False
    resumes: bool = True
    patience_s: float = 45.0
    installed: str = ""
    dialect: str = ""
    command: tuple[str, ...] = ()
    env_allow: tuple[str, ...] = ()

    def used(self, answers: int) -> tuple[int, int, int]:
        """What it tells of so many answers of the model."""
        fresh, cached, output = self.answer
        number = answers if self.counts_every_answer else 1
        return fresh * number, cached * number, output * number

    def program(self) -> Program:
        """The installed program; without it, the test is skipped and says why."""
        program = look(self.installed or self.name)
        if program.problem:
            pytest.skip(f"{self.name}: {program.problem}")
        return program

    def settle(self, home: Path, url: str) -> dict[str, str]:
        """Write its settings below ``home``; returns the environment in which it speaks with ``url``."""
        program = self.program()
        for name, text in self.files(url).items():
            place = home / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return {"PATH": search_path(program.name), "HOME": str(home), "LANG": "C.UTF-8", **self.env(url)}


def _nothing(_: str) -> dict[str, str]:
    return {}


def _codex(url: str) -> dict[str, str]:
    provider = {"name": "scripted", "base_url": f"{url}/v1", "env_key": "SCRIPTED_API_KEY", "wire_api": "responses"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in provider.items()]
    head = ['model_provider = "scripted"', f'model = "{MODEL}"', "check_for_update_on_startup = false"]
    return {".codex/config.toml": "\n".join([*head, "[model_providers.scripted]", *lines, ""])}


def _gemini(_: str) -> dict[str, str]:
    selected = {"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}}
    return {".gemini/settings.json": json.dumps(selected)}


def _opencode(url: str) -> dict[str, str]:
    prices = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 0}
    model = {"name": MODEL, "tool_call": True, "cost": prices, "limit": {"context": 200_000, "output": 8_000}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "scripted",
        "options": {"baseURL": f"{url}/v1", "apiKey": "{env:SCRIPTED_API_KEY}"},
        "models": {MODEL: model},
    }
    return {".config/opencode/opencode.json": json.dumps({"provider": {"scripted": provider}})}


def _pi(url: str) -> dict[str, str]:
    prices = {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 0}
    model = {"id": MODEL, "name": MODEL, "cost": prices, "contextWindow": 200_000, "maxTokens": 8_000}
    provider = {"baseUrl": f"{url}/v1", "api": "openai-completions", "apiKey": "$SCRIPTED_API_KEY", "models": [model]}
    return {".pi/agent/models.json": json.dumps({"providers": {"scripted": provider}})}


CLIS: Mapping[str, Cli] = {
    cli.name: cli
    for cli in (
        Cli(
            name="claude",
            wire="anthropic",
            model="sonnet",
            argv=("claude", "-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"),
            # As root it wants to be told that nothing here can be harmed.
            env=lambda url: {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY, "IS_SANDBOX": "1"},
            files=_nothing,
            quiet={"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"},
            reported="claude-sonnet-",
            reports_cost=True,
            has_efforts=True,
        ),
        Cli(
            name="codex",
            wire="responses",
            model=MODEL,
            argv=(
                "codex",
                "exec",
                "-",
                "--json",
                "--dangerously-bypass-approvals-and-sandbox",
                "--skip-git-repo-check",
            ),
            env=lambda _: {"SCRIPTED_API_KEY": KEY},
            files=_codex,
            command=("codex", "-c", "model_provider=scripted"),
            env_allow=("SCRIPTED_API_KEY",),
            tells_usage_of_failures=False,
            has_efforts=True,
        ),
        Cli(
            name="gemini",
            wire="gemini",
            model="gemini-2.5-flash",
            argv=("gemini", "-o", "stream-json", "--yolo", "--skip-trust"),
            env=lambda url: {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": url},
            files=_gemini,
            quiet={"GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_TELEMETRY_ENABLED": "false"},
            reported="gemini-2.5-flash",
        ),
        Cli(
            name="opencode",
            wire="chat",
            model=f"scripted/{MODEL}",
            argv=("opencode", "run", "--format", "json", "--auto"),
            env=lambda _: {"SCRIPTED_API_KEY": KEY},
            files=_opencode,
            quiet={
                "OPENCODE_DISABLE_AUTOUPDATE": "1",
                "OPENCODE_DISABLE_MODELS_FETCH": "1",
                "OPENCODE_DISABLE_SHARE": "1",
                "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            },
            reports_cost=True,
            # Its retries of a server that fails take 74 s, and more on a busy machine.
            patience_s=160.0,
        ),
        Cli(
            name="pi",
            wire="chat",
            model=f"scripted/{MODEL}",
            argv=("pi", "--mode", "json", "-p"),
            env=lambda _: {"SCRIPTED_API_KEY": KEY},
            files=_pi,
            quiet={"PI_OFFLINE": "1", "PI_TELEMETRY": "0"},
            reported=MODEL,
            reports_cost=True,
        ),
        Cli(
            name="gemini-acp",
            installed="gemini",
            dialect="acp",
            wire="gemini",
            model="gemini-2.5-pro",
            env=lambda url: {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": url},
            files=_gemini,
            command=("gemini", "--acp"),
            env_allow=("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
            # Over ACP it tells neither the cached part nor the thoughts, and finds an earlier session only at times.
            answer=(INPUT, 0, OUTPUT - REASONING),
            tells_usage_of_failures=False,
            resumes=False,
        ),
        Cli(
            name="opencode-acp",
            installed="opencode",
            dialect="acp",
            wire="chat",
            model=f"scripted/{MODEL}",
            env=lambda _: {"SCRIPTED_API_KEY": KEY, "OPENCODE_DISABLE_MODELS_FETCH": "1"},
            files=_opencode,
            command=("opencode", "acp"),
            env_allow=("SCRIPTED_API_KEY", "OPENCODE_DISABLE_MODELS_FETCH"),
            reports_cost=True,
            # Over ACP it tells the tokens of the last answer only.
            counts_every_answer=False,
            tells_usage_of_failures=False,
            patience_s=160.0,
        ),
    )
}
