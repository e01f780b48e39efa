# Made from `_async` by `tools/make_sync.py`: change it there.
"""What comes piece by piece: pages, bytes, records, changes of files."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, TypeVar

from pinfold._sync._io import Body, Progress, in_thread, sleep
from pinfold._sync.http import Http
from pinfold._core import answer
from pinfold._core.call import Call, decode, get, nothing
from pinfold._core.failures import translated
from pinfold._core.journal import Follower, R
from pinfold._core.sse import Parser
from pinfold.errors import ApiError, BrokenConnectionError, LocalFileError, PinfoldError
from pinfold.types import End, Output, Page, Record, WatchEvent
from pinfold.types._command import record_from_json

T = TypeVar("T")
S = TypeVar("S")


class Pages(Generic[T]):
    """Every item of a list, page after page, as it is asked for."""

    def __init__(
        self, http: Http, call: Callable[[str | None], Call[Page[S]]], item: Callable[[S], T]
    ) -> None:
        self._http = http
        self._call = call
        self._item = item

    def page(self, cursor: str | None = None) -> Page[T]:
        """One page: the first, or the one behind `next_cursor` of another."""
        page = self._http.fetch(self._call(cursor))
        return Page(tuple(self._item(each) for each in page.items), page.next_cursor)

    def __iter__(self) -> Iterator[T]:
        page = self.page()
        while True:
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            page = self.page(page.next_cursor)

    def all(self) -> list[T]:
        """Every item, in memory."""
        return [item for item in self]


class ByteStream:
    """Bytes as they arrive. Close it, use it in `with`, or read it to its end."""

    def __init__(self, body: Body, url: str, progress: Progress | None) -> None:
        self._body = body
        self.total_bytes: int | None = body.length
        """How many bytes will come in all, where the server knows."""
        self.received_bytes = 0
        """How many have come."""
        self._url = url
        self._progress = progress

    def __iter__(self) -> ByteStream:
        return self

    def __next__(self) -> bytes:
        try:
            with translated(self._url):
                piece = self._body.read()
        except BaseException:
            self.close()
            raise
        if piece is None:
            self.close()
            raise StopIteration
        self.received_bytes += len(piece)
        if self._progress is not None:
            self._progress(self.received_bytes)
        return piece

    def read(self) -> bytes:
        """Everything that is left, in memory."""
        return b"".join([piece for piece in self])

    def save(self, path: str | os.PathLike[str], mode: int | None = None) -> int:
        """Everything that is left, into a local file: complete under its name, or not there.

        Answers with the number of bytes.
        """
        target = Path(path)
        part = target.with_name(f"{target.name}.pinfold-{os.getpid()}-{id(self):x}")
        size = 0
        try:
            file = in_thread(_create, part)
            try:
                for piece in self:
                    in_thread(_write, file, piece)
                    size += len(piece)
            finally:
                in_thread(file.close)
            in_thread(_finish, part, target, mode)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        finally:
            self.close()
        return size

    def close(self) -> None:
        """Gives the connection up; whoever reads it finds it broken. Repeating this is harmless."""
        self._body.close()

    def __del__(self) -> None:
        # Not there where `__init__` failed.
        body = getattr(self, "_body", None)
        if body is not None:
            body.lose()

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _create(path: Path) -> BinaryIO:
    try:
        return open(path, "xb")
    except OSError as error:
        raise LocalFileError(f"cannot write {path}: {error.strerror}") from None


def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise LocalFileError(f"cannot write {file.name}: {error.strerror}") from None


def _finish(part: Path, target: Path, mode: int | None) -> None:
    try:
        if mode is not None:
            part.chmod(mode)
        part.replace(target)
    except OSError as error:
        raise LocalFileError(f"cannot write {target}: {error.strerror}") from None


class EventStream(Generic[R]):
    """Numbered events, up to and including the last.

    A dropped connection is made again from the last event: nothing is missing and nothing comes
    twice. Iterating can go on after an error.
    """

    def __init__(self, http: Http, follower: Follower[R]) -> None:
        self._http = http
        self._follower = follower
        self._body: Body | None = None

    @property
    def last_seq(self) -> int:
        """The last one handed out; a stream begun with it as `after_seq` continues here."""
        return self._follower.last_seq

    def __iter__(self) -> EventStream[R]:
        return self

    def __next__(self) -> R:
        while True:
            record = self._follower.take()
            if record is not None:
                if self._follower.ended:
                    self.close()
                return record
            if self._follower.ended:
                raise StopIteration
            try:
                self._receive()
            except PinfoldError as error:
                self.close()
                sleep(self._follower.failed(error))
            except BaseException:
                self.close()
                raise

    def _receive(self) -> None:
        if self._body is None:
            self._body = self._http.open_once(self._follower.connect())
        with translated(self._http.settings.url):
            piece = self._body.read()
        if piece is None:
            raise self._follower.closed()
        self._follower.feed(piece)

    def close(self) -> None:
        """Gives the connection up; iterating makes a new one. What is followed runs on."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def __del__(self) -> None:
        body = getattr(self, "_body", None)
        if body is not None:
            body.lose()

    def __enter__(self) -> EventStream[R]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RecordStream(EventStream[Record]):
    """The records of one command, up to and including its end."""

    def __init__(
        self, http: Http, command_id: str, after_seq: int, stream: str | None
    ) -> None:
        request = get("commands", command_id, "stream", read=nothing).query(stream=stream)
        follower: Follower[Record] = Follower(
            request,
            after_seq,
            read=record_from_json,
            is_last=lambda record: isinstance(record, End),
            has_gaps=stream is not None,
        )
        super().__init__(http, follower)

    def output(self) -> Iterator[Output]:
        """The records that hold bytes, without the others."""
        for record in self:
            if isinstance(record, Output):
                yield record


class Watch:
    """Changes of files as they happen.

    Changes while no watch is open are not told later: after a `BrokenConnectionError` watch again
    and look at the files anew. Where the server ends the watch, iterating raises its `ApiError`.
    """

    def __init__(self, body: Body, url: str) -> None:
        self._body = body
        self._parser = Parser()
        # Bounded by one chunk of the connection.
        self._ready: deque[WatchEvent] = deque()
        self._url = url
        # Why the server ended the watch, where it said so. Raised behind the changes before it.
        self._told: ApiError | None = None

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> WatchEvent:
        while not self._ready:
            try:
                self._receive()
            except BaseException:
                self.close()
                raise
        return self._ready.popleft()

    def _receive(self) -> None:
        if self._told is not None:
            raise self._told
        with translated(self._url):
            piece = self._body.read()
        if piece is None:
            raise BrokenConnectionError("the server closed the watch")
        for event in self._parser.push(piece):
            if event.name == "change":
                self._ready.append(WatchEvent.from_json(decode(event.data)))
            elif event.name == "error":
                data = decode(event.data)
                self._told = answer.from_body(data if isinstance(data, dict) else {}, 0)

    def close(self) -> None:
        """Ends the watch. Repeating this is harmless."""
        self._body.close()

    def __del__(self) -> None:
        body = getattr(self, "_body", None)
        if body is not None:
            body.lose()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
