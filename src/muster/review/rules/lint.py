"""What ruff says of Python files: both states in one run, with no configuration but ours."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from muster import process
from muster.model.errors import EnvironmentProblem
from muster.model.findings import Severity
from muster.review.rules.kinds import is_aside, words
from muster.review.rules.spots import Side, Spot

_HANDLING = ("B012", "S110", "S112", "E722", "BLE001")
# What a bare pattern shows, and what to do; where it matters from where a value comes, sinks.py looks.
_TLS = "Ask for TLS 1.2 or later."
_SECURITY = {
    "S103": "Give nobody but the owner the right to write.",
    "S113": "Pass a timeout.",
    "S202": 'Look at the path of each member first, or pass filter="data".',
    "S304": "Use a cipher that is not broken, such as AES in GCM.",
    "S305": "Use a mode that notices changes, such as GCM.",
    "S324": "Use SHA-256, or say usedforsecurity=False where nothing depends on it.",
    "S502": _TLS,
    "S503": _TLS,
    "S504": _TLS,
    "S507": "Refuse hosts whose key is not known.",
    "S508": "Use version 3 of SNMP.",
    "S509": "Ask for authentication and encryption.",
    "S612": "Pass verify= to logging.config.listen.",
    "S702": "Escape by default: default_filters=['h'].",
}
_SELECT = ",".join((*_HANDLING, *_SECURITY))
_ARGS = words(
    "check --isolated --no-cache --ignore-noqa --exit-zero --quiet --target-version=py314 --output-format=json"
)
_PLAIN = frozenset({"S202", "S502", "S504"})
_TIMEOUT_S = 20.0


def find_ruff() -> str:
    """Where ruff is: beside this Python, else on PATH; empty when it is nowhere."""
    beside = Path(sys.executable).with_name("ruff")
    return str(beside) if beside.is_file() else shutil.which("ruff") or ""


async def ruff(sides: Iterable[Side]) -> tuple[Mapping[Side, list[Spot]], str]:
    """The spots of each side, and a note when ruff could not be asked."""
    wanted = list(sides)
    found: dict[Side, list[Spot]] = {side: [] for side in wanted}
    program = find_ruff()
    if not wanted:
        return found, ""
    if not program:
        return found, "ruff is not installed: fewer rules for Python. Install muster-agents[review]."
    argv = [program, *_ARGS, f"--select={_SELECT}", "."]
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        with tempfile.TemporaryDirectory(prefix="muster-review-", ignore_cleanup_errors=True) as folder:
            _write(Path(folder), wanted)
            done = await process.run(argv, cwd=folder, env=env, timeout_s=_TIMEOUT_S, check=True)
        for row in json.loads(done.stdout):
            side = wanted[int(Path(row["filename"]).stem)]
            if row["code"] in _HANDLING or row["code"] in _SECURITY:
                spot = _spot(side, row)
                # Several codes for one handler are one mistake; the first is the plainest.
                if all((spot.rule, spot.line) != (other.rule, other.line) for other in found[side]):
                    found[side].append(spot)
    except (EnvironmentProblem, ValueError, KeyError, TypeError) as error:
        return {side: [] for side in wanted}, f"ruff could not be used: {str(error)[:200]}"
    return found, ""


def _write(folder: Path, sides: Iterable[Side]) -> None:
    for number, side in enumerate(sides):
        (folder / f"{number}.py").write_bytes(side.data)


def _spot(side: Side, row: dict[str, object]) -> Spot:
    code, place = str(row["code"]), row["location"]
    line = int(place["row"]) if isinstance(place, dict) else 1
    handling = code in _HANDLING
    hard = code == "B012" or (code in _PLAIN and not is_aside(side.path))
    return Spot(
        rule="MISSING_ERROR_HANDLING" if handling else "SECURITY_INJECTION",
        severity=Severity.MAJOR if hard else Severity.MINOR,
        line=line,
        title=f"{str(row['message']).splitlines()[0].rstrip('.')} ({code})"[:120],
        detail="Handle the error, or let it pass to whoever can." if handling else _SECURITY[code],
        impact="A failure goes unseen." if handling else "",
        evidence=side.line(line),
        # The line after says whose handler it is.
        anchor=f"{code} {side.line(line).strip()} {side.line(line + 1).strip() if handling else ''}",
    )
