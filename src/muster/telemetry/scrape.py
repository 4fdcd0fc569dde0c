"""A page of metrics for Prometheus to read, on this machine alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import anyio.to_thread
from anyio.from_thread import BlockingPortal

from muster.model.errors import EnvironmentProblem
from muster.telemetry.prometheus_text import CONTENT_TYPE

HOST = "127.0.0.1"
# A page elsewhere that made a browser take its own name for this machine's still sends that name.
OWN_NAMES = frozenset({HOST, "localhost"})

Read = Callable[[], Awaitable[str]]


async def serve(port: int, read: Read, ready: Callable[[str], None]) -> None:
    """Answer ``GET /metrics`` with what ``read`` says at that moment, until cancelled; ``ready`` gets the address.

    Raises:
        EnvironmentProblem: the port is taken.
    """
    async with BlockingPortal() as portal:
        try:
            server = ThreadingHTTPServer((HOST, port), _handler(lambda: portal.call(read)))
        except OSError as error:
            raise EnvironmentProblem(
                f"Port {port} of {HOST} cannot be used: {error.strerror}.", hint="Take another one with --port."
            ) from None
        server.daemon_threads = True
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: anyio.to_thread.run_sync(server.serve_forever), name="scrape")
            try:
                ready(f"http://{HOST}:{server.server_port}/metrics")
                await anyio.sleep_forever()
            finally:
                server.shutdown()
                server.server_close()


def _handler(text: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "muster", ""
        timeout = 10

        def do_GET(self) -> None:
            if self.headers.get("Host", "").rpartition(":")[0] not in OWN_NAMES:
                self.send_error(403)
            elif self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
            else:
                self._tell()

        def _tell(self) -> None:
            try:
                body = text().encode()
            except (Exception, CancelledError):
                self.send_error(500)
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a scrape every few seconds is no news."""

    return Handler
