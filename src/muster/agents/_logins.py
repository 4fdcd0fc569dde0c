"""Whether programs that do not say so are logged in; no secret is looked at, only whether there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from muster.agents._dialect import decode, mapping

# What holds less is an empty object.
_LEAST_BYTES = 5
_COUNTED = re.compile(rb"(\d+) (?:credential|environment variable)")

# Where the name is not the provider's with _API_KEY, as OpenCode's and pi's lists of providers have it.
_KEYS = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN"),
    "google": ("GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"),
    "github-copilot": ("COPILOT_GITHUB_TOKEN",),
    "amazon-bedrock": ("AWS_*",),
}


def gemini_login(environ: Mapping[str, str]) -> bool | None:
    """Whether Gemini CLI's environment and settings name a way to log in that can work; None when that is unknown."""
    if environ.get("GOOGLE_GENAI_USE_VERTEXAI") == "true":
        project = environ.get("GOOGLE_CLOUD_PROJECT") and environ.get("GOOGLE_CLOUD_LOCATION")
        return bool(project or environ.get("GOOGLE_API_KEY"))
    if environ.get("GEMINI_API_KEY") or environ.get("GOOGLE_GEMINI_BASE_URL"):
        return True
    home = Path(environ.get("GEMINI_CLI_HOME") or environ.get("HOME") or "/") / ".gemini"
    try:
        settings = mapping(decode((home / "settings.json").read_bytes()))
    except OSError:
        settings = {}
    selected = mapping(mapping(settings.get("security")).get("auth")).get("selectedType")
    if selected == "oauth-personal" or environ.get("GOOGLE_GENAI_USE_GCA") == "true":
        return True if _holds_something(home / "oauth_creds.json") else None
    # The key may lie in a .env file or in the system's keyring.
    return None if selected or _holds_something(home / ".env") else False


def opencode_login(listed: bytes, environ: Mapping[str, str]) -> bool | None:
    """Whether `opencode auth list` counts any; None when a provider in its settings may do without."""
    numbers = [int(number) for number in _COUNTED.findall(listed)]
    if not numbers or any(numbers):
        return True if numbers else None
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "/") / ".config") / "opencode"
    named = any(environ.get(name) for name in ("OPENCODE_CONFIG", "OPENCODE_CONFIG_CONTENT", "OPENCODE_CONFIG_DIR"))
    configured = any(
        _holds_something(home / f"{name}.{end}") for name in ("opencode", "config") for end in ("json", "jsonc")
    )
    return None if named or configured else False


def pi_login(visible: Mapping[str, str], environ: Mapping[str, str]) -> bool | None:
    """Whether pi has a credential; None when only its own list of models or a model's name can tell."""
    default = Path(visible.get("HOME") or "/") / ".pi" / "agent"
    folder = Path(visible["PI_CODING_AGENT_DIR"]) if visible.get("PI_CODING_AGENT_DIR") else default
    if _names_a_key(visible) or _holds_something(folder / "auth.json"):
        return True
    return None if _names_a_key(environ) or _holds_something(folder / "models.json") else False


def keys_for(model: str) -> tuple[str, ...]:
    """The variables that hold the key for ``provider/model``; no other provider's key is for this program.

    >>> keys_for("zai-coding/glm-6")
    ('ZAI_CODING_API_KEY',)
    >>> keys_for("sonnet")
    ()
    """
    provider, slash, _ = model.partition("/")
    name = re.sub(r"[^A-Z0-9]", "_", provider.upper())
    return (_KEYS.get(provider) or (f"{name}_API_KEY",)) if slash and name else ()


def _names_a_key(environ: Mapping[str, str]) -> bool:
    return any(name.endswith(("_API_KEY", "_OAUTH_TOKEN", "_AUTH_TOKEN")) and value for name, value in environ.items())


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size >= _LEAST_BYTES
    except OSError:
        return False
