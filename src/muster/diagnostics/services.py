"""What a service that starts runs would find, and whether somebody takes the metrics."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from muster.clock import SystemClock
from muster.diagnostics.findings import Finding, Level
from muster.model.errors import MusterError
from muster.model.views.metric_snapshot import MetricsSnapshot

# What programs get that nobody's shell started: systemd.exec(5) for Linux, launchd's _PATH_STDPATH for macOS.
_SERVICE_PATHS = {
    "linux": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "darwin": "/usr/bin:/bin:/usr/sbin:/sbin",
}
_SERVICE_FIXES = {
    "linux": 'systemctl --user set-environment PATH="$PATH"',
    "darwin": 'launchctl setenv PATH "$PATH"',
}


def service_path(agents: tuple[str, ...]) -> Iterator[Finding]:
    """Whether git and the agents that are found here would be found without this shell's PATH."""
    platform = "darwin" if sys.platform == "darwin" else "linux"
    path = _SERVICE_PATHS[platform]
    here = {name: found for name in ("git", *agents) if (found := shutil.which(name))}
    lost = [f"{name} ({place})" for name, place in here.items() if shutil.which(name, path=path) is None]
    if lost:
        message = f"A service would not find {', '.join(lost)}: its PATH is {path}."
        yield Finding(check="service", level=Level.WARN, message=message, fix=_SERVICE_FIXES[platform])
    else:
        yield Finding(check="service", level=Level.OK, message="what is found here is on a service's PATH too")


def definitions(project: Path | None) -> Iterator[Finding]:
    """Files of workflows, teams and roles that cannot be used."""
    from muster.config.definitions import load_definitions
    from muster.config.trust import TrustState, trust_state

    trusted = project is not None and trust_state(project) is TrustState.TRUSTED
    known = load_definitions(project, trusted=trusted)
    for file, problem in known.problems.items():
        kind = next((kind for kind in ("workflows", "teams") if f"/{kind}/" in file), "agents")
        yield Finding(check="definitions", level=Level.WARN, message=problem, fix=f"muster {kind} lint")
    if not known.problems:
        count = f"{len(known.workflows)} workflows, {len(known.teams)} teams, {len(known.roles)} roles"
        yield Finding(check="definitions", level=Level.OK, message=f"{count} can be used")


def exporters(project: Path | None) -> Iterator[Finding]:
    """Whether each exporter that the settings ask for could hand over metrics now; a collector is sent none at all."""
    from muster.config.load import load_settings
    from muster.wiring.parts import NOT_HANDED_OVER, exporters_of

    asked = load_settings(project, environ=os.environ).settings.telemetry
    for exporter in exporters_of(asked, os.environ):
        try:
            problem = _unreachable(exporter.name, Path(asked.textfile_dir), exporter.export)
        except (MusterError, OSError) as error:
            problem = str(error)
        finally:
            exporter.close()
        fix = "muster config show telemetry" if problem else ""
        level = Level.WARN if problem else Level.OK
        yield Finding(
            check="exporters", level=level, message=f"{exporter.name}: {problem or 'can be reached'}", fix=fix
        )
    if not set(asked.export) - NOT_HANDED_OVER:
        yield Finding(check="exporters", level=Level.OK, message="nothing is handed over")


def _unreachable(name: str, folder: Path, export: Callable[[MetricsSnapshot], None]) -> str:
    """Why nothing could be handed over; empty when it could."""
    if name == "textfile":
        usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
        return "" if usable else f"{folder} is no folder that can be written."
    if name.startswith("otlp"):
        now = SystemClock().now()
        export(MetricsSnapshot(started=now, taken=now, families=()))
    return ""
