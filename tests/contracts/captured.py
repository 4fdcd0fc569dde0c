"""Streams of real programs, captured once, and how to play them to a dialect's parser."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from muster.model.attempts import Outcome, Usage
from muster.ports import Agent, Exit, News
from tests.contracts.agent_contract import spec_for

DATA = Path(__file__).parent.parent / "data" / "agents"


class Played:
    """What a dialect made of one stream."""

    def __init__(self, news: list[News], outcome: Outcome, unknown: int) -> None:
        self.news = news
        self.unknown = unknown
        self.outcome = outcome
        self.kinds = Counter(one.kind for one in news)

    @property
    def cause(self) -> str:
        return self.outcome.failure.cause.value if self.outcome.failure else ""

    def texts(self, kind: str) -> list[str]:
        return [one.text for one in self.news if one.kind == kind]


def captured(program: str, case: str) -> tuple[list[bytes], bytes]:
    """The lines of a captured case and the end of its stderr."""
    errors = DATA / program / f"{case}.stderr"
    lines = (DATA / program / f"{case}.stdout").read_bytes().split(b"\n")
    return [line for line in lines if line], errors.read_bytes() if errors.exists() else b""


def play(agent: Agent, lines: list[bytes], exit: Exit, stderr: bytes = b"", **spec: object) -> Played:
    """Feed the lines to a new parser and finish."""
    parser = agent.parser(agent.launch(spec_for(**spec)))
    news = [one for line in lines for one in parser.feed(line)]
    return Played(news, parser.finish(exit, stderr), getattr(parser, "unknown", 0))


def tokens(usage: Usage) -> tuple[int, int, int, int, int]:
    """Input, read from the cache, written to it, output, and how much of it was reasoning."""
    return usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning
