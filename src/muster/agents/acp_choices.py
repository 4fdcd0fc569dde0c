"""What an ACP session lets its peer choose: mode, model, how hard it thinks."""

from __future__ import annotations

from typing import Any, NamedTuple

from muster.agents.acp_guard import as_list, as_object


class Choice(NamedTuple):
    """One thing to choose: the values, the present one, and the request that sets ``name`` to another."""

    offered: tuple[str, ...]
    now: object
    method: str
    name: str
    params: dict[str, Any]


def choice_of(session: dict[str, Any], what: str) -> Choice | None:
    """What a session says can be chosen; None when nothing can.

    >>> modes = {"currentModeId": "ask", "availableModes": [{"id": "ask"}, {"id": "plan"}]}
    >>> choice_of({"modes": modes}, "mode")
    Choice(offered=('ask', 'plan'), now='ask', method='session/set_mode', name='modeId', params={})
    """
    options = as_list(session.get("configOptions"))
    option = next((one for one in options if what in (one.get("category"), one.get("id"))), None)
    if option is not None:
        groups = as_list(option.get("options"))
        values = [one for group in groups for one in (as_list(group.get("options")) or [group])]
        offered = tuple(str(one.get("value")) for one in values)
        params = {"configId": option.get("id")}
        return Choice(offered, option.get("currentValue"), "session/set_config_option", "value", params)
    # As it was before there were options, and still is for many.
    had = as_object(session.get(f"{what}s"))
    if what not in ("mode", "model") or not had:
        return None
    name = f"{what}Id"
    key = "id" if what == "mode" else name
    offered = tuple(str(one.get(key)) for one in as_list(had.get(f"available{what.title()}s")))
    return Choice(offered, had.get(f"current{what.title()}Id"), f"session/set_{what}", name, {})
