"""What is handed to the exporters when a foreground run stops, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote

import anyio.to_thread

from muster import __version__
from muster.model.errors import InputError, MusterError
from muster.model.journal.events import ExportFailed
from muster.model.redaction import Redactor, secret_values
from muster.model.running.state import RunState, replace
from muster.ports import Clock, Destination, Exporter, Store
from muster.telemetry.composite import CompositeExporter
from muster.telemetry.replay import Replay, beginning
from muster.telemetry.spans import Span, spans_of


async def hand_over(
    exporters: Sequence[Exporter],
    project: Path,
    store: Store,
    clock: Clock,
    state: RunState,
    environ: Mapping[str, str],
    received: Sequence[Span] = (),
) -> tuple[ExportFailed, ...]:
    """Give the metrics of all runs, and the spans of this one if it has ended; returns what failed.

    What agents sent of their own, ``received``, is handed on in any case, as nobody has it but this process.

    The metrics are those of the whole journal: numbers that began again with
    each run could not be added up by whoever reads them.
    """
    failures: list[ExportFailed] = []
    redact = Redactor(secret_values(environ))
    composite = CompositeExporter(exporters, clock.monotonic, failures.append, redact)
    resource = resource_of(project)
    try:
        own = spans_of(await store.read(state.run), redact) if state.ended else ()
        composite.export_spans((*own, *received), resource)
        replay = Replay(await beginning(store, clock))
        await replay.catch_up(store)
        composite.export(replace(replay.snapshot(), resource=resource))
    except MusterError as error:
        # Another run's journal may be damaged; that is no reason for this one to fail.
        failures.append(ExportFailed(exporter=composite.name, reason=error.message))
    finally:
        await anyio.to_thread.run_sync(composite.close)
    return tuple(failures)


def resource_of(project: Path) -> dict[str, str]:
    """Who tells the metrics: the same for all runs of a project, without its path."""
    instance = sha256(str(project).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return {"service.name": "muster", "service.version": __version__, "service.instance.id": instance}


def destination_of(folder: str, endpoint: str, environ: Mapping[str, str], *, private: bool) -> Destination:
    """Where exporters send to; headers come from the environment alone."""
    headers = environ.get("MUSTER_OTEL_HEADERS") or environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    return Destination(textfile_dir=folder, endpoint=endpoint, headers=parse_headers(headers), allow_private=private)


def parse_headers(text: str) -> dict[str, str]:
    """Headers as OTEL_EXPORTER_OTLP_HEADERS has them: pairs between commas, values percent-encoded.

    >>> parse_headers("x-team=core, authorization=Basic%20abc=")
    {'x-team': 'core', 'authorization': 'Basic abc='}

    Raises:
        InputError: a pair has no name or no value; the message does not show it.
    """
    headers = {}
    for number, pair in enumerate((part for part in text.split(",") if part.strip()), 1):
        name, equals, value = pair.strip().partition("=")
        if not equals or not name.strip():
            raise InputError(f"The headers for OTLP: pair {number} must be name=value.")
        headers[name.strip()] = unquote(value.strip())
    return headers
