"""The sync client."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, overload

import httpx

from . import _errors as errors
from . import _protocol as protocol
from ._errors import SandboxError, UpstreamError
from ._protocol import Request, Settings
from ._types import ExecResult, RunResult, Usage


class _Transport:
    """Exchanges over kept connections. May be used by several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        try:
            self._http = httpx.Client(
                headers=settings.headers,
                trust_env=settings.trust_env,
                transport=httpx.HTTPTransport(
                    limits=protocol.LIMITS,
                    trust_env=settings.trust_env,
                    socket_options=protocol.SOCKET_OPTIONS,
                ),
            )
        except (OSError, ValueError) as error:
            raise UpstreamError(f"cannot set up HTTP: {error}") from error

    def close(self) -> None:
        self._closed = True
        self._http.close()

    def fetch(self, request: Request) -> bytes:
        """The body of a good answer, complete within the request's time."""
        if request.timeout is None:
            request.timeout = self.settings.timeout
        bound = request.bound()
        deadline = None if bound is None else time.monotonic() + bound
        response = self.open(request)
        try:
            pieces = []
            for piece in response.iter_bytes():
                pieces.append(piece)
                if deadline is not None and time.monotonic() > deadline:
                    raise errors.TimeoutError("the server did not answer in time")
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError) as error:
            raise self._fault(error) from error
        finally:
            self._release(response)
        return b"".join(pieces)

    def open(self, request: Request) -> httpx.Response:
        """A good answer whose body has not been read; it has to be closed."""
        if request.timeout is None:
            request.timeout = self.settings.timeout
        response = self._send(request)
        if response.is_success:
            return response
        try:
            body = response.read()
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError):
            body = b""
        finally:
            self._release(response)
        raise errors.of_status(response.status_code, body)

    def _send(self, request: Request) -> httpx.Response:
        for attempt in range(protocol.STALE_MAX + 1):
            if self._closed:
                raise errors.closed_client()
            made: list[str] = []

            def trace(event: str, _info: dict[str, Any], made: list[str] = made) -> None:
                if event.startswith("connection.connect"):
                    made.append(event)

            try:
                built = self._http.build_request(
                    request.method,
                    self.settings.url(request.path),
                    headers=request.headers,
                    content=request.content,
                    timeout=request.bound(),
                    extensions={"trace": trace},
                )
                return self._http.send(built, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, RuntimeError, ValueError) as error:
                # A connection of ours that was kept had died: the request was not answered, and
                # its key lets the server tell if it has seen it.
                kept = not made and attempt < protocol.STALE_MAX
                if kept and protocol.is_stale(error) and not self._closed:
                    continue
                raise self._fault(error) from error
        raise UpstreamError("no kept connection works")

    def _fault(self, error: Exception) -> UpstreamError:
        if isinstance(error, UpstreamError):
            return error
        return errors.closed_client() if self._closed else errors.of_transport(error)

    @staticmethod
    def _release(response: httpx.Response) -> None:
        try:
            response.close()
        except (httpx.HTTPError, OSError, RuntimeError):
            pass


class Upstream:
    """The client: where the server is, and which key to use. Usable from several threads.

    ``api_key``: the account's key. ``base_url``: ``$UPSTREAM_BASE_URL`` where it is not given, else
    the local server. ``timeout``: seconds for one HTTP exchange, and for one command that is not
    streamed.
    """

    def __init__(
        self, api_key: str, *, base_url: str | None = None, timeout: float = 30.0
    ) -> None:
        self._transport = _Transport(Settings.of(api_key, base_url, timeout))

    def sandbox(
        self,
        image: str = "python:3.12",
        *,
        vcpu: int = 2,
        memory_mib: int = 512,
        ready_timeout: float = 30.0,
    ) -> Sandbox:
        """Creates a sandbox at once and returns when it is ready.

        ``image``: a template or image name. ``vcpu``: 1 to 4. ``memory_mib``: 128 to 2048.
        Not ready within ``ready_timeout`` seconds: what was created is deleted, TimeoutError.
        """
        deadline = time.monotonic() + ready_timeout
        sandbox_id = self._create(protocol.create_sandbox(image, vcpu, memory_mib), deadline)
        try:
            self._await_ready(sandbox_id, deadline)
        except BaseException:
            self._quietly(protocol.delete(protocol.sandbox_path(sandbox_id)))
            raise
        return Sandbox(self._transport, sandbox_id)

    def _create(self, request: Request, deadline: float) -> str:
        try:
            # Never so little time that nobody would learn what was made.
            return protocol.created_id(
                self._transport.fetch(request.within(max(deadline - time.monotonic(), 1.0)))
            )
        except errors.TimeoutError:
            # It may have been made: the same request again tells its id, or makes it now.
            body = self._quietly(request)
            if body is not None:
                path = protocol.sandbox_path(protocol.created_id(body))
                self._quietly(protocol.delete(path))
            raise

    def _await_ready(self, sandbox_id: str, deadline: float) -> None:
        pause = protocol.READY_PAUSE_MIN
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.TimeoutError("the sandbox was not ready within ready_timeout")
            request = protocol.get(protocol.sandbox_path(sandbox_id))
            request.timeout = self._transport.settings.timeout
            if protocol.is_ready(self._transport.fetch(request.within(left))):
                if time.monotonic() <= deadline:
                    return
                continue
            time.sleep(max(min(pause, deadline - time.monotonic()), 0))
            pause = min(pause * 2, protocol.READY_PAUSE_MAX)

    def run(
        self, markdown: str, *, poll_interval: float = 1.0, timeout: float = 300.0
    ) -> RunResult:
        """Runs a markdown pipeline in one fresh sandbox and returns when it has ended.

        A pipeline that fails does not raise. It is looked at every ``poll_interval`` seconds; past
        ``timeout`` seconds it is cancelled, and TimeoutError raised.
        """
        deadline = time.monotonic() + timeout
        path = protocol.run_path(self._transport.fetch(protocol.submit_run(markdown)))
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise errors.TimeoutError("the run took longer than timeout")
                result = protocol.run_result(self._transport.fetch(protocol.get(path)))
                if result is not None:
                    return result
                time.sleep(max(min(poll_interval, deadline - time.monotonic()), 0))
        except BaseException:
            self._quietly(protocol.post(path + "/cancel"))
            raise

    def usage(self) -> Usage:
        """What the account has used since it exists."""
        return protocol.usage(self._transport.fetch(protocol.get("/usage")))

    def close(self) -> None:
        """Closes the connections. Calling it again is harmless; other calls then fail."""
        self._transport.close()

    def _quietly(self, request: Request) -> bytes | None:
        """Cleans up behind a fault that is raised anyway."""
        request.timeout = protocol.CLEANUP_TIMEOUT
        try:
            return self._transport.fetch(request)
        except UpstreamError:
            return None

    def __enter__(self) -> Upstream:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Upstream(base_url={self._transport.settings.shown()!r})"


class Sandbox:
    """A sandbox that runs. As a context manager it is destroyed at the end of the block."""

    def __init__(self, transport: _Transport, sandbox_id: str) -> None:
        self._transport = transport
        self._sandbox_id = sandbox_id
        self._destroyed = False
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()

    @property
    def sandbox_id(self) -> str:
        """Names the sandbox to the server."""
        return self._sandbox_id

    @overload
    def exec(self, command: list[str], *, stream: Literal[False] = False) -> ExecResult: ...

    @overload
    def exec(self, command: list[str], *, stream: Literal[True]) -> StreamingExecResult: ...

    @overload
    def exec(
        self, command: list[str], *, stream: bool
    ) -> ExecResult | StreamingExecResult: ...

    def exec(
        self, command: list[str], *, stream: bool = False
    ) -> ExecResult | StreamingExecResult:
        """Runs a program with its arguments, without a shell.

        Returns when it has ended; past the client's timeout everything it started is killed, and
        TimeoutError raised. With ``stream`` it returns when the program has started.
        """
        items = protocol.check_command(command)
        self._check()
        if not stream:
            request = protocol.execute(self._sandbox_id, items, self._transport.settings.timeout)
            return protocol.executed(self._transport.fetch(request))
        response = self._transport.open(protocol.stream(self._sandbox_id, items))
        opened = _Stream(response)
        self._streams.add(opened)
        return StreamingExecResult(opened)

    def write_file(self, path: str, content: str | bytes) -> None:
        """Writes a file exactly as given, in one piece; missing directories are made.

        A relative path begins at ``/workspace``. A ``str`` goes as UTF-8.
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
        """Reads a file; SandboxError where it is missing, a directory, or (as text) not UTF-8."""
        request = protocol.get(protocol.file_path(self._sandbox_id, path))
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
            self.destroy()
        except UpstreamError:
            # What the block raised matters more than what its end did.
            if exc is None:
                raise

    def __repr__(self) -> str:
        return f"Sandbox({self._sandbox_id!r})"


class _Stream:
    """The connection of a streamed command. Losing the last reference hangs up."""

    def __init__(self, response: httpx.Response) -> None:
        protocol.forget_read_timeout(response.request)
        self._response = response
        self._pieces = response.iter_bytes()
        self._lines = protocol.Lines()
        self._closed = False
        self._reading = threading.RLock()
        self.exit_code: int | None = None

    def next_line(self) -> str:
        with self._reading:
            while True:
                if self._closed:
                    raise StopIteration
                if self._lines.ready:
                    return self._lines.ready.popleft()
                if self._lines.ended:
                    self._end()
                self._read()

    def _end(self) -> None:
        _Transport._release(self._response)
        fault, self._lines.fault = self._lines.fault, None
        if fault is not None:
            raise fault
        self.exit_code = self._lines.exit_code
        raise StopIteration

    def _read(self) -> None:
        try:
            piece = next(self._pieces, None)
            if piece is None:
                self._lines.broke()
            else:
                self._lines.push(piece)
        except UpstreamError as error:
            self._lines.broke(error)
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError, ValueError) as error:
            fault = errors.of_transport(error)
            # Whatever it was, the stream had begun: it broke.
            self._lines.broke(UpstreamError(str(fault)))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        protocol.hang_up(self._response)
        _Transport._release(self._response)

    def __del__(self) -> None:
        # Not even begun where `__init__` failed.
        if hasattr(self, "_reading"):
            self.close()


class _LineIterator(Iterator[str]):
    """Goes on where it was left; keeps the stream open."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def __iter__(self) -> _LineIterator:
        return self

    def __next__(self) -> str:
        return self._stream.next_line()


class StreamingExecResult:
    """A command that runs. Iterating yields the lines of its stdout as they come.

    Stopping early does nothing: the iterator can be taken up again. ``close()``, the end of a
    ``with`` block, or losing the object hangs up, and the server kills what the command started.
    """

    stdout: Iterator[str]
    """Lines without their ``\\n``."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self.stdout = _LineIterator(stream)

    @property
    def exit_code(self) -> int | None:
        """``None`` until the iterator has ended."""
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
