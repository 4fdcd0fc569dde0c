"""Takes the telemetry that agents send of their own accord, on loopback and while a run is driven."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from muster.model.attempts import Usage
from muster.model.journal.correlation import Correlation
from muster.model.redaction import Redactor, secret_values
from muster.telemetry.received import Account, from_json, from_protobuf
from muster.telemetry.spans import Span

HOST = "127.0.0.1"
MOST_BODY_BYTES = 1024 * 1024
# What is too big is read on for a while, since a program that is cut off tries again instead of hearing why.
MOST_READ_BYTES = 8 * MOST_BODY_BYTES
MOST_CONNECTIONS = 32
# Of a whole run; one request has to hold them when they are handed on.
MOST_SPANS = 5000
TIMEOUT_S = 5.0
_PIECE = 64 * 1024
_LONGEST_LINE = 1024
_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
_SIGNALS = ("traces", "metrics", "logs")

LOG = logging.getLogger(__name__)


class Receiver:
    """Gives each attempt an address of its own; whatever is sent there may cost telemetry and never the run."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._redact = Redactor(secret_values(environ))
        self._messages = _messages()
        # So that however much is sent, the run never has more than one thread beside it that computes.
        self._reading = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._tokens: dict[str, str] = {}
        self._spans: list[Span] = []
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen on a port that the system chooses; without one there is no such telemetry."""
        try:
            self._server = _Server(self)
        except OSError as error:
            LOG.warning("Telemetry of agents is not received: %s", error)
            return
        self._server.accepting.start()

    def close(self) -> None:
        """Stop listening; no connection and no thread is left."""
        if self._server is not None:
            self._server.end()
        self._server = None

    def admit(self, attempt: str, belongs: Correlation) -> dict[str, str]:
        """Variables that make a program send it what it has to tell; none while nobody listens."""
        if self._server is None:
            return {}
        # In the path, as a header would be one more credential to hand out.
        token = secrets.token_urlsafe(24)
        self._tokens[attempt] = token
        self._accounts[token] = Account(belongs, self._redact)
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{self._server.server_port}/{token}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf" if self._messages else "http/json",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
        }

    def dismiss(self, attempt: str) -> Usage:
        """Take nothing more for an attempt, and say what it told that it used; nothing when asked again."""
        account = self._accounts.pop(self._tokens.pop(attempt, ""), None)
        if account is None:
            return Usage()
        # Requests that wait find no account any more, so this waits for one at the most.
        with account.lock:
            spans, used = account.spans(), account.used()
        if len(self._spans) + len(spans) > MOST_SPANS:
            LOG.warning("Telemetry: the run's agents sent more than %d spans; the rest is dropped.", MOST_SPANS)
        self._spans += spans[: MOST_SPANS - len(self._spans)]
        return used

    def take_spans(self) -> tuple[Span, ...]:
        """The spans of attempts that are over, once."""
        spans, self._spans = tuple(self._spans), []
        return spans

    def answer(self, path: str, kind: str, body: bytes) -> int:
        """Take a request's body; returns the status to answer with."""
        token, _, signal = path.removeprefix("/").partition("/v1/")
        account = self._accounts.get(token)
        if account is None or signal not in _SIGNALS:
            return 404
        if kind != _JSON and not (kind == _PROTOBUF and self._messages):
            return 415
        try:
            with self._reading:
                request = from_json(body) if kind == _JSON else from_protobuf(body, self._messages[signal])
                with account.lock:
                    if token in self._accounts:
                        account.take(request)
        except Exception as error:
            # Whatever a program sends, it is told so and nobody else has to care.
            LOG.debug("Telemetry of an agent cannot be read: %s", type(error).__name__)
            return 400
        return 200


class _Server(ThreadingHTTPServer):
    """One thread that accepts and one for each connection, all of which `end` waits for."""

    daemon_threads = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, receiver: Receiver) -> None:
        super().__init__((HOST, 0), _Handler)
        self.receiver = receiver
        self._open: set[Any] = set()
        self.accepting = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="telemetry receiver", daemon=True
        )

    def end(self) -> None:
        self.shutdown()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self.accepting.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        if len(self._open) > MOST_CONNECTIONS:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "muster", ""
    timeout = TIMEOUT_S

    def do_POST(self) -> None:
        kind = self.headers.get_content_type()
        try:
            body = self._body()
        except ValueError:
            status = 400
        else:
            encoded = self.headers.get("Content-Encoding", "identity") != "identity"
            status = 413 if body is None else 415 if encoded else self.server.receiver.answer(self.path, kind, body)
        # An empty message, which is the official answer, is no byte of protobuf.
        told = b"{}" if kind == _JSON else b""
        self.send_response(status)
        self.send_header("Content-Type", kind if kind == _PROTOBUF else _JSON)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: an export every few seconds is no news, and its path holds a token."""

    def _body(self) -> bytes | None:
        """The whole body; None if it is too big, ValueError if it is none."""
        body, size = bytearray(), 0
        for piece in self._pieces():
            size += len(piece)
            if size > MOST_READ_BYTES:
                return None
            if size <= MOST_BODY_BYTES:
                body += piece
        return bytes(body) if size <= MOST_BODY_BYTES else None

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield from self._exactly(int(self.headers.get("Content-Length", "-1")))
            return
        # Node's exporters, and so Claude Code, do not say how long a body is.
        while length := int(self.rfile.readline(_LONGEST_LINE).partition(b";")[0], 16):
            yield from self._exactly(length)
            self.rfile.readline(_LONGEST_LINE)
        self.rfile.readline(_LONGEST_LINE)

    def _exactly(self, length: int) -> Iterator[bytes]:
        if length < 0:
            raise ValueError("a length below zero")
        while length:
            piece = self.rfile.read(min(length, _PIECE))
            if not piece:
                raise ValueError("the body ended early")
            length -= len(piece)
            yield piece


def _messages() -> dict[str, Any]:
    """The official messages by signal; none without the extra that brings them."""
    try:
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        return {}
    return {
        "traces": ExportTraceServiceRequest,
        "metrics": ExportMetricsServiceRequest,
        "logs": ExportLogsServiceRequest,
    }
