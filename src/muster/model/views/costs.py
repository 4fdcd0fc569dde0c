"""What attempts cost and what caches gave them, read from a journal; a price that nobody knows is never nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median

from muster.model.attempts import TOKENS, Ending, Usage, together
from muster.model.journal.entries import Entry
from muster.model.journal.events import AgentUsed, AttemptEnded, AttemptStarted, PlanAccepted, TaskPlanned, TaskQueued
from muster.model.plan import Task
from muster.model.record import Record
from muster.model.running.budget import MIN_HISTORY, nearest_rank
from muster.model.running.state import replace

_READ = frozenset(cls.type for cls in (AgentUsed, AttemptEnded, AttemptStarted, PlanAccepted, TaskPlanned, TaskQueued))
UNKNOWN = "unknown"

# Children that wrote less than the common beginning of a prompt must have read it from a cache of their siblings;
# those that wrote a whole one did not.
SHARED_AT_MOST = 1_500
UNSHARED_AT_LEAST = 3_500
MIN_CHILDREN = 3

# Rough dollars for a full run of some ten tasks, from below to above; the number of tasks scales them.
ESTIMATES: Mapping[str, tuple[float, float]] = {"economy": (2, 10), "balanced": (3, 14), "premium": (4, 15)}
ESTIMATED_TASKS = 10


class Charge(Record, frozen=True):
    """What one attempt of an agent used; ``silent`` says that it failed without a word and so used nothing."""

    run: str
    task: str
    attempt: int
    at: datetime
    phase: str
    agent: str
    model: str
    profile: str
    wave: int = 0
    usage: Usage = Usage()
    silent: bool = False

    @property
    def cost_usd(self) -> float | None:
        """What it cost; None when that is not known."""
        return 0.0 if self.silent else self.usage.cost_usd


class Spent(Record, frozen=True, omit_defaults=False):
    """What a group of attempts used; ``cost_usd`` is of those with a known price, None when there is none."""

    key: str
    attempts: int
    usage: Usage
    cost_usd: float | None
    unpriced: int

    @property
    def words(self) -> str:
        """The cost for people; what is not known is said."""
        if self.cost_usd is None:
            return UNKNOWN if self.unpriced else "nothing"
        known = f"{self.cost_usd:.4f} usd"
        return f"{known} + {self.unpriced} unknown" if self.unpriced else known


class CacheUse(Record, frozen=True, omit_defaults=False):
    """What caches did for a group of attempts; ``median_write`` is None when no agent of it tells."""

    key: str
    children: int
    cache_write: int
    cache_read: int
    median_write: float | None
    verdict: str


class ProfileCost(Record, frozen=True, omit_defaults=False):
    """What a run of a profile costs: ``low`` to ``high`` as an estimate, or p50 and p90 of ``n`` runs."""

    profile: str
    basis: str
    low: float | None
    high: float | None
    n: int = 0
    unpriced_runs: int = 0


def charges(entries: Iterable[Entry]) -> tuple[Charge, ...]:
    """Every attempt of an agent in the entries of one run, in the order of their starts; commands cost nothing."""
    found: dict[tuple[str, int], Charge] = {}
    tasks: dict[str, Task] = {}
    waves: dict[str, int] = {}
    profile = ""
    for entry in entries:
        match entry.event if entry.type in _READ else None:
            case PlanAccepted(policy=policy):
                profile = policy.profile
            case TaskPlanned(task=task):
                tasks[task.id] = task
            case TaskQueued() as queued:
                waves |= dict.fromkeys(queued.tasks, queued.wave)
            case AttemptStarted() as started if not tasks[started.task].is_command:
                found[started.task, started.attempt] = Charge(
                    run=entry.run,
                    task=started.task,
                    attempt=started.attempt,
                    at=entry.at,
                    phase=tasks[started.task].phase,
                    agent=started.agent or tasks[started.task].agent,
                    model=started.model,
                    profile=profile,
                    wave=waves.get(started.task, 0),
                )
            case (AgentUsed() | AttemptEnded()) as told if (told.task, told.attempt) in found:
                key = told.task, told.attempt
                found[key] = _told(found[key], told)
            case _:
                pass
    return tuple(found.values())


def spent_by(all_charges: Iterable[Charge], by: str) -> tuple[Spent, ...]:
    """The attempts grouped by phase, agent, model, task or profile, the dearest group first."""
    each = tuple(all_charges)
    several = len({one.run for one in each}) > 1
    whose: dict[str, Callable[[Charge], str]] = {
        "model": lambda one: one.usage.model or one.model or UNKNOWN,
        "task": lambda one: f"{one.run}/{one.task}" if several else one.task,
    }
    grouped = _grouped(each, whose.get(by, lambda one: str(getattr(one, by))))
    rows = [spent(key, group) for key, group in grouped.items()]
    return tuple(sorted(rows, key=lambda row: (-(row.cost_usd or 0.0), row.key)))


def spent(key: str, group: Sequence[Charge]) -> Spent:
    """What a group used together."""
    costs = [cost for one in group if (cost := one.cost_usd) is not None]
    return Spent(
        key=key,
        attempts=len(group),
        usage=together(one.usage for one in group),
        cost_usd=sum(costs) if costs else None,
        unpriced=len(group) - len(costs),
    )


def sharing(writes: Sequence[float]) -> str:
    """Whether children of a wave shared their caches, by the median of the tokens that each wrote to one.

    >>> [sharing(writes) for writes in ([1500, 0, 9000], [3500] * 3, [2000] * 3, [100, 100])]
    ['POSITIVE', 'NEGATIVE', 'INCONCLUSIVE', 'INCONCLUSIVE']
    """
    if len(writes) < MIN_CHILDREN:
        return "INCONCLUSIVE"
    middle = median(writes)
    return "POSITIVE" if middle <= SHARED_AT_MOST else "NEGATIVE" if middle >= UNSHARED_AT_LEAST else "INCONCLUSIVE"


def cache_by_wave(all_charges: Iterable[Charge]) -> tuple[CacheUse, ...]:
    """The children of each wave: the first attempts of its tasks."""
    first = [one for one in all_charges if one.attempt == 1]
    return tuple(_cache(key, group) for key, group in _grouped(first, lambda one: f"{one.run} wave {one.wave}").items())


def cache_by_phase(all_charges: Iterable[Charge]) -> tuple[CacheUse, ...]:
    """All attempts of each phase."""
    return tuple(_cache(key, group) for key, group in _grouped(all_charges, lambda one: one.phase).items())


def profile_cost(name: str, finished: Iterable[Sequence[Charge]], tasks: int = ESTIMATED_TASKS) -> ProfileCost:
    """What a run costs: measured where three finished runs of the profile have a known price, else a rough estimate.

    >>> profile_cost("economy", [], tasks=30)
    ProfileCost(profile='economy', basis='estimate', low=6.0, high=30.0, n=0, unpriced_runs=0)
    """
    runs = [spent(name, run) for run in finished if run and run[0].profile == name]
    known = [run.cost_usd for run in runs if run.cost_usd is not None and not run.unpriced]
    low, high = nearest_rank(known, 0.5), nearest_rank(known, 0.9)
    basis = "measured"
    if len(known) < MIN_HISTORY:
        rough = ESTIMATES.get(name)
        low, high = (one * tasks / ESTIMATED_TASKS for one in rough) if rough else (None, None)
        basis = "estimate" if rough else UNKNOWN
    return ProfileCost(
        profile=name, basis=basis, low=low, high=high, n=len(known), unpriced_runs=len(runs) - len(known)
    )


def _told(charge: Charge, told: AgentUsed | AttemptEnded) -> Charge:
    """The charge after more was told; totals only grow, so that what a cut-off attempt had told stays."""
    if isinstance(told, AgentUsed):
        names = ("input", "output", "cache_write")
        new = Usage(cost_usd=told.cost_usd, model=told.model, **{name: getattr(told, name) for name in names})
        silent = False
    else:
        new = told.outcome.usage
        failed = told.outcome.ending in (Ending.ERROR, Ending.INCOMPLETE)
        silent = failed and not (new.tokens or charge.usage.tokens) and new.cost_usd is None
    old = charge.usage
    costs = [usage.cost_usd for usage in (old, new) if usage.cost_usd is not None]
    usage = replace(
        new,
        **{name: max(getattr(old, name), getattr(new, name)) for name in TOKENS},
        cost_usd=max(costs, default=None),
        model=new.model or old.model,
    )
    return replace(charge, usage=usage, silent=silent and not costs)


def _cache(key: str, group: Sequence[Charge]) -> CacheUse:
    # An agent that tells of no cache at all says nothing about sharing one.
    telling = [one.usage for one in group if one.usage.cache_write or one.usage.cache_read]
    writes = [usage.cache_write for usage in telling]
    return CacheUse(
        key=key,
        children=len(telling),
        cache_write=sum(writes),
        cache_read=sum(usage.cache_read for usage in telling),
        median_write=median(writes) if writes else None,
        verdict=sharing(writes),
    )


def _grouped(all_charges: Iterable[Charge], key: Callable[[Charge], str]) -> dict[str, list[Charge]]:
    groups: dict[str, list[Charge]] = {}
    for one in all_charges:
        groups.setdefault(key(one), []).append(one)
    return groups
