"""A run as one static page: no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

from muster.model.journal.entries import Entry
from muster.model.quantities import format_size
from muster.model.running.state import RunState
from muster.model.views.costs import Spent
from muster.reports.views import run_view

_MOST_EVENTS = 2_000
_MOST_TEXT = 256 * 1024
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #ccc}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #e5e5e5}
th{font-weight:600;color:#555}td,th{vertical-align:top;overflow-wrap:anywhere}
pre{background:#f6f6f6;padding:.8rem;overflow:auto;max-height:32rem}code,pre{font-size:.85rem}
.done,.complete{color:#186a3b}.failed,.cancelled{color:#a11}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e4e4e4}pre{background:#222}
td,th{border-color:#333}h2{border-color:#555}th{color:#aaa}a{color:#8ab4f8}.done,.complete{color:#7fd69a}
.failed,.cancelled{color:#ff8a80}}
"""


def page(
    state: RunState,
    entries: Sequence[Entry],
    costs: Iterable[Spent],
    texts: Mapping[str, str],
    sizes: Mapping[str, int],
) -> str:
    """The page of a run; ``texts`` are shown in full under their titles, ``sizes`` are the files to link to."""
    view = run_view(state, live=False)
    title = str(view["title"] or view["slug"])
    facts = [(name, _fact(view[key])) for name, key in _FACTS.items() if view[key] not in ("", None, 0)]
    facts.append(("took", f"{(view['duration_ms'] or 0) / 1000:.1f} s"))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p>Run <code>{escape(state.run)}</code> is <b class="{escape(view["status"])}">{escape(view["status"])}</b>.'
        " This page is a copy of what its journal says.</p>",
        _table((), facts),
        "<h2>Tasks</h2>",
        _table(("task", "state", "wave", "agent", "attempts", "what went wrong"), _tasks(view["tasks"])),
        *_section("Decisions", ("question", "answer", "by", "why"), _gates(view["gates"])),
        "<h2>Costs</h2>",
        _table(("task", "attempts", "cost"), [(row.key, row.attempts, row.words) for row in costs]),
        *(f"<h2>{escape(name)}</h2><details open>{_pre(text)}</details>" for name, text in texts.items() if text),
        "<h2>Events</h2>",
        _more(len(entries)),
        _table(
            ("", "time (UTC)", "event", "data"),
            [(e.seq, f"{e.at:%H:%M:%S.%f}"[:-3], e.type, bytes(e.data).decode()[:500]) for e in entries[:_MOST_EVENTS]],
        ),
        "<h2>Files</h2><table>",
        *(
            f'<tr><td><a href="{escape(quote(name))}">{escape(name)}</a></td><td>{format_size(size)}</td></tr>'
            for name, size in sorted(sizes.items())
        ),
        "</table></body></html>",
    ]
    return "\n".join(parts) + "\n"


_FACTS = {
    "why": "reason",
    "plan": "plan",
    "project": "slug",
    "profile": "profile",
    "gates": "autonomy",
    "began at": "base",
    "branch": "target",
    "integrated as": "integration",
    "merged as": "main_commit",
    "goes on for": "continues",
    "started": "started_at",
    "ended": "ended_at",
    "resumed, times": "resumed",
    "entries": "entries",
}


def _fact(value: object) -> object:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value


def _tasks(tasks: Iterable[Mapping[str, object]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for task in tasks:
        attempts = task["attempts"]
        assert isinstance(attempts, list)
        wrong = "; ".join(f"{a['attempt']}: {a['cause']}: {a['error']}"[:500] for a in attempts if a["cause"])
        name = f"{task['id']} {task['title']}" if task["title"] not in ("", task["id"]) else task["id"]
        rows.append((name, task["status"], task["wave"], task["agent"], len(attempts), wrong or task["reason"]))
    return rows


def _gates(gates: Iterable[Mapping[str, object]]) -> list[tuple[object, ...]]:
    return [(one["question"] or one["boundary"], one["answer"] or "waiting", one["by"], one["why"]) for one in gates]


def _section(title: str, columns: Sequence[str], rows: list[tuple[object, ...]]) -> Iterable[str]:
    return (f"<h2>{title}</h2>", _table(columns, rows)) if rows else ()


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>" if body else "<p>None.</p>"


def _pre(text: str) -> str:
    cut = "\n… the rest is in the file\n" if len(text) > _MOST_TEXT else ""
    return f"<pre>{escape(text[:_MOST_TEXT] + cut)}</pre>"


def _more(count: int) -> str:
    return f"<p>The first {_MOST_EVENTS} of {count}; all are in events.jsonl.</p>" if count > _MOST_EVENTS else ""
