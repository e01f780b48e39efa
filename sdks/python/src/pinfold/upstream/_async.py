"""The async client: the same over asyncio."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Generator
from types import TracebackType
from typing import Any, Literal, overload

import httpx

from . import _errors as errors
from . import _protocol as protocol
from ._errors import SandboxError, UpstreamError
from ._protocol import Request, Settings
from ._types import ExecResult, RunResult, Usage


class _Transport:
    """Exchanges over kept connections, for any number of tasks of one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        try:
            self._http = httpx.AsyncClient(
                headers=settings.headers,
                trust_env=settings.trust_env,
                transport=httpx.AsyncHTTPTransport(
                    limits=protocol.LIMITS,
                    trust_env=settings.trust_env,
                    socket_options=protocol.SOCKET_OPTIONS,
                ),
            )
        except (OSError, ValueError) as error:
            raise UpstreamError(f"cannot set up HTTP: {error}") from error

    async def close(self) -> None:
        self._closed = True
        await self._http.aclose()

    async def fetch(self, request: Request) -> bytes:
        """The body of a good answer, complete within the request's time."""
        if request.timeout is None:
            request.timeout = self.settings.timeout
        bound = request.bound()
        deadline = None if bound is None else time.monotonic() + bound
        response = await self.open(request)
        try:
            pieces = []
            async for piece in response.aiter_bytes():
                pieces.append(piece)
                if deadline is not None and time.monotonic() > deadline:
                    raise errors.TimeoutError("the server did not answer in time")
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError) as error:
            raise self._fault(error) from error
        finally:
            await self._release(response)
        return b"".join(pieces)

    async def open(self, request: Request) -> httpx.Response:
        """A good answer whose body has not been read; it has to be closed."""
        if request.timeout is None:
            request.timeout = self.settings.timeout
        response = await self._send(request)
        if response.is_success:
            return response
        try:
            body = await response.aread()
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError):
            body = b""
        finally:
            await self._release(response)
        raise errors.of_status(response.status_code, body)

    async def _send(self, request: Request) -> httpx.Response:
        for attempt in range(protocol.STALE_MAX + 1):
            if self._closed:
                raise errors.closed_client()
            made: list[str] = []

            async def trace(event: str, _info: dict[str, Any], made: list[str] = made) -> None:
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
                return await self._http.send(built, stream=True)
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
    async def _release(response: httpx.Response) -> None:
        try:
            await response.aclose()
        except (httpx.HTTPError, OSError, RuntimeError):
            pass


class AsyncUpstream:
    """The async twin of :class:`Upstream`, for any number of tasks of one event loop."""

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
    ) -> _Opening:
        """A sandbox: ``async with client.sandbox() as sb``, or ``sb = await client.sandbox()``.

        ``image``: a template or image name. ``vcpu``: 1 to 4. ``memory_mib``: 128 to 2048.
        Not ready within ``ready_timeout`` seconds: what was created is deleted, TimeoutError.
        """
        return _Opening(self, image, vcpu, memory_mib, ready_timeout)

    async def _open(
        self, image: str, vcpu: int, memory_mib: int, ready_timeout: float
    ) -> AsyncSandbox:
        deadline = time.monotonic() + ready_timeout
        sandbox_id = await self._create(
            protocol.create_sandbox(image, vcpu, memory_mib), deadline
        )
        try:
            await self._await_ready(sandbox_id, deadline)
        except BaseException:
            await self._quietly(protocol.delete(protocol.sandbox_path(sandbox_id)))
            raise
        return AsyncSandbox(self._transport, sandbox_id)

    async def _create(self, request: Request, deadline: float) -> str:
        try:
            # Never so little time that nobody would learn what was made.
            return protocol.created_id(
                await self._transport.fetch(request.within(max(deadline - time.monotonic(), 1.0)))
            )
        except (errors.TimeoutError, asyncio.CancelledError):
            # It may have been made: the same request again tells its id, or makes it now.
            body = await self._quietly(request)
            if body is not None:
                path = protocol.sandbox_path(protocol.created_id(body))
                await self._quietly(protocol.delete(path))
            raise

    async def _await_ready(self, sandbox_id: str, deadline: float) -> None:
        pause = protocol.READY_PAUSE_MIN
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.TimeoutError("the sandbox was not ready within ready_timeout")
            request = protocol.get(protocol.sandbox_path(sandbox_id))
            request.timeout = self._transport.settings.timeout
            if protocol.is_ready(await self._transport.fetch(request.within(left))):
                if time.monotonic() <= deadline:
                    return
                continue
            await asyncio.sleep(max(min(pause, deadline - time.monotonic()), 0))
            pause = min(pause * 2, protocol.READY_PAUSE_MAX)

    async def run(
        self, markdown: str, *, poll_interval: float = 1.0, timeout: float = 300.0
    ) -> RunResult:
        """Runs a markdown pipeline in one fresh sandbox and returns when it has ended.

        A pipeline that fails does not raise. It is looked at every ``poll_interval`` seconds; past
        ``timeout`` seconds it is cancelled, and TimeoutError raised.
        """
        deadline = time.monotonic() + timeout
        path = protocol.run_path(await self._transport.fetch(protocol.submit_run(markdown)))
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise errors.TimeoutError("the run took longer than timeout")
                result = protocol.run_result(await self._transport.fetch(protocol.get(path)))
                if result is not None:
                    return result
                await asyncio.sleep(max(min(poll_interval, deadline - time.monotonic()), 0))
        except BaseException:
            await self._quietly(protocol.post(path + "/cancel"))
            raise

    async def usage(self) -> Usage:
        """What the account has used since it exists."""
        return protocol.usage(await self._transport.fetch(protocol.get("/usage")))

    async def close(self) -> None:
        """Closes the connections. Calling it again is harmless; other calls then fail."""
        await self._transport.close()

    async def _quietly(self, request: Request) -> bytes | None:
        """Cleans up behind a fault that is raised anyway."""
        request.timeout = protocol.CLEANUP_TIMEOUT
        try:
            return await self._transport.fetch(request)
        except UpstreamError:
            return None

    async def __aenter__(self) -> AsyncUpstream:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncUpstream(base_url={self._transport.settings.shown()!r})"


class _Opening:
    """A sandbox that is created when it is awaited or entered."""

    def __init__(
        self, client: AsyncUpstream, image: str, vcpu: int, memory_mib: int, ready_timeout: float
    ) -> None:
        self._client = client
        self._wanted = (image, vcpu, memory_mib, ready_timeout)
        self._sandbox: AsyncSandbox | None = None

    async def _open(self) -> AsyncSandbox:
        if self._sandbox is None:
            self._sandbox = await self._client._open(*self._wanted)
        return self._sandbox

    def __await__(self) -> Generator[Any, None, AsyncSandbox]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncSandbox:
        return await self._open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._sandbox is not None:
            await self._sandbox.__aexit__(exc_type, exc, traceback)


class AsyncSandbox:
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
    async def exec(self, command: list[str], *, stream: Literal[False] = False) -> ExecResult: ...

    @overload
    async def exec(
        self, command: list[str], *, stream: Literal[True]
    ) -> AsyncStreamingExecResult: ...

    @overload
    async def exec(
        self, command: list[str], *, stream: bool
    ) -> ExecResult | AsyncStreamingExecResult: ...

    async def exec(
        self, command: list[str], *, stream: bool = False
    ) -> ExecResult | AsyncStreamingExecResult:
        """Runs a program with its arguments, without a shell.

        Returns when it has ended; past the client's timeout everything it started is killed, and
        TimeoutError raised. With ``stream`` it returns when the program has started.
        """
        items = protocol.check_command(command)
        self._check()
        if not stream:
            request = protocol.execute(self._sandbox_id, items, self._transport.settings.timeout)
            return protocol.executed(await self._transport.fetch(request))
        response = await self._transport.open(protocol.stream(self._sandbox_id, items))
        opened = _Stream(response)
        self._streams.add(opened)
        return AsyncStreamingExecResult(opened)

    async def write_file(self, path: str, content: str | bytes) -> None:
        """Writes a file exactly as given, in one piece; missing directories are made.

        A relative path begins at ``/workspace``. A ``str`` goes as UTF-8.
        """
        request = protocol.write_file(self._sandbox_id, path, content)
        self._check()
        await self._transport.fetch(request)

    @overload
    async def read_file(self, path: str, *, binary: Literal[False] = False) -> str: ...

    @overload
    async def read_file(self, path: str, *, binary: Literal[True]) -> bytes: ...

    @overload
    async def read_file(self, path: str, *, binary: bool) -> str | bytes: ...

    async def read_file(self, path: str, *, binary: bool = False) -> str | bytes:
        """Reads a file; SandboxError where it is missing, a directory, or (as text) not UTF-8."""
        request = protocol.get(protocol.file_path(self._sandbox_id, path))
        self._check()
        body = await self._transport.fetch(request)
        return body if binary else protocol.text(body, path)

    async def destroy(self) -> None:
        """Ends the sandbox and all that runs in it. Calling it again is harmless."""
        for stream in list(self._streams):
            await stream.close()
        if self._destroyed:
            return
        try:
            await self._transport.fetch(protocol.delete(protocol.sandbox_path(self._sandbox_id)))
        except SandboxError as error:
            if error.status_code not in (404, 410):
                raise
        self._destroyed = True

    def _check(self) -> None:
        if self._destroyed:
            raise errors.destroyed()

    async def __aenter__(self) -> AsyncSandbox:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.destroy()
        except UpstreamError:
            # What the block raised matters more than what its end did.
            if exc is None:
                raise

    def __repr__(self) -> str:
        return f"AsyncSandbox({self._sandbox_id!r})"


class _Stream:
    """The connection of a streamed command. Losing the last reference hangs up."""

    def __init__(self, response: httpx.Response) -> None:
        protocol.forget_read_timeout(response.request)
        self._response = response
        self._pieces = response.aiter_bytes()
        self._lines = protocol.Lines()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._pending: asyncio.Future[bytes | UpstreamError | None] | None = None
        self._reading = asyncio.Lock()
        self.exit_code: int | None = None

    async def next_line(self) -> str:
        async with self._reading:
            while True:
                if self._closed:
                    raise StopAsyncIteration
                if self._lines.ready:
                    return self._lines.ready.popleft()
                if self._lines.ended:
                    await self._end()
                await self._read()

    async def _end(self) -> None:
        await _Transport._release(self._response)
        fault, self._lines.fault = self._lines.fault, None
        if fault is not None:
            raise fault
        self.exit_code = self._lines.exit_code
        raise StopAsyncIteration

    async def _read(self) -> None:
        # In a task of its own: whoever stops waiting for a line leaves the stream as it is.
        if self._pending is None:
            self._pending = asyncio.ensure_future(_piece(self._pieces))
        piece = await asyncio.shield(self._pending)
        self._pending = None
        try:
            if isinstance(piece, bytes):
                self._lines.push(piece)
            else:
                self._lines.broke(piece)
        except UpstreamError as error:
            self._lines.broke(error)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        protocol.hang_up(self._response)
        await _Transport._release(self._response)

    def __del__(self) -> None:
        # Not even begun where `__init__` failed; nothing can be awaited here.
        if getattr(self, "_closed", True) or not hasattr(self, "_reading"):
            return
        self._closed = True
        protocol.hang_up(self._response)
        if not self._loop.is_closed():
            response, loop = self._response, self._loop
            try:
                loop.call_soon_threadsafe(_release_soon, loop, response)
            except RuntimeError:
                pass


async def _piece(pieces: AsyncIterator[bytes]) -> bytes | UpstreamError | None:
    """The next piece, ``None`` at the end, or why there is none."""
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return None
    except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError, ValueError) as error:
        # Whatever it was, the stream had begun: it broke.
        return UpstreamError(str(errors.of_transport(error)))


#: Tasks that nobody else refers to.
_releases: set[asyncio.Task[None]] = set()


def _release_soon(loop: asyncio.AbstractEventLoop, response: httpx.Response) -> None:
    task = loop.create_task(_Transport._release(response))
    _releases.add(task)
    task.add_done_callback(_releases.discard)


class _LineIterator(AsyncIterator[str]):
    """Goes on where it was left; keeps the stream open."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def __aiter__(self) -> _LineIterator:
        return self

    async def __anext__(self) -> str:
        return await self._stream.next_line()


class AsyncStreamingExecResult:
    """A command that runs. Iterating yields the lines of its stdout as they come.

    Stopping early does nothing: the iterator can be taken up again. ``close()``, the end of an
    ``async with`` block, or losing the object hangs up, and the server kills what the command
    started.
    """

    stdout: AsyncIterator[str]
    """Lines without their ``\\n``."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self.stdout = _LineIterator(stream)

    @property
    def exit_code(self) -> int | None:
        """``None`` until the iterator has ended."""
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
