"""What has to be written differently with and without async; `_async/_io.py` is the counterpart."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, ParamSpec, TypeVar, Union, cast

import httpx

from pinfold._core.call import utf8
from pinfold._core.connections import content_length, hang_up, shut
from pinfold._core.pty import unredirected
from pinfold._core.tar import PIECE_BYTES
from pinfold.errors import BrokenConnectionError, ConfigurationError, LocalFileError

P = ParamSpec("P")
T = TypeVar("T")

Content = Union[bytes, str, Path, BinaryIO, Iterable[bytes]]
"""Bytes, a text, a `Path` to a local file, a file that is open, or pieces of bytes as they come."""

Progress = Callable[[int], object]
"""Called with the bytes moved so far, after each piece."""

sleep = time.sleep


def in_thread(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Work that waits for this machine's files."""
    return act(*args, **kwargs)


def opens(method: Callable[P, T]) -> Callable[P, T]:
    """What a method answers can be used with `with` as it is."""
    return method


class Home:
    """Connections of the sync client belong to every thread of one process.

    What a fork inherits is its parent's, down to the locks of the library: a child makes its own.
    """

    KEEPS_SOCKETS = True
    """A thread that reads a connection does not notice when another one closes it."""

    def __init__(self, make: Callable[[], httpx.Client]) -> None:
        self._make = make
        self._ours = {os.getpid(): _Connections(make())}

    def client(self) -> httpx.Client:
        """The connections of this process."""
        return self._here().client

    def keep(self, made: Any) -> None:
        """Remembers a socket for as long as it lives."""
        if made is not None:
            self._here().keep(made)

    def close(self) -> None:
        """Closes them, and so wakes whoever waits on one."""
        ours = self._ours.get(os.getpid())
        if ours is not None:
            ours.hang_up()
            ours.client.close()

    def _here(self) -> _Connections:
        process = os.getpid()
        ours = self._ours.get(process)
        if ours is None:
            # Of two threads at once one comes too late, and what it made is not used.
            ours = self._ours.setdefault(process, _Connections(self._make()))
        return ours


class _Connections:
    """The connections of one process."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._closed = False

    def keep(self, made: socket.socket) -> None:
        with self._lock:
            self._sockets.add(made)
            closed = self._closed
        if closed:
            shut(made)

    def hang_up(self) -> None:
        with self._lock:
            self._closed = True
            sockets = list(self._sockets)
        for each in sockets:
            shut(each)


class Body:
    """The body of an answer, read as it comes."""

    def __init__(
        self, response: httpx.Response, opened: set[Body], lost: deque[Body]
    ) -> None:
        self.length = content_length(response)
        """How many bytes will come in all, where the server says so."""
        self._response = response
        self._pieces = response.iter_raw()
        self._process = os.getpid()
        self._opened = opened
        self._lost = lost
        # Held while somebody reads, who then has the library's state in hand.
        self._reading = threading.Lock()
        self._closed = False
        self._ended = False
        # The library may have given the connection to another request by now.
        self._over = False
        opened.add(self)

    def read(self) -> bytes | None:
        """The next piece, `None` behind the last one."""
        if self._process != os.getpid():
            raise BrokenConnectionError("the connection belongs to the process that was forked")
        with self._reading:
            if self._ended:
                return None
            if self._closed:
                raise BrokenConnectionError("the stream has been closed")
            try:
                piece = next(self._pieces, None)
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

    def close(self) -> None:
        """Gives the connection up, and so wakes whoever reads it. Repeating this is harmless."""
        if self._process != os.getpid():
            return
        self._opened.discard(self)
        if not self._closed:
            self._closed = True
            if not self._over:
                hang_up(self._response)
        if not self._reading.acquire(blocking=False):
            # Whoever reads finds the end; what is left follows with the next request.
            self._lost.append(self)
            return
        try:
            with contextlib.suppress(httpx.HTTPError, OSError, RuntimeError):
                self._response.close()
        finally:
            self._reading.release()

    def lose(self) -> None:
        """Hangs up in a finalizer, perhaps amid the library's own work: waits for no lock."""
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        if not self._over:
            hang_up(self._response)
        self._lost.append(self)


def pieces(content: Content, progress: Progress | None) -> Iterator[bytes]:
    """The content as it is to be sent, in bounded pieces."""
    sent = 0
    for piece in _source(content):
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise ConfigurationError(f"pieces of content are bytes, not {type(piece).__name__}")
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), PIECE_BYTES):
            part = bytes(view[start : start + PIECE_BYTES])
            yield part
            sent += len(part)
            if progress is not None:
                progress(sent)


def _source(content: Content) -> Iterator[bytes]:
    if isinstance(content, str):
        yield utf8(content)
    elif isinstance(content, bytes | bytearray | memoryview):
        yield bytes(content)
    elif isinstance(content, Path):
        try:
            file = open(content, "rb")
        except OSError as error:
            raise LocalFileError(f"cannot read {content}: {error.strerror}") from None
        with file:
            yield from _read(file)
    elif hasattr(content, "read"):
        yield from _read(cast(BinaryIO, content))
    else:
        yield from content


def _read(file: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            piece = file.read(PIECE_BYTES)
        except OSError as error:
            raise LocalFileError(f"cannot read a file: {error.strerror}") from None
        if not piece:
            return
        yield piece


def connect_websocket(
    url: str, headers: dict[str, str], max_bytes: int, proxy: Literal[True] | None
) -> Any:
    """A connection of the library `websockets`."""
    from websockets.sync import client

    options: dict[str, Any] = {
        "additional_headers": headers,
        "max_size": max_bytes,
        "open_timeout": 30,
        "compression": None,
        "proxy": proxy,
    }
    # Versions before 17 follow no redirects.
    reconnect = getattr(client, "reconnect", None)
    if reconnect is None:
        return client.connect(url, **options)
    connected = unredirected(reconnect)(url, **options).connect()
    # It is closed by its own close(); it warns unless it is entered.
    return connected.__enter__()
