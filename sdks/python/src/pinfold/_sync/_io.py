"""What has to be written differently with and without async; `_async/_io.py` is the counterpart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, ParamSpec, TypeVar, Union, cast

from pinfold._core.tar import PIECE_BYTES
from pinfold.errors import ConfigurationError, LocalFileError

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
    """Connections of the sync client belong to every thread."""

    def check(self) -> None:
        """Nothing to check."""


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
        yield content.encode()
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
    from websockets.sync.client import connect

    connecting = connect(
        url,
        additional_headers=headers,
        max_size=max_bytes,
        open_timeout=30,
        compression=None,
        proxy=proxy,
    )
    # What is connected is closed by its own close(); some versions warn unless it is entered.
    return connecting.__enter__()
