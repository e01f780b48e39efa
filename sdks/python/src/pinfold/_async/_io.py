"""What has to be written differently with and without async; `_sync/_io.py` is the counterpart."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
)
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, Literal, ParamSpec, Protocol, TypeVar, Union, cast

import httpx

from pinfold._core.call import utf8
from pinfold._core.connections import content_length, hang_up
from pinfold._core.pty import unredirected
from pinfold._core.tar import PIECE_BYTES
from pinfold.errors import BrokenConnectionError, ConfigurationError, LocalFileError

P = ParamSpec("P")
T = TypeVar("T")

Content = Union[bytes, str, Path, BinaryIO, Iterable[bytes], AsyncIterable[bytes]]
"""Bytes, a text, a `Path` to a local file, a file that is open, or pieces of bytes as they come."""

Progress = Callable[[int], object]
"""Called with the bytes moved so far, after each piece."""

sleep = asyncio.sleep


async def in_thread(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Work that waits for this machine's files, beside the event loop."""
    return await asyncio.to_thread(act, *args, **kwargs)


class _Closes(Protocol):
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


R = TypeVar("R", bound=_Closes)


class Opening(Generic[R]):
    """What is being opened: `await` it, or use it with `async with`."""

    def __init__(self, work: Coroutine[Any, Any, R]) -> None:
        self._work = work
        self._opened: R | None = None

    def __await__(self) -> Generator[Any, Any, R]:
        return self._work.__await__()

    async def __aenter__(self) -> R:
        self._opened = await self._work
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)


def opens(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Opening[R]]:
    """Makes what a method answers usable both with `await` and with `async with`."""

    @functools.wraps(method)
    def opening(*args: P.args, **kwargs: P.kwargs) -> Opening[R]:
        return Opening(method(*args, **kwargs))

    return opening


class Home:
    """Connections belong to the event loop that made them."""

    KEEPS_SOCKETS = False
    """The library ends reads of connections that are closed."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._client = make()
        self._loop: asyncio.AbstractEventLoop | None = None

    def client(self) -> httpx.AsyncClient:
        """The connections. Raises `ConfigurationError` in another loop than the first."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError(
                "an async client belongs to the event loop it was first used in: make one per loop"
            )
        return self._client

    def keep(self, made: Any) -> None:
        """Nothing to keep."""

    async def aclose(self) -> None:
        """Closes them, wherever this is called."""
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            await self._client.aclose()
        elif loop.is_running():
            closing = asyncio.run_coroutine_threadsafe(self._client.aclose(), loop)
            await asyncio.wrap_future(closing)
        # Connections of a loop that has ended went with it.


class Body:
    """The body of an answer, read as it comes."""

    def __init__(
        self, response: httpx.Response, opened: set[Body], lost: deque[Body]
    ) -> None:
        self.length = content_length(response)
        """How many bytes will come in all, where the server says so."""
        self._response = response
        self._pieces = response.aiter_raw()
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._opened = opened
        self._lost = lost
        self._closed = False
        self._ended = False
        # The library may have given the connection to another request by now.
        self._over = False
        opened.add(self)

    async def read(self) -> bytes | None:
        """The next piece, `None` behind the last one."""
        if self._process != os.getpid():
            raise BrokenConnectionError("the connection belongs to the process that was forked")
        if self._ended:
            return None
        if self._closed:
            raise BrokenConnectionError("the stream has been closed")
        try:
            piece = await anext(self._pieces, None)
        except Exception:
            if self._closed:
                raise BrokenConnectionError("the stream was closed while it was read") from None
            self._over = True
            raise
        if piece is None and self._closed:
            # Hanging up looks like an end where nothing else tells of one.
            raise BrokenConnectionError("the stream was closed while it was read")
        self._ended = self._over = piece is None
        return piece

    async def aclose(self) -> None:
        """Gives the connection up. Repeating this is harmless."""
        if self._process != os.getpid():
            return
        self._closed = True
        self._opened.discard(self)
        # Of a loop that has ended there is nothing left.
        with contextlib.suppress(httpx.HTTPError, OSError, RuntimeError):
            await self._response.aclose()

    def lose(self) -> None:
        """Hangs up in a finalizer, where nothing can be awaited; the rest follows in the loop."""
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        if not self._over:
            hang_up(self._response)
        self._lost.append(self)
        # The loop may have been closed, and its connections with it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._release_soon)

    def _release_soon(self) -> None:
        task = self._loop.create_task(self.aclose())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Task[None]] = set()
# Nobody else refers to them.


async def pieces(content: Content, progress: Progress | None) -> AsyncIterator[bytes]:
    """The content as it is to be sent, in bounded pieces."""
    sent = 0
    async for piece in _source(content):
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise ConfigurationError(f"pieces of content are bytes, not {type(piece).__name__}")
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), PIECE_BYTES):
            part = bytes(view[start : start + PIECE_BYTES])
            yield part
            sent += len(part)
            if progress is not None:
                progress(sent)


async def _source(content: Content) -> AsyncIterator[bytes]:
    if isinstance(content, str):
        yield utf8(content)
    elif isinstance(content, bytes | bytearray | memoryview):
        yield bytes(content)
    elif isinstance(content, Path):
        try:
            file = await asyncio.to_thread(open, content, "rb")
        except OSError as error:
            raise LocalFileError(f"cannot read {content}: {error.strerror}") from None
        with file:
            async for piece in _read(file):
                yield piece
    elif isinstance(content, AsyncIterable):
        async for piece in content:
            yield piece
    elif hasattr(content, "read"):
        async for piece in _read(cast(BinaryIO, content)):
            yield piece
    else:
        each = iter(content)
        while (next_piece := await asyncio.to_thread(next, each, None)) is not None:
            yield next_piece


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    while True:
        try:
            piece = await asyncio.to_thread(file.read, PIECE_BYTES)
        except OSError as error:
            raise LocalFileError(f"cannot read a file: {error.strerror}") from None
        if not piece:
            return
        yield piece


async def connect_websocket(
    url: str, headers: dict[str, str], max_bytes: int, proxy: Literal[True] | None
) -> Any:
    """A connection of the library `websockets`."""
    from websockets.asyncio.client import connect

    return await unredirected(connect)(
        url,
        additional_headers=headers,
        max_size=max_bytes,
        open_timeout=30,
        compression=None,
        proxy=proxy,
    )
