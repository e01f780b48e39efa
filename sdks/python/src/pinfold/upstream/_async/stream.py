"""A command whose output is read while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType

from .._errors import UpstreamError
from .._lines import Lines
from ._io import Connection, Lock
from .transport import AsyncTransport


class AsyncStream:
    """The lines of a streamed command. Losing the last reference hangs up."""

    def __init__(self, transport: AsyncTransport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        self._lines = Lines()
        self._turn = Lock()
        self.exit_code: int | None = None

    async def next_line(self) -> str:
        """The next line; behind the last one the end of the iteration, or the fault."""
        async with self._turn:
            while True:
                if self._connection.closed:
                    raise StopAsyncIteration
                if self._lines.ready:
                    return self._lines.ready.popleft()
                if self._lines.ended:
                    await self._end()
                await self._read()

    async def _end(self) -> None:
        await self._transport.end(self._connection)
        fault, self._lines.fault = self._lines.fault, None
        if fault is not None:
            raise fault
        self.exit_code = self._lines.exit_code
        raise StopAsyncIteration

    async def _read(self) -> None:
        piece = await self._connection.read()
        try:
            if isinstance(piece, bytes):
                self._lines.push(piece)
            else:
                self._lines.broke(piece)
        except UpstreamError as error:
            self._lines.broke(error)

    async def close(self) -> None:
        """Hangs up."""
        await self._connection.close()
        self._transport.forget(self._connection)

    def __del__(self) -> None:
        # Not there where `__init__` failed.
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.lose()


class AsyncLineIterator(AsyncIterator[str]):
    """Goes on where it was left; keeps the stream open."""

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncLineIterator:
        return self

    async def __anext__(self) -> str:
        return await self._stream.next_line()


class AsyncStreamingExecResult:
    """A command that runs. Iterating yields the lines of its stdout as they come.

    Stopping early does nothing: the iterator can be taken up again. `close()`, the end of an
    `async with` block, or losing the object hangs up, and the server kills what the command
    started. A connection that breaks raises `UpstreamError` from the iterator.
    """

    stdout: AsyncIterator[str]
    """Lines without their line feed; any other character stays."""

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self.stdout = AsyncLineIterator(stream)

    @property
    def exit_code(self) -> int | None:
        """`None` until the iterator has ended, and for good where it was closed before."""
        return self._stream.exit_code

    async def close(self) -> None:
        """Hangs up. Calling it again, or after the end, is harmless."""
        await self._stream.close()

    def __aiter__(self) -> AsyncIterator[str]:
        return self.stdout

    async def __aenter__(self) -> AsyncStreamingExecResult:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncStreamingExecResult(exit_code={self.exit_code!r})"
