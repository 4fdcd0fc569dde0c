"""What a single value of a plan may be: ids that git can carry, paths inside the project, patterns that compile."""

from __future__ import annotations

import re
import warnings
from fnmatch import fnmatchcase

from muster.model.attempts import Cause
from muster.model.plan import ID_PATTERN
from muster.model.planning.issues import quoted
from muster.model.planning.profiles import PHASES

MANIFEST_KEYS = (
    "id",
    "title",
    "needs",
    "agent",
    "run",
    "prompt",
    "expected_paths",
    "forbidden_paths",
    "must_contain",
    "changes",
    "verify",
    "commit_message_pattern",
    "timeout",
    "attempts",
    "retryable",
    "non_retryable",
    "on_failure",
    "profile_used",
    "max_cost",
)
FRONT_KEYS = ("type", "slug", "title", "brief_sha256", "profile", "phase_models", "session_start_sha")

# Names of refs and folders beside those of the tasks.
RESERVED_IDS = frozenset({"integration", "main", "salvage"})

MAX_ATTEMPTS = 10
MAX_TIMEOUT_S = 7 * 86400.0
MAX_COST_USD = 1_000_000.0
MAX_PATTERN = 500

ID_FORM = "1 to 40 of A-Z a-z 0-9 . _ -, beginning with a letter, digit or _"
AGENT_FORM = "a role or agent, for example executor or codex:gpt-5@high"
PATH_FORM = 'a path or glob relative to the project, for example src/app.py or "tests/**"'

_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?::[^\s:@][^\s@]{0,127})?(?:@[A-Za-z0-9._-]{1,32})?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SEPARATOR = re.compile(r"(?:[:.)]|[ ]?[–—-])[ ]+(?=\S)")

Problem = tuple[str, str] | None


def id_problem(text: str) -> Problem:
    """Why a task cannot have this id: it becomes a part of a git ref and a folder's name.

    >>> id_problem("T3")
    >>> id_problem("a..b")[0]
    "'a..b' holds '..', which git refuses in a ref"
    """
    if not re.fullmatch(ID_PATTERN.strip("^$"), text):
        return f"{quoted(text)} is not a task id", ID_FORM
    if text[0] in ".-":
        return f"{quoted(text)} begins with {text[0]!r}", ID_FORM
    if ".." in text:
        return f"{quoted(text)} holds '..', which git refuses in a ref", ID_FORM
    for ending in (".lock", "."):
        if text.lower().endswith(ending):
            return f"{quoted(text)} ends in {ending!r}, which git refuses in a ref", ID_FORM
    if text.lower() in RESERVED_IDS:
        return f"{quoted(text)} is reserved", f"any id but {', '.join(sorted(RESERVED_IDS))}"
    return None


def agent_problem(text: str) -> Problem:
    """Why this cannot name who does a task.

    >>> agent_problem("executor"), agent_problem("codex:gpt-5@high")
    (None, None)
    """
    return None if _AGENT.fullmatch(text) else (f"{quoted(text)} names no agent", AGENT_FORM)


def name_problem(text: str) -> Problem:
    """Why this cannot be a profile's or model's name."""
    return None if _NAME.fullmatch(text) else (f"{quoted(text)} is not a name", "letters, digits, '.', '_' and '-'")


def phase_problem(text: str) -> Problem:
    """Why this is no phase of the pipeline."""
    return None if text in PHASES else (f"{quoted(text)} is no phase", ", ".join(PHASES))


def class_problem(text: str) -> Problem:
    """Why this names no class of failure.

    >>> class_problem("limit_*"), class_problem("timeouts")[0]
    (None, "'timeouts' names no class of failure")
    """
    known = [cause.value for cause in Cause]
    if any(fnmatchcase(name, text) for name in known):
        return None
    return f"{quoted(text)} names no class of failure", f"a glob for one of {', '.join(known)}"


def title_problem(text: str) -> Problem:
    """Why this cannot be shown as a title."""
    if _CONTROL.search(text):
        return f"{quoted(text)} holds a control character", "one line of plain text"
    return None if len(text) <= 200 else (f"a title of {len(text):,} characters is too long", "at most 200 characters")


def command_problem(text: str) -> Problem:
    """Why this cannot be run by a shell."""
    return None if text.strip() else ("the command is empty", "a shell command")


def path_problem(text: str) -> Problem:
    """Why a path or glob cannot be inside the project.

    >>> path_problem("src/**/*.py")
    >>> path_problem("../x")[0]
    "'../x' leaves the project"
    """
    if text.startswith("/") or re.match(r"[A-Za-z]:[\\/]|\\\\", text):
        return f"{quoted(text)} is absolute", PATH_FORM
    if text.startswith("~/"):
        return f"{quoted(text)} is in a home folder", PATH_FORM
    parts = re.split(r"[\\/]", text)
    if ".." in parts:
        return f"{quoted(text)} leaves the project", PATH_FORM
    if any(part.lower() == ".git" for part in parts):
        return f"{quoted(text)} is inside .git", PATH_FORM
    if not text.removeprefix("./").strip("/ "):
        return f"{quoted(text)} names no file", PATH_FORM
    return None


def regex_problem(text: str) -> Problem:
    """Why this is no regular expression.

    >>> regex_problem("^feat: "), regex_problem("a(")[0]
    (None, "'a(' is not a regular expression: missing ), unterminated subpattern at position 1")
    """
    if len(text) > MAX_PATTERN:
        return f"a pattern of {len(text):,} characters is too long", f"at most {MAX_PATTERN} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        return f"{quoted(text)} is not a regular expression: {error}", "Python's re syntax"
    return None


def sha_problem(text: str) -> Problem:
    """Why this is no hash in hexadecimal."""
    fits = re.fullmatch(r"[0-9a-f]{7,64}", text)
    return None if fits else (f"{quoted(text)} is not a hash", "7 to 64 hexadecimal digits")


def heading_title(heading: str, task_id: str) -> str:
    """The title that a task's heading gives: the heading, without the id that it may begin with.

    >>> heading_title("T3: Limit the login", "T3"), heading_title("Limit the login", "T3"), heading_title("T3", "T3")
    ('Limit the login', 'Limit the login', 'T3')
    """
    words = " ".join(heading.split())
    if task_id and words.startswith(task_id):
        separator = _SEPARATOR.match(words, len(task_id))
        if separator:
            return words[separator.end() :]
    return words
