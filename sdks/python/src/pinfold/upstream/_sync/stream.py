# Made from `_async` by `tools/make_sync.py`: change it there.
"""A command whose output is read while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from .._errors import UpstreamError
from .._lines import Lines
from ._io import Connection, Lock
from .transport import Transport


class Stream:
    """The lines of a streamed command. Losing the last reference hangs up."""

    def __init__(self, transport: Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        self._lines = Lines()
        self._turn = Lock()
        self.exit_code: int | None = None

    def next_line(self) -> str:
        """The next line; behind the last one the end of the iteration, or the fault."""
        with self._turn:
            while True:
                if self._connection.closed:
                    raise StopIteration
                if self._lines.ready:
                    return self._lines.ready.popleft()
                if self._lines.ended:
                    self._end()
                self._read()

    def _end(self) -> None:
        self._transport.end(self._connection)
        fault, self._lines.fault = self._lines.fault, None
        if fault is not None:
            raise fault
        self.exit_code = self._lines.exit_code
        raise StopIteration

    def _read(self) -> None:
        piece = self._connection.read()
        try:
            if isinstance(piece, bytes):
                self._lines.push(piece)
            else:
                self._lines.broke(piece)
        except UpstreamError as error:
            self._lines.broke(error)

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()
        self._transport.forget(self._connection)

    def __del__(self) -> None:
        # Not there where `__init__` failed.
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.lose()


class LineIterator(Iterator[str]):
    """Goes on where it was left; keeps the stream open."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __iter__(self) -> LineIterator:
        return self

    def __next__(self) -> str:
        return self._stream.next_line()


class StreamingExecResult:
    """A command that runs. Iterating yields the lines of its stdout as they come.

    Stopping early does nothing: the iterator can be taken up again. `close()`, the end of an
    `with` block, or losing the object hangs up, and the server kills what the command
    started. A connection that breaks raises `UpstreamError` from the iterator.
    """

    stdout: Iterator[str]
    """Lines without their line feed; any other character stays."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.stdout = LineIterator(stream)

    @property
    def exit_code(self) -> int | None:
        """`None` until the iterator has ended, and for good where it was closed before."""
        return self._stream.exit_code

    def close(self) -> None:
        """Hangs up. Calling it again, or after the end, is harmless."""
        self._stream.close()

    def __iter__(self) -> Iterator[str]:
        return self.stdout

    def __enter__(self) -> StreamingExecResult:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"StreamingExecResult(exit_code={self.exit_code!r})"
