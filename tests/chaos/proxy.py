"""A network that fails as it is told: connections pass through it and are cut at chosen bytes."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

#: A connection is cut behind so many bytes of the request and of the answer; `None`: not there.
Cut = tuple[int | None, int | None]


class Proxy:
    """Forwards each connection and cuts it where `where` says."""

    def __init__(self, url: str, where: Callable[[], Cut]) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._where = where
        self._lock = threading.Lock()
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with self._lock:
            of_request, of_answer = self._where()
        with near, contextlib.suppress(OSError), socket.create_connection(self._target) as far:
            there = threading.Thread(target=self._pump, args=(near, far, of_request), daemon=True)
            there.start()
            self._pump(far, near, of_answer)
            there.join()

    def _pump(self, source: socket.socket, sink: socket.socket, left: int | None) -> None:
        """Passes `left` bytes, then cuts both ways at once."""
        with contextlib.suppress(OSError):
            while left != 0:
                data = source.recv(65536 if left is None else min(left, 65536))
                if not data:
                    break
                sink.sendall(data)
                left = None if left is None else left - len(data)
        if left == 0:
            self.cuts += 1
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def of_answers(dice: random.Random, shortest: int, longest: int) -> Callable[[], Cut]:
    """Cuts every answer somewhere."""
    return lambda: (None, dice.randint(shortest, longest))
