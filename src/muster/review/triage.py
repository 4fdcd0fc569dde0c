"""Decides how closely each changed file is looked at, and whether there are too many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from pathspec import GitIgnoreSpec

from muster.model.errors import InputError
from muster.model.findings import Change, Covered, Treatment
from muster.model.record import Record
from muster.review.scope import MAX_DIFF_BYTES, MAX_FILES, Scope

SKIP = ("*.lock", "*.svg", "dist/**", "build/**", "node_modules/**")
DEEP = ("auth/**", "crypto/**", "**/security/**", "hooks/**")
# What tells agents, git and the build what to do: a change here changes how everything else is made.
INSTRUCTIONS = (
    *("AGENTS.md", "CLAUDE.md", "GEMINI.md", ".cursorrules", ".cursor/**", ".claude/**", ".codex/**"),
    *(".github/copilot-instructions.md", ".muster/**", "!.muster/projects/**", "muster.toml"),
)
CI = (
    *(".github/workflows/**", ".github/actions/**", ".gitlab-ci.yml", ".circleci/**", "Jenkinsfile", ".travis.yml"),
    *("azure-pipelines.yml", "bitbucket-pipelines.yml", ".pre-commit-config.yaml", ".husky/**", ".githooks/**"),
)
GIT = (".gitattributes", ".gitmodules", "**/.gitattributes")
_GENERATED = re.compile(
    rb"@generated\b|DO NOT EDIT|\bCode generated\b|\bfile (?:is|was|has been) (?:auto[a-z]*[- ]?)?generated\b"
    rb"|^[^a-z\n]{0,8}auto(?:matically|-)? ?generated\b",
    re.IGNORECASE | re.MULTILINE,
)


class Triage(Record, frozen=True):
    """The coverage of a range: every file with its treatment; ``refused`` says why nothing is looked at."""

    covered: tuple[Covered, ...]
    refused: str = ""
    suggestions: tuple[str, ...] = ()

    def of(self, treatment: Treatment) -> frozenset[str]:
        """The paths that are treated in one way."""
        return frozenset(row.path for row in self.covered if row.treatment is treatment)


def triage(scope: Scope, *, skip: Sequence[str] = (), deep: Sequence[str] = ()) -> Triage:
    """Give every file its treatment, first match wins; ``skip`` and ``deep`` are a user's own patterns."""
    skipped, deepened = _spec((*SKIP, *skip)), _spec((*DEEP, *INSTRUCTIONS, *CI, *GIT, *deep))
    covered = []
    for change in scope.changes:
        if pattern := _match(skipped, change.path):
            treatment, reason = Treatment.SKIP, f"matches {pattern}"
        elif _is_generated(scope, change):
            treatment, reason = Treatment.SKIP, "generated, as its first lines say"
        elif pattern := _match(deepened, change.path) or _match(deepened, change.old_path):
            treatment, reason = Treatment.DEEP, f"matches {pattern}"
        else:
            treatment, reason = Treatment.SUMMARY, "everything else"
        covered.append(
            Covered(
                path=change.path,
                treatment=treatment,
                reason=reason,
                added=change.added,
                deleted=change.deleted,
                uncommitted=change.uncommitted,
            )
        )
    return Triage(covered=tuple(covered), refused=_refusal(scope), suggestions=scope.suggestions)


def _refusal(scope: Scope) -> str:
    """Why a range is too large, or nothing.

    A range with exactly as many files and bytes as allowed is reviewed.
    """
    if len(scope.changes) > MAX_FILES:
        return f"{len(scope.changes)} files are changed, and one review answers for at most {MAX_FILES}."
    if scope.diff_bytes > MAX_DIFF_BYTES:
        tokens = -(-scope.diff_bytes // 4)
        return f"The diff has about {tokens:,} tokens, and one review answers for at most {MAX_DIFF_BYTES // 4:,}."
    return ""


def _is_generated(scope: Scope, change: Change) -> bool:
    """Whether the first three lines say so, in the old text too: a change cannot take a file out of the review."""
    texts = [text for text in (scope.old(change), scope.new(change)) if text is not None]
    return bool(texts) and all(_GENERATED.search(b"\n".join(text[:4096].split(b"\n")[:3])) for text in texts)


@lru_cache(maxsize=16)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise InputError(f"review.skip or review.deep: {error}.", hint="patterns as in .gitignore") from error


def _match(spec: GitIgnoreSpec, path: str) -> str:
    if not path:
        return ""
    found = spec.check_file(path)
    return str(spec.patterns[found.index].pattern) if found.include and found.index is not None else ""
