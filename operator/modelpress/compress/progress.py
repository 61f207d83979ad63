"""GET /progress: what the child says it is doing. Served by the supervisor, so that tenants' code cannot block it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from modelpress.api.results import Progress

from .ending import START

PATH = "/progress"


class ProgressServer:
    """Serves the latest progress as JSON until it is left."""

    def __init__(self, port: int) -> None:
        self.latest = Progress(stage=START)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                """Answer /progress; anything else is not there."""
                found = self.path.partition("?")[0] == PATH
                body = outer.latest.model_dump_json(by_alias=True).encode() if found else b""
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Polls are not worth a line."""

        self.server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.2,), daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server.server_address[1])

    def __enter__(self) -> ProgressServer:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
