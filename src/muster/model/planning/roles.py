"""The built-in roles: who an agent is asked to be, and whether it may write."""

from __future__ import annotations

from muster.model.record import Record

# What an agent's tools are for; what they are called, each program says differently.
TOOLS = ("read", "edit", "shell", "web", "agents")


class Role(Record, frozen=True):
    """A way of working that a task can ask for; ``writes`` says whether it may change files.

    ``effort`` and ``timeout_s`` hold where a task says nothing else; ``origin`` is empty for a built-in role.
    ``without`` names the kinds of tools that it does not get, whatever its permission; after ``max_turns``
    answers of the model it is stopped. ``skills`` are the names of those that stand in its prompt.
    """

    name: str
    description: str
    writes: bool
    prompt: str
    effort: str = ""
    timeout_s: float | None = None
    origin: str = ""
    without: tuple[str, ...] = ()
    max_turns: int | None = None
    skills: tuple[str, ...] = ()


_ROLES = (
    Role(
        name="analyst",
        description="Finds out what is wanted and what is unclear.",
        writes=False,
        prompt="Find out what is really wanted. Name what is unclear, what contradicts itself and what is assumed. "
        "Quote the place for each statement. Do not propose a solution.",
    ),
    Role(
        name="critic",
        description="Looks for what is wrong with a plan or a design.",
        writes=False,
        prompt="Look for what will go wrong: work outside of the brief, steps that cannot be checked, missing needs "
        "between steps. Say what would have to change. Praise nothing.",
    ),
    Role(
        name="executor",
        description="Does the work of one task.",
        writes=True,
        prompt="Do exactly this task, completely, in the style of the code around it. Leave nothing unfinished and "
        "nothing commented out. If the task cannot be done as it is written, stop and say why.",
    ),
    Role(
        name="explorer",
        description="Reads the code and reports what matters for the work.",
        writes=False,
        prompt="Read what matters for this work and report it: files, functions, tests, conventions, traps. "
        "Give paths and lines. Keep it to one page.",
    ),
    Role(
        name="planner",
        description="Breaks the work into tasks that can be checked.",
        writes=False,
        prompt="Break the work into the fewest tasks that can be done and checked independently. Say for each which "
        "files it touches, what it needs first and which command proves it.",
    ),
    Role(
        name="reviewer",
        description="Judges a change against what was wanted.",
        writes=False,
        prompt="Judge the change against the brief and for correctness. Report only what you can show with a file and "
        "a line, and what would happen because of it.",
    ),
    Role(
        name="security-reviewer",
        description="Judges a change for what an attacker could do.",
        writes=False,
        prompt="Judge the change for what an attacker could do with it: injection, secrets, paths, permissions, "
        "dependencies. Show the place and the way in.",
    ),
    Role(
        name="test-engineer",
        description="Writes tests that fail when a claim is a lie.",
        writes=True,
        prompt="Write tests that state behaviour in sentences and fail when it breaks. Use real parts where they are "
        "fast. Change the code under test only where it cannot be tested otherwise, and say so.",
    ),
    Role(
        name="verifier",
        description="Checks that the work does what was asked.",
        writes=False,
        prompt="Check that the work does what was asked: run it where your tools allow that, otherwise read it. Report "
        "each criterion as held or broken with the command and its output, or with the place. Change nothing.",
    ),
    Role(
        name="writer",
        description="Writes documentation for people.",
        writes=True,
        prompt="Write for a reader who has ten minutes. Short sentences, real examples that were run, no claims that "
        "the code does not keep.",
    ),
)

ROLES = {role.name: role for role in _ROLES}
DEFAULT_ROLE = "executor"
