"""What an ACP agent used, from the several places where agents tell it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from muster.agents._dialect import count, items, mapping, text_of
from muster.agents.acp_words import tokens, usd
from muster.model.attempts import Usage
from muster.ports import News

_VAGUE_MODELS = ("default", "auto")


class Meter:
    """Tokens, money and model of one turn; ``spent`` is what the session had used before."""

    def __init__(self, spent: Usage) -> None:
        self._spent = spent
        self._full: list[int] = []
        self._full_before: int | None = None
        self._reported: bool | None = None
        self._usage = Usage()
        self._cost_usd: float | None = None

    def shows_work(self, calls: object, texts: object) -> bool:
        """Whether the turn shows that a model was asked: many agents call a turn ended when it could not be."""
        if self._reported is not None:
            return self._reported and bool(calls or texts)
        # A context that is as full after the answer as it was before holds no answer.
        unchanged = self._full_before is not None and set(self._full) == {self._full_before}
        return bool(calls or (texts and not unchanged))

    def answer_begins(self) -> None:
        """The first words of the answer come now."""
        if self._full:
            self._full_before = self._full[-1]

    def replayed(self, update: dict[str, Any]) -> None:
        """Take what the session had cost before, from an agent that plays it again."""
        self._spent = replace(self._spent, cost_usd=usd(update.get("cost")) or self._spent.cost_usd)

    def look_for_model(self, told: dict[str, Any]) -> None:
        """Take the model that a session says it is set to; who really answered is told later, if at all."""
        now = text_of(mapping(told.get("models")).get("currentModelId"))
        for option in items(told.get("configOptions")):
            if "model" in (option.get("category"), option.get("id")):
                now = text_of(option.get("currentValue"))
                break
        if now and now not in _VAGUE_MODELS:
            self._usage = replace(self._usage, model=now)

    def counted(self, update: dict[str, Any]) -> News:
        """Take what an agent tells between its messages."""
        self._full += [count(update.get("used"))] if count(update.get("used")) else []
        cost_usd = usd(update.get("cost"))
        self._cost_usd = self._cost_usd if cost_usd is None else cost_usd
        model = text_of(mapping(update.get("_meta")).get("_claude/model"))
        self._usage = replace(self._usage, model=model or self._usage.model)
        data = {"context_used": str(count(update.get("used"))), "context_size": str(count(update.get("size")))}
        return News(kind="usage", usage=self.used(), data=data)

    def take(self, result: dict[str, Any], *, acted: bool) -> None:
        """The tokens of the turn: a draft of the protocol has them in `usage`, Gemini in `_meta`."""
        quota = mapping(mapping(result.get("_meta")).get("quota"))
        used = mapping(result.get("usage")) or mapping(quota.get("token_count"))
        if used:
            self._usage = replace(tokens(used), model=self._usage.model)
            self._reported = any(
                (self._usage.input, self._usage.cache_read, self._usage.cache_write, self._usage.output)
            )
        elif "usage" in result and not acted:
            self._reported = False  # it would tell, and there is nothing to tell
        models = items(quota.get("model_usage"))
        if models:
            model = text_of(max(models, key=lambda one: tokens(mapping(one.get("token_count"))).input).get("model"))
            self._usage = replace(self._usage, model=model or self._usage.model)

    def used(self) -> Usage:
        """What the turn used so far."""
        if self._cost_usd is None:
            return self._usage
        # The protocol's cost is that of the whole session, unless the agent began to count anew.
        before = self._spent.cost_usd or 0.0
        cost_usd = round(self._cost_usd - before, 9) if self._cost_usd >= before else self._cost_usd
        return replace(self._usage, cost_usd=cost_usd, cost_source="reported")
