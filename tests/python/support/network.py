"""Networks that fail: a proxy that cuts connections, and a server that answers as it is told."""

from __future__ import annotations

import contextlib
import random
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit


class CuttingProxy:
    """Cuts every connection after a random number of bytes of the answer."""

    def __init__(self, url: str, seed: int, shortest: int, longest: int) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._random = random.Random(seed)
        self._bounds = (shortest, longest)
        self.cuts = 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._carry(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _carry(self, near: socket.socket) -> None:
        left = self._random.randint(*self._bounds)
        with contextlib.suppress(OSError), socket.create_connection(self._target) as far:
            threading.Thread(target=_pump, args=(near, far), daemon=True).start()
            while left > 0 and (data := far.recv(min(left, 65536))):
                near.sendall(data)
                left -= len(data)
        if left == 0:
            self.cuts += 1

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def answer(status: int, body: str, *headers: str, length: int | None = None) -> bytes:
    """One HTTP answer; `length` announces another length than that of the body."""
    size = len(body.encode()) if length is None else length
    lines = [f"HTTP/1.1 {status} x", f"content-length: {size}", "connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@contextlib.contextmanager
def scripted(
    reply: Callable[[int, bytes], bytes | None], holding: threading.Event | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers the nth request as told; `None` closes the connection without a word.

    Yields its URL and the list of the requests' heads. With `holding` connections stay open behind
    the answer, until that is set.
    """
    heads: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while line := self.rfile.readline().strip():
                head += line + b"\n"
            if not head:
                return
            heads.append(head)
            said = reply(len(heads), head)
            if said is not None:
                self.wfile.write(said)
            if holding is not None:
                holding.wait(60)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heads
    finally:
        server.shutdown()
        server.server_close()
