"""What has to be written differently with and without async; `_sync/_io.py` is the counterpart."""

from __future__ import annotations

import asyncio
import functools
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

from pinfold._core.tar import PIECE_BYTES
from pinfold.errors import ConfigurationError, LocalFileError

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

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` in another loop than the first."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError(
                "an AsyncClient belongs to the event loop it was first used in: make one per loop"
            )


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
        yield content.encode()
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

    return await connect(
        url,
        additional_headers=headers,
        max_size=max_bytes,
        open_timeout=30,
        compression=None,
        proxy=proxy,
    )
