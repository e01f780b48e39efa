"""What has to be written differently with and without async; `_sync/_io.py` is the counterpart."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import httpx

from pinfold._core.connections import hang_up

from .. import _errors as errors
from .._errors import UpstreamError

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPTS = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)
"""What ends a wait from outside."""

Lock = asyncio.Lock

_tasks: set[asyncio.Task[Any]] = set()
# Tasks that nobody else refers to.


def _kept(task: asyncio.Task[T]) -> asyncio.Task[T]:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def finish(
    work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Does this to its end, also where whoever waits for it is cancelled meanwhile."""
    return await asyncio.shield(_kept(asyncio.ensure_future(work(*args, **kwargs))))


class Connection:
    """The connection of a streamed answer."""

    def __init__(self, response: httpx.Response, lost: deque[Connection]) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()
        self._lost = lost
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._pending: asyncio.Future[bytes | UpstreamError | None] | None = None
        self.closed = False
        """Nobody wants more of it."""
        # The library may have given the connection to another request by now.
        self._over = False

    async def read(self) -> bytes | UpstreamError | None:
        """The next piece, ``None`` at the end, or why there is none."""
        # In a task of its own: whoever stops waiting leaves the stream as it is.
        if self._pending is None:
            self._pending = _kept(asyncio.ensure_future(_piece(self._pieces)))
        piece = await asyncio.shield(self._pending)
        self._pending = None
        self._over = not isinstance(piece, bytes)
        return piece

    async def close(self) -> None:
        """Hangs up. Doing it again is harmless."""
        if self._is_inherited():
            return
        self._hang_up()
        await self.release()

    def _hang_up(self) -> None:
        self.closed = True
        if not self._over:
            self._over = True
            hang_up(self._response)

    def lose(self) -> None:
        """Hangs up in a finalizer, where nothing can be awaited; the rest follows in the loop."""
        if self.closed or self._is_inherited():
            return
        self._hang_up()
        self._lost.append(self)
        try:
            self._loop.call_soon_threadsafe(self._release_soon)
        except RuntimeError:
            # The loop has been closed, and its connections with it.
            pass

    def _is_inherited(self) -> bool:
        """A fork has its parent's connections too, and whatever it does to one is done to both."""
        return self._process != os.getpid()

    def _release_soon(self) -> None:
        _kept(self._loop.create_task(self.release()))

    async def release(self) -> None:
        """Gives the connection back, or up."""
        self._over = True
        try:
            await self._response.aclose()
        except (httpx.HTTPError, OSError, RuntimeError):
            pass


async def _piece(pieces: AsyncIterator[bytes]) -> bytes | UpstreamError | None:
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return None
    except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError, ValueError) as error:
        # Whatever it was, the stream had begun: it broke.
        return UpstreamError(str(errors.of_transport(error)))
