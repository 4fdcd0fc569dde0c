"""Where notifications go: a file, a terminal's bell, a web hook."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from muster.model.redaction import Redactor
from muster.model.views.notifications import Notice
from muster.outbound import post
from muster.ports import NoticeSink

NOTICES = "notifications.jsonl"
_TIMEOUT_S = 5.0


def notice_sinks(
    file: Path | None, redact: Redactor, *, bell: bool, webhook: str, allow_private: bool
) -> tuple[NoticeSink, ...]:
    """The sinks that are asked for; what they keep or send has no secret."""
    sinks: list[NoticeSink] = [FileSink(file, redact)] if file is not None else []
    if bell:
        sinks.append(BellSink())
    if webhook:
        sinks.append(WebhookSink(webhook, redact, allow_private=allow_private))
    return tuple(sinks)


class FileSink:
    """One JSON object a line, in a file that only this user can read."""

    name = "jsonl"

    def __init__(self, path: Path, redact: Redactor) -> None:
        self._path, self._redact = path, redact

    def tell(self, notice: Notice, at: datetime) -> None:
        """Append the notification as one write, so that several processes can share the file."""
        line = msgspec.json.encode(_as_object(notice, at, self._redact)) + b"\n"
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


class BellSink:
    """Rings the terminal's bell; silent where the standard error is no terminal."""

    name = "bell"

    def tell(self, notice: Notice, at: datetime) -> None:
        """Ring once."""
        if sys.stderr.isatty():
            sys.stderr.write("\a")
            sys.stderr.flush()


class WebhookSink:
    """Posts one JSON object to an address; its ``text`` alone says enough for a chat."""

    name = "webhook"

    def __init__(self, url: str, redact: Redactor, *, allow_private: bool) -> None:
        self._url, self._redact = url, redact
        self._allow_private = allow_private

    def tell(self, notice: Notice, at: datetime) -> None:
        """Post the notification."""
        body = msgspec.json.encode(_as_object(notice, at, self._redact))
        headers = {"Content-Type": "application/json"}
        post(self._url, body, headers, timeout_s=_TIMEOUT_S, allow_private=self._allow_private)


def _as_object(notice: Notice, at: datetime, redact: Redactor) -> dict[str, Any]:
    told = {
        "at": at,
        "id": notice.id,
        "severity": notice.severity,
        "kind": notice.kind,
        "text": notice.text,
        "run": notice.run,
        "task": notice.task,
        "answer": notice.answer,
    }
    return {name: redact(value) if isinstance(value, str) else value for name, value in told.items()}
