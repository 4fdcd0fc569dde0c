"""What the journal keeps of an agent's news, as events."""

from __future__ import annotations

from muster.model.journal import events as ev
from muster.ports import News

_LONGEST_ID = 200
_LONGEST_TEXT = 2000


def heard(task: str, attempt: int, news: News, session: str) -> ev.Event | None:
    """The event that a piece of news is; None for what only those who watch are told, or what is known already.

    >>> heard("T1", 2, News(kind="text", text="I look at the tests."), "")
    AgentSaid(task='T1', attempt=2, text='I look at the tests.')
    >>> heard("T1", 2, News(kind="session", text="s-1"), "s-1")
    """
    match news.kind:
        case "usage" if news.usage is not None:
            used = news.usage
            return ev.AgentUsed(
                task=task,
                attempt=attempt,
                input=used.input,
                output=used.output,
                cost_usd=used.cost_usd,
                model=used.model,
                cache_write=used.cache_write,
            )
        case "session" if news.text and news.text != session:
            return ev.SessionOpened(task=task, attempt=attempt, session=news.text[:_LONGEST_ID])
        case "permission":
            decision, policy = "allow" if news.ok else "deny", news.data.get("policy", "")
            return ev.PermissionAsked(task=task, attempt=attempt, tool=news.tool, decision=decision, policy=policy)
        case "text":
            return ev.AgentSaid(task=task, attempt=attempt, text=news.text[:_LONGEST_TEXT])
        case "notice" if not news.ok and news.text:
            return ev.AgentNoticed(task=task, attempt=attempt, text=news.text[:_LONGEST_TEXT])
        case "tool_ended":
            return ev.ToolCalled(task=task, attempt=attempt, tool=news.tool, ok=news.ok)
        case _:
            return None
