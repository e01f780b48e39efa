# Made from `_async` by `tools/make_sync.py`: change it there.
"""One sandbox: its commands, its files, its end."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Literal, overload

from .. import _errors as errors
from .. import _protocol as protocol
from .._errors import SandboxError, UpstreamError
from .._types import ExecResult
from ._io import finish
from .stream import Stream, StreamingExecResult
from .transport import Transport


class Sandbox:
    """A sandbox that runs. As a context manager it is destroyed at the end of the block.

    One that nobody destroys ends an hour after its last use. After its end every call raises
    `SandboxError`.
    """

    def __init__(self, transport: Transport, sandbox_id: str) -> None:
        self._transport = transport
        self._sandbox_id = sandbox_id
        self._destroyed = False
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    @property
    def sandbox_id(self) -> str:
        """Names the sandbox to the server."""
        return self._sandbox_id

    @overload
    def exec(self, command: list[str], *, stream: Literal[False] = False) -> ExecResult: ...

    @overload
    def exec(
        self, command: list[str], *, stream: Literal[True]
    ) -> StreamingExecResult: ...

    @overload
    def exec(
        self, command: list[str], *, stream: bool
    ) -> ExecResult | StreamingExecResult: ...

    def exec(
        self, command: list[str], *, stream: bool = False
    ) -> ExecResult | StreamingExecResult:
        """Runs a program with its arguments, without a shell, in `/workspace` with empty stdin.

        Returns when it has ended, with at most 16 MiB of each stream. Past the client's timeout, or
        when the call is interrupted, everything the command started is killed.

        Args:
            command: the program, looked up in `PATH`, and its arguments as they are.
            stream: return when the command has started; `timeout` bounds the start only.

        Raises:
            TypeError: `command` is no list of `str`.
            TimeoutError: it took longer than the client's timeout.
            SandboxError: an empty list or a NUL (400), too much output (413), no sandbox (404, 410).
        """
        items = protocol.check_command(command)
        self._check()
        if not stream:
            request = protocol.execute(self._sandbox_id, items, self._transport.settings.timeout)
            return protocol.executed(self._transport.fetch(request))
        connection = self._transport.stream(protocol.stream(self._sandbox_id, items))
        opened = Stream(self._transport, connection)
        self._streams.add(opened)
        return StreamingExecResult(opened)

    def write_file(self, path: str, content: str | bytes) -> None:
        """Writes a file exactly as given, in one step, with mode 0644.

        Args:
            path: absolute, or below `/workspace`; missing directories are made.
            content: at least 64 MiB fit; a `str` goes as UTF-8.

        Raises:
            SandboxError: the path is a directory, or leads through a file, or the disk is full.
        """
        request = protocol.write_file(self._sandbox_id, path, content)
        self._check()
        self._transport.fetch(request)

    @overload
    def read_file(self, path: str, *, binary: Literal[False] = False) -> str: ...

    @overload
    def read_file(self, path: str, *, binary: Literal[True]) -> bytes: ...

    @overload
    def read_file(self, path: str, *, binary: bool) -> str | bytes: ...

    def read_file(self, path: str, *, binary: bool = False) -> str | bytes:
        """Reads a file, in memory.

        Args:
            path: absolute, or below `/workspace`.
            binary: as `bytes`; otherwise as `str`, from UTF-8.

        Raises:
            SandboxError: it is missing (404), a directory, or not UTF-8 (no status).
        """
        request = protocol.read_file(self._sandbox_id, path)
        self._check()
        body = self._transport.fetch(request)
        return body if binary else protocol.text(body, path)

    def destroy(self) -> None:
        """Ends the sandbox and all that runs in it. Calling it again is harmless."""
        for stream in list(self._streams):
            stream.close()
        if self._destroyed:
            return
        try:
            self._transport.fetch(protocol.delete(protocol.sandbox_path(self._sandbox_id)))
        except SandboxError as error:
            if error.status_code not in (404, 410):
                raise
        self._destroyed = True

    def _check(self) -> None:
        if self._destroyed:
            raise errors.destroyed()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            finish(self.destroy)
        except UpstreamError:
            # What the block raised matters more than what its end did.
            if exc is None:
                raise

    def __repr__(self) -> str:
        return f"Sandbox({self._sandbox_id!r})"
