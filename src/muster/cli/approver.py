"""Asking the person at the terminal."""

from __future__ import annotations

import sys

import anyio

from muster.model.gates import Answer, Boundary
from muster.model.journal.events import GateAsked
from muster.ports import Decision
from muster.wiring.kit import operator


class TerminalApprover:
    """Puts gate questions on the terminal; an answer from elsewhere takes the question back."""

    async def ask(self, gate: GateAsked) -> Decision | None:
        """Ask until there is an answer; end of input means that nobody is there."""
        if gate.detail:
            print("\n".join(f"    {line}" for line in gate.detail.splitlines()[:12]))
        if gate.boundary is Boundary.MAIN_MERGE:
            print(f"  another terminal shows it: muster diff {gate.gate.partition('.')[0]}")
        while True:
            # A line of its own: when the answer comes from elsewhere, the next line must not hang on to it.
            print("  [y]es / [n]o, with a reason after it if you like:", flush=True)
            await anyio.wait_readable(sys.stdin.fileno())
            line = sys.stdin.readline()
            if not line:
                return None
            word, _, why = line.strip().partition(" ")
            answers = {"y": Answer.APPROVE, "yes": Answer.APPROVE, "n": Answer.DENY, "no": Answer.DENY}
            if word.lower() in answers:
                return Decision(answer=answers[word.lower()], by=operator(), why=why.strip())


def terminal_approver() -> TerminalApprover | None:
    """An approver, if a person is at both ends of the terminal."""
    return TerminalApprover() if sys.stdin.isatty() and sys.stdout.isatty() else None
