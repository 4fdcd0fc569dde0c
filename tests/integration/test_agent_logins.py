"""Whether a program is found and logged in, when it cannot be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.agents._logins import gemini_login, opencode_login, pi_login
from muster.agents.gemini import GeminiAgent
from muster.agents.opencode import OpenCodeAgent
from muster.agents.pi import PiAgent
from muster.ports import Agent, Binding


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_gemini_is_logged_in_by_its_environment_or_its_settings(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    vertex = {**home, "GOOGLE_GENAI_USE_VERTEXAI": "true"}

    assert gemini_login(home) is False
    assert gemini_login({**home, "GEMINI_API_KEY": "x"}) is True
    assert gemini_login({**vertex, "GEMINI_API_KEY": "x"}) is False
    assert gemini_login({**vertex, "GOOGLE_API_KEY": "x"}) is True
    write(tmp_path / ".gemini/settings.json", '{"security": {"auth": {"selectedType": "oauth-personal"}}}')
    assert gemini_login(home) is None
    write(tmp_path / ".gemini/oauth_creds.json", '{"access": 1}')
    assert gemini_login(home) is True
    write(tmp_path / ".gemini/settings.json", "no JSON")
    assert gemini_login(home) is False
    assert gemini_login({**home, "GOOGLE_GENAI_USE_GCA": "true"}) is True


def test_opencode_is_logged_in_when_it_counts_a_credential_or_a_key(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}

    assert opencode_login(b"Anthropic oauth\n1 credentials\n", home) is True
    assert opencode_login(b"0 credentials\n\n1 environment variable\n", home) is True
    assert opencode_login(b"0 credentials\n", home) is False
    assert opencode_login(b"", home) is None
    assert opencode_login(b"0 credentials\n", {**home, "OPENCODE_CONFIG": "x.json"}) is None
    write(tmp_path / ".config/opencode/opencode.jsonc", '{"provider": {}}')
    assert opencode_login(b"0 credentials\n", home) is None


def test_pi_is_logged_in_by_a_key_that_it_can_see_or_by_its_own_file(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    elsewhere = {**home, "PI_CODING_AGENT_DIR": str(tmp_path / "pi")}

    assert pi_login(home, home) is False
    assert pi_login({**home, "XAI_API_KEY": "x"}, home) is True
    assert pi_login(home, {**home, "XAI_API_KEY": "x"}) is None
    write(tmp_path / "pi/models.json", '{"providers": {}}')
    assert pi_login(elsewhere, home) is None
    write(tmp_path / "pi/auth.json", "{}")
    assert pi_login(elsewhere, home) is None
    write(tmp_path / "pi/auth.json", '{"anthropic": {}}')
    assert pi_login(elsewhere, home) is True


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [GeminiAgent, OpenCodeAgent, PiAgent])
async def test_a_program_that_is_there_tells_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[GeminiAgent | OpenCodeAgent | PiAgent]
) -> None:
    program = tmp_path / "bin" / "agent"
    write(program, '#!/bin/sh\n[ "$1" = "--version" ] && echo "agent v1.22.333-beta.1 (x)" || echo "0 credentials"\n')
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_GENAI_USE_VERTEXAI", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    agent: Agent = kind(Binding(name="mine", command=(str(program),)))

    detected = await agent.detect()

    assert agent.name == "mine"
    assert detected.found
    assert (detected.path, detected.version) == (str(program), "1.22.333-beta.1")
    assert detected.auth in ("missing", "unknown")
    assert bool(detected.hint) is (detected.auth == "missing")
