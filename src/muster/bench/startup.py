"""How long commands take from start to exit, as whole processes."""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

from muster.model.record import Record
from muster.process import run


class Startup(Record, frozen=True):
    """Wall times of one command in milliseconds."""

    command: str
    budget_ms: float
    minimum_ms: float
    median_ms: float
    maximum_ms: float


BUDGETS = {"--help": 150.0, "ls": 250.0}


async def measure(folder: Path, runs: int) -> list[Startup]:
    """Time each command ``runs`` times in ``folder`` after one warm-up."""
    results = []
    for command, budget_ms in BUDGETS.items():
        times = []
        for _ in range(runs + 1):
            start = time.perf_counter()
            await run([sys.executable, "-m", "muster", command], cwd=folder, env=dict(os.environ))
            times.append((time.perf_counter() - start) * 1000)
        warm = times[1:]
        results.append(
            Startup(
                command=f"muster {command}",
                budget_ms=budget_ms,
                minimum_ms=min(warm),
                median_ms=statistics.median(warm),
                maximum_ms=max(warm),
            )
        )
    return results
