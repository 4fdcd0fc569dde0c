"""The only place that starts processes, and the one that makes sure that none is left."""

from muster.process.facts import MARKER
from muster.process.identity import Marked, is_alive, list_marked, start_time, this_owner
from muster.process.short import Completed, run, run_now
from muster.process.supervise import Activity, Command, Ended, Supervised, supervise, sweep_marker, take_over

__all__ = [
    "MARKER",
    "Activity",
    "Command",
    "Completed",
    "Ended",
    "Marked",
    "Supervised",
    "is_alive",
    "list_marked",
    "run",
    "run_now",
    "start_time",
    "supervise",
    "sweep_marker",
    "take_over",
    "this_owner",
]
