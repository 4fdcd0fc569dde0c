"""What a repository's own configuration would run on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from muster.model.record import Record
from muster.process.git import Git

# Commands that git, called by us, by a task or by an agent, runs without being asked for them (git-config(1)).
_RUNS = re.compile(
    r"filter\..*\.(clean|smudge|process)|merge\..*\.driver|diff\.external|diff\..*\.(command|textconv)"
    r"|core\.(fsmonitor|sshcommand|gitproxy|askpass|alternaterefscommand|editor|pager)|sequence\.editor|pager\..*"
    r"|credential\.(.*\.)?helper|gpg\.(.*\.)?program|gpg\.ssh\.defaultkeycommand|trailer\..*\.(command|cmd)"
    r"|remote\..*\.(uploadpack|receivepack|vcs)|uploadpack\.packobjectshook|protocol\.ext\.allow"
    r"|interactive\.difffilter|submodule\..*\.update|alias\..*",
    re.IGNORECASE | re.DOTALL,
)
_ONLY_WITH = {  # keys whose values are commands in some forms only
    "core.fsmonitor": re.compile(r"(?!(true|false|yes|no|on|off|0|1|)$)", re.IGNORECASE),
    "protocol.ext.allow": re.compile(r"(?!never$)", re.IGNORECASE),
    "submodule": re.compile("!"),
    "alias": re.compile("!"),
}
_OURS = {"local", "worktree"}


class Setting(Record, frozen=True):
    """One line of git's configuration and where it was written."""

    scope: str
    origin: str
    key: str
    value: str


async def settings(git: Git) -> tuple[Setting, ...]:
    """The whole configuration that applies in the repository."""
    done = await git("config", "--list", "-z", "--show-scope", "--show-origin", "--includes")
    fields = done.stdout.decode(errors="surrogateescape").split("\0")
    found = []
    for scope, origin, line in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
        key, _, value = line.partition("\n")
        found.append(Setting(scope=scope, origin=origin, key=key, value=value))
    return tuple(found)


def commands(found: tuple[Setting, ...], toplevel: Path, common: Path, *, hooks: bool = False) -> tuple[str, ...]:
    """The keys of the repository's own configuration that name commands, or files with such keys.

    Hooks are off unless they are asked for, so that they count only then.
    """
    named = {setting.key for setting in found if setting.scope in _OURS and _dangerous(setting, toplevel, common)}
    if hooks:
        named |= {s.key for s in found if s.scope in _OURS and s.key == "core.hookspath"}
        folder = common / "hooks"
        active = (hook for hook in folder.glob("*") if hook.suffix != ".sample" and os.access(hook, os.X_OK))
        named |= {f"hooks/{hook.name}" for hook in active}
    return tuple(sorted(named))


def _dangerous(setting: Setting, toplevel: Path, common: Path) -> bool:
    section = setting.key.partition(".")[0]
    if section in ("include", "includeif"):
        # An included file in the work tree changes with every checkout: its keys are not only those of now.
        origin = toplevel / setting.origin.removeprefix("file:")
        target = (origin.parent / Path(setting.value).expanduser()).resolve()
        return not target.is_relative_to(common.resolve())
    if not _RUNS.fullmatch(setting.key):
        return False
    only = _ONLY_WITH.get(setting.key) or _ONLY_WITH.get(section)
    return only is None or only.match(setting.value) is not None
