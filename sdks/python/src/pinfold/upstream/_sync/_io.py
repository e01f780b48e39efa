"""What has to be written differently with and without async; `_async/_io.py` is the counterpart."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import httpx

from pinfold._core.connections import hang_up

from .. import _errors as errors
from .._errors import UpstreamError

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPTS = (KeyboardInterrupt, SystemExit)
"""What ends a wait from outside."""

Lock = threading.RLock


def finish(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Does this to its end."""
    return work(*args, **kwargs)


class Connection:
    """The connection of a streamed answer."""

    def __init__(self, response: httpx.Response, lost: deque[Connection]) -> None:
        self._response = response
        self._pieces = response.iter_bytes()
        self._lost = lost
        self._process = os.getpid()
        # Held while somebody reads.
        self._reading = threading.Lock()
        self.closed = False
        """Nobody wants more of it."""
        # The library may have given the connection to another request by now.
        self._over = False

    def read(self) -> bytes | UpstreamError | None:
        """The next piece, ``None`` at the end, or why there is none."""
        if self._is_inherited():
            return UpstreamError("the stream belongs to the process that was forked")
        with self._reading:
            piece = _piece(self._pieces)
            self._over = not isinstance(piece, bytes)
            return piece

    def close(self) -> None:
        """Hangs up. Doing it again is harmless.

        Finalizers and signal handlers call this, perhaps in a thread that is amid the library's own
        work on its connections. So it waits for no lock, and leaves what needs the library's to the
        next request, or to the end of the client.
        """
        if self.closed or self._is_inherited():
            return
        self.closed = True
        connection = None if self._over else hang_up(self._response)
        self._lost.append(self)
        # A reader holds on to the descriptor, and finds its end.
        if connection is not None and self._reading.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError):
                    connection.close()
            finally:
                self._reading.release()

    lose = close

    def _is_inherited(self) -> bool:
        """A fork has its parent's connections too, and whatever it does to one is done to both."""
        return self._process != os.getpid()

    def release(self) -> None:
        """Gives the connection back, or up."""
        if self._is_inherited():
            return
        self._over = True
        with contextlib.suppress(httpx.HTTPError, OSError, RuntimeError):
            self._response.close()


def _piece(pieces: Iterator[bytes]) -> bytes | UpstreamError | None:
    try:
        return next(pieces, None)
    except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError, ValueError) as error:
        # Whatever it was, the stream had begun: it broke.
        return UpstreamError(str(errors.of_transport(error)))
