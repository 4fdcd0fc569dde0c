"""Files that nobody meant to add, and files that steer reviewers and agents."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pathspec import GitIgnoreSpec

from muster.model.findings import Severity
from muster.review.rules.kinds import words
from muster.review.rules.spots import Pair, Spot
from muster.review.triage import CI, GIT, INSTRUCTIONS

_LEFTOVERS = GitIgnoreSpec.from_lines(
    words(
        """
        __pycache__/ *.py[co] .pytest_cache/ .mypy_cache/ .ruff_cache/ .tox/ .nox/ .venv/ venv/ node_modules/ .DS_Store
        Thumbs.db *.swp *.swo *~ *.orig *.rej *.bak *.tmp .coverage coverage.xml htmlcov/ .nyc_output/ nohup.out *.pid
        core.[0-9]* hs_err_pid* *.hprof *.dmp npm-debug.log* yarn-error.log .env .env.local .idea/ .ipynb_checkpoints/
        *.egg-info/ .gradle/ .terraform/ *.class *.stackdump
        """
    )
)
# What a shell makes of a redirection or an option that was meant otherwise: pip install x >=2, 2>&1 and the like.
_MISTYPED = re.compile(r"""^(?:[=<>&|;"'`$(){}\[\]!#^\\-].*|.*[ \t.]|.*["'`<>|\\].*|[0-9.]+)$""")
_GITLINK = "160000"
_LINTERS = words(".semgrep* ruff.toml .ruff.toml .flake8 .eslintrc* eslint.config.* .pylintrc")
_STEERING = GitIgnoreSpec.from_lines([*INSTRUCTIONS, *CI, *GIT, *_LINTERS])


def creep(pair: Pair, submodules: str) -> Iterator[Spot]:
    """What came into the repository by accident; ``submodules`` is the text of .gitmodules after the change."""
    change = pair.change
    if change.old_mode and change.mode == change.old_mode and change.status != "R":
        return
    base = pair.path.rpartition("/")[2]
    if change.mode == _GITLINK and change.old_mode != _GITLINK:
        if f"path = {pair.path}" not in submodules:
            yield _spot(
                pair,
                Severity.MAJOR,
                "is a link to a repository that no .gitmodules names",
                "Others get an empty folder.",
            )
    elif not change.mode:
        return
    elif _LEFTOVERS.match_file(pair.path):
        severity = Severity.MINOR if base.endswith((".bak", ".orig", ".tmp", ".pid")) else Severity.MAJOR
        yield _spot(pair, severity, "is a leftover of a tool and not source", "Everybody gets a copy that goes stale.")
    elif _MISTYPED.match(base) and not base.startswith(("[", "(", "$", "__")) and not _is_test_data(pair.path):
        yield _spot(pair, Severity.MAJOR, "has a name that looks like a slip in a shell", "Nobody looks for it there.")


def _is_test_data(path: str) -> bool:
    return re.search(r"(?:^|/)(?:tests?|testdata|fixtures?|specs?|__tests__)/", path) is not None


def steering(pair: Pair) -> Iterator[Spot]:
    """A file from which agents, checks or git take orders."""
    name = pair.path if _STEERING.match_file(pair.path) else pair.change.old_path
    if name and _STEERING.match_file(name):
        yield Spot(
            rule="REVIEWER_INPUT_CHANGED",
            severity=Severity.MINOR,
            line=1 if pair.new is not None else 0,
            title=f"{name[-80:]} steers agents or checks, and is changed",
            detail="This review went by the text before the change. Read the new one with care.",
            impact="Everything that is made or checked later follows it.",
            evidence=pair.new.line(1) if pair.new is not None else "",
            anchor="steering",
        )


def _spot(pair: Pair, severity: Severity, what: str, impact: str) -> Spot:
    return Spot(
        rule="SCOPE_CREEP_BUILT",
        severity=severity,
        line=0,
        title=f"{pair.path[-80:]!r} {what}",
        detail="Take it out of the change, and name it in .gitignore if it comes back.",
        impact=impact,
        anchor="creep",
    )
