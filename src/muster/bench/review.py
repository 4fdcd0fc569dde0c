"""What a review takes in process, git and linters included: typical commits, a wide range, and one that is refused."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from string import ascii_lowercase

from muster.bench.engine import cpu_of_children, own_cpu
from muster.model.findings import Finding, Severity
from muster.model.record import Record
from muster.model.redaction import Redactor
from muster.review.coordinator import Material, coordinate
from muster.review.rules.run import run_rules
from muster.review.scope import find_scope
from muster.review.triage import triage
from muster.testing.demo_project import git

_FUNCTION = """def {name}(rows: list[int], limit: int = {n}) -> int:
    total = 0
    for row in rows:
        if row > limit:
            total += row
    return total


"""
_LINE = "value_{n} = [{n}, {n}, {n}, {n}, {n}, {n}]  # padding of one long line of data\n"


class Figures(Record, frozen=True):
    """The same thing reviewed several times: milliseconds on the clock and on the processors, git's included.

    What the processors worked says more than the clock on a machine that is busy with other things.
    """

    what: str
    reviews: int
    median_ms: float
    p95_ms: float
    slowest_ms: float
    own_cpu_ms: float
    all_cpu_ms: float
    limit_ms: float


async def measure(repo: Path | None, commits: int) -> list[Figures]:
    """Take the figures on ``commits`` commits of a repository, or on one that is made for it."""
    if repo is not None:
        return [await _each(repo, await _history(repo, commits), f"{commits} commits", 40.0)]
    with tempfile.TemporaryDirectory(prefix="muster-bench-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        ranges = await _make(folder, commits)
        return [
            await _each(folder, ranges[:commits], "a typical commit", 40.0),
            await _each(folder, [ranges[commits]] * 5, "100 files", 500.0),
            await _each(folder, [ranges[commits + 1]] * 5, "refused: 234 files, 1.2 MB", 300.0),
            _coordinated(500, 5),
        ]


async def _each(repo: Path, ranges: Sequence[tuple[str, str]], what: str, limit_ms: float) -> Figures:
    taken = []
    own, everything = _cpu()
    for since, until in ranges:
        start = time.perf_counter()
        scope = await find_scope(repo, since=since, until=until)
        seen = triage(scope)
        if not seen.refused:
            await run_rules(scope, seen)
        taken.append((time.perf_counter() - start) * 1000)
    return _figures(what, taken, (own, everything), limit_ms)


def _coordinated(count: int, times: int) -> Figures:
    """Findings of two agents in one file and one function, where each has to be compared with all others."""
    random = Random(1)
    words = ["".join(random.choices(ascii_lowercase, k=6)) for _ in range(3000)]
    lines = [f"    call_{number}(value, {number})" for number in range(3000)]
    findings = []
    for number in range(count):
        line = random.randrange(len(lines))
        findings.append(
            Finding(
                rule="SECURITY_INJECTION",
                severity=random.choice(list(Severity)),
                path="app.py",
                line=line + 1,
                title=" ".join(random.choices(words, k=8)),
                detail=" ".join(random.choices(words, k=100)),
                impact="Whoever calls it runs commands.",
                evidence=lines[line].strip(),
                symbol="run",
                reporters=(f"agent:{number % 2}",),
            )
        )
    taken, before = [], _cpu()
    for _ in range(times):
        start = time.perf_counter()
        coordinate(findings, Material(paths=frozenset({"app.py"})), lambda path: lines, Redactor())
        taken.append((time.perf_counter() - start) * 1000)
    return _figures(f"{count} findings coordinated", taken, before, 300.0)


def _figures(what: str, taken: list[float], before: tuple[float, float], limit_ms: float) -> Figures:
    own, everything = before
    now_own, now_everything = _cpu()
    taken.sort()
    at = [taken[min(int(len(taken) * share), len(taken) - 1)] for share in (0.5, 0.95)]
    return Figures(
        what=what,
        reviews=len(taken),
        median_ms=at[0],
        p95_ms=at[1],
        slowest_ms=taken[-1],
        own_cpu_ms=(now_own - own) / len(taken),
        all_cpu_ms=(now_everything - everything) / len(taken),
        limit_ms=limit_ms,
    )


def _cpu() -> tuple[float, float]:
    """Milliseconds of processor time so far: of this process, and with its children."""
    own = own_cpu() * 1000
    return own, own + cpu_of_children() * 1000


async def _history(repo: Path, commits: int) -> list[tuple[str, str]]:
    log = await git(repo, "log", "--no-merges", "--format=%H %P", f"-{commits}")
    rows = [line.split() for line in log.splitlines()]
    return [(parents[0], commit) for commit, *parents in rows if parents]


async def _make(folder: Path, commits: int) -> list[tuple[str, str]]:
    """A repository with typical commits of three files, then a wide commit, then one that is too large."""
    await git(folder, "init", "-q", "-b", "main")
    (folder / "pyproject.toml").write_text('[project]\nname = "app"\ndependencies = ["click"]\n')
    bodies = {f"src/app/part_{n}.py": [_FUNCTION.format(name=f"f{k}", n=k) for k in range(40)] for n in range(60)}
    last = await _commit(folder, {name: "".join(parts) for name, parts in bodies.items()})
    ranges = []
    for number in range(commits):
        changed = {}
        for name in list(bodies)[number % 58 : number % 58 + 3]:
            bodies[name].insert(number % 30, _FUNCTION.format(name=f"new_{number}", n=number))
            changed[name] = "".join(bodies[name])
        ranges.append((last, last := await _commit(folder, changed)))
    wide = {name: "import os\n" + "".join(parts[5:]) for name, parts in bodies.items()}
    wide |= {f"web/page_{n}.ts": f"export function page{n}(a: string) {{\n  return a + {n};\n}}\n" for n in range(40)}
    ranges.append((last, last := await _commit(folder, dict(list(wide.items())[:100]))))
    huge = {f"data/table_{n}.py": "".join(_LINE.format(n=n * k) for k in range(75)) for n in range(234)}
    return [*ranges, (last, await _commit(folder, huge))]


async def _commit(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    await git(folder, "add", "-A")
    await git(folder, "commit", "-q", "-m", "Work")
    return (await git(folder, "rev-parse", "HEAD")).strip()
