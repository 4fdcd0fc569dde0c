"""What of metrics and events may leave this machine: what is named here, and nothing else (CWE-212)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from muster.model.journal.entries import event_type
from muster.model.journal.events import Event
from muster.model.redaction import MASK, Redactor
from muster.model.running.state import replace
from muster.model.views.metric_snapshot import Family, HistogramPoint, Labels, MetricsSnapshot, Point
from muster.model.views.sketch import merge

Told = str | int | float | bool

_MASKED = MASK.decode()

# Names of labels whose values may be told; they are words of ours, of settings and of agents' protocols.
LABELS = frozenset(
    {"agent", "backend", "basis", "boundary", "cause", "channel", "class", "decision", "direction", "exporter"}
    | {"from", "kind", "level", "method", "mode", "model", "outcome", "overflow", "phase", "profile", "reason"}
    | {"result", "scope", "severity", "sink", "source", "state", "status", "to", "tool", "unit", "verdict", "workflow"}
)
RESOURCE = frozenset({"service.name", "service.version", "service.namespace", "service.instance.id"})

# Event type to the fields that may be told. Not among them: what people and agents wrote, paths, commands,
# commits, names of people and of their branches. Every type has its line, so that a new one is thought about.
FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "run.state": "state run_id session_id channel backend duration_ms source",
        "run.cancel": "source requested acknowledged latency_ms",
        "run.resumed": "from_seq",
        "run.released": "",
        "plan.accepted": "slug profile",
        "task.planned": "",
        "phase.started": "phase",
        "phase.finished": "phase profile profile_source model_used",
        "gate.asked": "gate boundary",
        "gate.answered": "gate answer",
        "gate.passed": "boundary by",
        "autonomy.transition": "before after by",
        "task.queued": "wave",
        "task.attempt_started": "task attempt agent model",
        "task.attempt_ended": "task attempt",
        "task.audited": "task attempt ok changed path_count",
        "task.merged": "task attempt",
        "task.merge_failed": "task attempt",
        "task.retry_scheduled": "task attempt due delay_ms",
        "task.succeeded": "task",
        "task.failed": "task",
        "task.cancel_requested": "task source requested",
        "task.skipped": "task",
        "deadletter.added": "task attempts",
        "deadletter.requeued": "task",
        "deadletter.dropped": "task",
        "wave.finished": "wave ok",
        "work.salvaged": "task attempt",
        "process.swept": "task attempt",
        "main.merge_started": "",
        "main.merged": "",
        "main.merge_blocked": "",
        "main.undone": "",
        "command.refused": "kind",
        "config.resolved": "",
        "agent.used": "task attempt input output cost_usd model",
        "agent.said": "task attempt",
        "agent.noticed": "task attempt",
        "agent.session_opened": "task attempt session",
        "task.told": "task",
        "agent.tool_called": "task attempt tool ok",
        "agent.permission_asked": "task attempt tool decision",
        "budget.exceeded": "scope level unit limit spent reserved",
        "budget.limit_set": "scope unit limit",
        "budget.reserved": "task attempt cost_usd tokens basis",
        "budget.settled": "task attempt cost_usd tokens",
        "export.failed": "exporter failures",
        "heartbeat.level_changed": "task attempt before after elapsed_ms",
        "heartbeat.lost": "task attempt ticks elapsed_ms",
        "notification.sent": "severity kind",
        "reaction.match": "rule_name channel",
        "reaction.skip": "reason candidate_count",
        "review.finished": "verdict reviewed_files_count mode duration_ms round",
    }.items()
}

# Spans that agents make themselves and that are worth telling: by name, or by the conventions' operation.
AGENT_SPANS = frozenset(
    {"claude_code.interaction", "claude_code.llm_request", "claude_code.tool", "claude_code.tool.blocked_on_user"}
    | {"claude_code.tool.execution", "claude_code.hook"}
    # Codex: its turn, a call of the model, and the answer that tells what the call used.
    | {"session_task.turn", "codex.sampling", "handle_responses"}
)
AGENT_OPERATIONS = frozenset(
    {"chat", "create_agent", "embeddings", "execute_tool", "generate_content", "invoke_agent", "text_completion"}
)
# Attributes of theirs that may be told, and the names they are told by; not among them what was asked and answered,
# paths, commands, and who somebody is.
AGENT_ATTRIBUTES = {
    **{name: f"gen_ai.{name.partition('.')[2]}" for name in ("gen_ai.operation.name", "gen_ai.tool.name")},
    **dict.fromkeys(("gen_ai.system", "gen_ai.provider.name"), "gen_ai.provider.name"),
    **dict.fromkeys(("model", "gen_ai.request.model", "gen_ai.response.model"), "gen_ai.request.model"),
    "tool_name": "gen_ai.tool.name",
    "error.type": "error.type",
    **{name: f"muster.agent.{name}" for name in ("attempt", "decision", "duration_ms", "stop_reason", "success")},
    **{name: f"muster.agent.{name}" for name in ("status_code", "ttft_ms")},
}
# A name or a number; whatever has a space in it could be anything.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@\[\]-]{0,127}")


def disclosed_event(event: Event, redactor: Redactor) -> dict[str, Told]:
    """The fields of an event that may be told, as plain values; what is empty is left out.

    >>> from muster.model.journal.events import AgentSaid
    >>> disclosed_event(AgentSaid(task="T1", attempt=2, text="I read ~/notes"), Redactor())
    {'attempt': 2, 'task': 'T1'}
    """
    told: dict[str, Told] = {}
    for name in sorted(FIELDS.get(event_type(event), ())):
        value = getattr(event, name)
        value = value.value if isinstance(value, Enum) else value
        if isinstance(value, bool | int | float):
            told[name] = value
        elif value:
            told[name] = redactor(str(value))
    return told


def disclosed_attributes(told: Mapping[str, Told], redactor: Redactor | None = None) -> dict[str, Told]:
    """Attributes of an agent's own span that may be told, by our names for them.

    >>> disclosed_attributes({"model": "opus-5", "tool_name": "run my script", "user.email": "a@b", "success": True})
    {'gen_ai.request.model': 'opus-5', 'muster.agent.success': True}
    """
    clean = redactor or Redactor()
    return {
        AGENT_ATTRIBUTES[name]: clean(value) if isinstance(value, str) else value
        for name, value in told.items()
        if name in AGENT_ATTRIBUTES and (not isinstance(value, str) or _WORD.fullmatch(value))
    }


def disclosed(snapshot: MetricsSnapshot, redactor: Redactor) -> MetricsSnapshot:
    """A snapshot as others may see it: a label that is not named here keeps its name and loses its value."""
    return MetricsSnapshot(
        started=snapshot.started,
        taken=snapshot.taken,
        families=tuple(_family(family, redactor) for family in snapshot.families),
        resource={name: redactor(value) for name, value in snapshot.resource.items() if name in RESOURCE},
    )


def _family(family: Family, redactor: Redactor) -> Family:
    """Series that are no longer told apart become one."""
    values: dict[Labels, float] = {}
    for point in family.points:
        labels = _labels(point.labels, redactor)
        values[labels] = point.value + (values.get(labels, 0.0) if family.kind == "counter" else 0.0)
    groups: dict[Labels, list[HistogramPoint]] = {}
    for histogram in family.histograms:
        groups.setdefault(_labels(histogram.labels, redactor), []).append(histogram)
    return replace(
        family,
        points=tuple(Point(labels=labels, value=value) for labels, value in values.items()),
        histograms=tuple(replace(merge(same), labels=labels) for labels, same in groups.items()),
    )


def _labels(labels: Labels, redactor: Redactor) -> Labels:
    return tuple((name, redactor(value) if name in LABELS else _MASKED) for name, value in labels)
