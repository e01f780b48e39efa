"""A server that answers as a test wants, with connections that are kept."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request, and the way to answer it."""

    method: str
    path: str
    headers: Any
    body: bytes
    write: Callable[[bytes], Any] = field(repr=False)

    def answer(self, status: int, body: str | bytes | dict[str, Any] = b"", **headers: str) -> None:
        """A whole answer."""
        if isinstance(body, dict):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        named = {"content-length": str(len(data)), **headers}
        lines = [f"HTTP/1.1 {status} x", *(f"{k.replace('_', '-')}: {v}" for k, v in named.items())]
        self.write(("\r\n".join(lines) + "\r\n\r\n").encode() + data)

    def events(self, *pieces: bytes) -> None:
        """The beginning of a stream, in these pieces."""
        self.write(b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            self.write(b"%x\r\n%s\r\n" % (len(piece), piece))


@dataclass
class Fake:
    """What was asked so far."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def count(self, method: str, ending: str) -> int:
        """Requests of this kind."""
        return sum(each.method == method and each.path.endswith(ending) for each in self.asked)


CLOSE = object()
"""Answer of a handler after which the connection is closed."""


@contextlib.contextmanager
def fake(handle: Callable[[Asked], Any]) -> Iterator[Fake]:
    """A server whose answers `handle` writes."""
    seen = Fake()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            seen.connections += 1

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = Asked(self.command, self.path, self.headers, body, self.wfile.write)
            seen.asked.append(asked)
            if handle(asked) is CLOSE:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    seen.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()


def works(asked: Asked) -> None:
    """A server on which everything succeeds at once."""
    if asked.method == "DELETE" or asked.method == "PUT":
        asked.answer(204)
    elif asked.path.endswith("/exec"):
        asked.answer(200, {"exit_code": 0, "stdout": "out", "stderr": "", "timed_out": False})
    elif asked.path.endswith("/usage"):
        asked.answer(200, {"total_sessions": 1, "total_vcpu_seconds": 2, "live_sandboxes": 0})
    elif asked.path.endswith("/cancel"):
        asked.answer(202, {"run_id": 7, "status": "failed"})
    elif "/runs" in asked.path and asked.method == "POST":
        asked.answer(202, {"run_id": 7, "status": "queued"})
    elif "/runs" in asked.path:
        ended = {"run_id": 7, "status": "completed", "step_count": 1, "pass_count": 1}
        asked.answer(200, ended)
    elif "/files" in asked.path:
        asked.answer(200, "content")
    else:
        status = "creating" if asked.method == "POST" else "ready"
        asked.answer(202, {"sandbox_id": "sb-1", "status": status})
