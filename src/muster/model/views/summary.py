"""How runs went: a pure fold over what a log tells, the same numbers for the same lines."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from math import isfinite

from muster.model.plan import chosen
from muster.model.record import Record
from muster.model.views.tally import NANO, Tally
from muster.model.views.told import Facts, Told

UNKNOWN = "unknown"
CLI, GATEWAY = "cli", "gateway"
# More sessions than this are counted as one, and more open runs as ended without a word, so that memory has a bound.
MOST_SESSIONS, OTHERS = 20_000, "(others)"
MOST_OPEN = 20_000
# How often runs came to each of these states, in this order.
STATES: dict[str | None, int] = {"start": 0, "complete": 1, "error": 2, "cancelled": 3}
Row = list[int]


class Query(Record, frozen=True):
    """Which runs and which time are asked about; ``gateway`` is every channel but the command line."""

    since: datetime | None = None
    until: datetime | None = None
    channel: str = ""
    session: str = ""
    backend: str = ""

    def takes(self, channel: str, session: str, backend: str) -> bool:
        """Whether a run, or a decision about a message, is asked about."""
        return (
            (not self.channel or channel == self.channel or (self.channel == GATEWAY and channel not in (CLI, "")))
            and (not self.session or session == self.session)
            and (not self.backend or self.backend in backend.split(","))
        )

    def holds(self, at: datetime | None) -> bool:
        """Whether a time is asked about; what has none is not, once a time is asked for."""
        if self.since is None and self.until is None:
            return True
        if at is None or (self.since is not None and at < self.since):
            return False
        return self.until is None or at < self.until


class _Run:
    """What is remembered of a run until it has ended; most need little of it, so that is made when it is needed."""

    session = channel = backend = ""
    phase, profile = "execute", UNKNOWN
    cancelled_at: datetime | None = None
    states: tuple[int, ...] = ()
    # Agent and model by task.
    tasks: dict[str, tuple[str, str]] | None = None

    def __init__(self, tally: Tally) -> None:
        self.tally = tally


class Summing:
    """Takes lines in, one after the other; what it holds does not grow with their number."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.tally = Tally()
        self.channels: dict[str, Row] = {}
        self.sessions: dict[str, Row] = {}
        self.backends: set[str] = set()
        self.entries = self.unreadable = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.last_cancel: datetime | None = None
        self._runs: dict[str, _Run] = {}
        self._known: set[str] = set()
        self._anytime = query.since is None and query.until is None
        self._any_run = not (query.channel or query.session or query.backend)
        self._fold = {
            "run.state": self._state,
            "run.cancel": self._cancel,
            "reaction.match": self._match,
            "reaction.skip": self._skip,
            "plan.accepted": self._plan,
            "phase.started": self._phase,
            "task.attempt_started": self._attempt,
            "task.attempt_ended": self._cost,
            "task.retry_scheduled": self._retry,
            "deadletter.added": self._dead,
        }

    def take(self, lines: Iterable[Told | None]) -> None:
        """Take in what these lines tell."""
        first, last, fold, anytime = self.first, self.last, self._fold.get, self._anytime
        entries = unreadable = 0
        for line in lines:
            entries += 1
            if line is None:
                continue
            facts = line.data
            if facts is None or not line.type:
                unreadable += 1
                continue
            at = line.at
            counts = anytime or self.query.holds(at)
            if counts and at is not None:
                if last is None or first is None:
                    first = last = at
                elif at > last:
                    last = at
                elif at < first:
                    first = at
            if step := fold(line.type):
                run_id = facts.run_id or line.run
                step(run_id, facts, at, counts)
                if not run_id and "" in self._runs:
                    # Nothing says which other lines belong to it.
                    self._close("")
        self.first, self.last = first, last
        self.entries += entries
        self.unreadable += unreadable

    def finish(self) -> None:
        """Count the runs that have not ended."""
        while self._runs:
            self._close(next(iter(self._runs)))

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            if len(self._runs) >= MOST_OPEN:
                self._close(next(iter(self._runs)))
            # Where all runs are asked about, nothing has to be kept until it is known whose it is.
            self._runs[run_id] = _Run(self.tally if self._any_run else Tally())
        return self._runs[run_id]

    def _state(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        run = self._runs.get(run_id) or self._run(run_id)
        if facts.session_id:
            run.session = facts.session_id
        if facts.channel:
            run.channel = facts.channel
        if facts.backend:
            run.backend = facts.backend
        state = STATES.get(facts.state)
        if state is None:
            return
        if counts:
            run.states += (state,)
            if facts.duration_ms is not None and isfinite(facts.duration_ms):
                run.tally.durations.add(facts.duration_ms)
        if state:
            self._close(run_id)

    def _cancel(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        run = self._runs.get(run_id) or self._run(run_id)
        if counts:
            run.tally.count(("cancel", facts.source or UNKNOWN))
            run.cancelled_at = at
            if facts.latency_ms is not None and isfinite(facts.latency_ms):
                run.tally.cancels.add(facts.latency_ms)

    def _match(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        if counts and (self._any_run or self._decided(facts)):
            self.tally.count(("match", facts.rule_name or UNKNOWN))

    def _skip(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        if counts and (self._any_run or self._decided(facts)):
            self.tally.count(("skip", facts.reason or UNKNOWN))

    def _decided(self, facts: Facts) -> bool:
        return self.query.takes(facts.channel or "", facts.session_id or "", facts.backend or "")

    def _plan(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        run = self._run(run_id)
        run.profile = (facts.policy and facts.policy.profile) or run.profile

    def _phase(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        run = self._run(run_id)
        run.phase = facts.phase or run.phase

    def _attempt(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        run = self._run(run_id)
        if run.tasks is None:
            run.tasks = {}
        agent = chosen(facts.agent or "command").name
        run.tasks[facts.task or ""] = (agent, facts.model or "")
        if counts:
            run.tally.count(("attempts", ""))

    def _retry(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        if counts:
            self._run(run_id).tally.count(("retries", ""))

    def _dead(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        if counts:
            self._run(run_id).tally.count(("dead", facts.reason or UNKNOWN))

    def _cost(self, run_id: str, facts: Facts, at: datetime | None, counts: bool) -> None:
        usage = facts.outcome.usage if facts.outcome is not None else None
        if not counts or usage is None or not usage.cost_usd or not isfinite(usage.cost_usd * NANO):
            return
        run, nano = self._run(run_id), round(usage.cost_usd * NANO)
        run.tally.count(("cost by phase", run.phase), nano)
        _, asked = (run.tasks or {}).get(facts.task or "", ("", ""))
        run.tally.count(("cost by model", usage.model or asked or UNKNOWN), nano)
        run.tally.count(("cost by profile", run.profile), nano)

    def _close(self, run_id: str) -> None:
        run = self._runs.pop(run_id)
        backend = run.backend or ",".join(sorted({agent for agent, _ in (run.tasks or {}).values()}))
        if run.states and not run.channel:
            # What an entry leaves out is its default.
            run.channel = CLI
        if not (self._any_run or self.query.takes(run.channel, run.session, backend)):
            return
        if backend not in self._known and (run.states or self._anytime):
            self._known.add(backend)
            self.backends.update(filter(None, backend.split(",")))
        if run.tally is not self.tally:
            self.tally.add(run.tally)
        if run.cancelled_at is not None and (self.last_cancel is None or run.cancelled_at > self.last_cancel):
            self.last_cancel = run.cancelled_at
        if run.states:
            by_channel = self.channels.get(run.channel) or self._row(self.channels, run.channel)
            by_session = self._row(self.sessions, run.session)
            for state in run.states:
                by_channel[state] += 1
                by_session[state] += 1

    @staticmethod
    def _row(table: dict[str, Row], name: str) -> Row:
        name = name or UNKNOWN
        if name not in table and len(table) >= MOST_SESSIONS:
            name = OTHERS
        return table.get(name) or table.setdefault(name, [0, 0, 0, 0])
