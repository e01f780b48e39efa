"""The client: sandboxes, runs, usage."""

from __future__ import annotations

import time
from types import TracebackType

from pinfold._async._io import opens, sleep

from .. import _errors as errors
from .. import _protocol as protocol
from .._errors import UpstreamError
from .._protocol import Request
from .._settings import Settings
from .._types import RunResult, Usage
from ._io import INTERRUPTS, finish
from .sandbox import AsyncSandbox
from .transport import AsyncTransport

#: Seconds that a request which makes something has at the least: whoever asks has to learn its id.
_LEARN_SECONDS = 1.0


class AsyncUpstream:
    """The client: where the server is, and which key to use.

    Usable by several users at once: threads of the sync client, tasks of one event loop of the
    async one. Close it, or use it in `async with`.
    """

    def __init__(
        self, api_key: str, *, base_url: str | None = None, timeout: float = 30.0
    ) -> None:
        """Connects with the first request.

        Args:
            api_key: the account's key.
            base_url: `$UPSTREAM_BASE_URL` where it is absent, else the local server.
            timeout: seconds for one HTTP exchange, and for one command that is not streamed.

        Raises:
            AuthError: the key is empty or cannot be one.
            UpstreamError: `base_url` is no address.
        """
        self._transport = AsyncTransport(Settings.of(api_key, base_url, timeout))

    @opens
    async def sandbox(
        self,
        image: str = "python:3.12",
        *,
        vcpu: int = 2,
        memory_mib: int = 512,
        ready_timeout: float = 30.0,
    ) -> AsyncSandbox:
        """Creates a sandbox and returns when it is ready; `await` it, or use it in `async with`.

        Args:
            image: a template or image name.
            vcpu: CPUs, 1 to 4.
            memory_mib: MiB, 128 to 2048.
            ready_timeout: seconds from the call on.

        Raises:
            TimeoutError: not ready in time; what was created is deleted.
            SandboxError: an argument out of its bounds (400), an unknown image (404), or a sandbox
                that fails to boot.
            QuotaError: the account may have no more.
        """
        deadline = time.monotonic() + ready_timeout
        request = protocol.create_sandbox(image, vcpu, memory_mib)
        sandbox_id = None
        try:
            sandbox_id = protocol.created_id(await self._make(request, deadline))
            await self._await_ready(sandbox_id, deadline)
        except (UpstreamError, *INTERRUPTS) as error:
            if sandbox_id is not None or _may_have_been_done(error):
                await finish(self._unmake_sandbox, request, sandbox_id)
            raise
        return AsyncSandbox(self._transport, sandbox_id)

    async def _await_ready(self, sandbox_id: str, deadline: float) -> None:
        pause = protocol.READY_PAUSE_MIN
        path = protocol.sandbox_path(sandbox_id)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.TimeoutError("the sandbox was not ready within ready_timeout")
            if protocol.is_ready(await self._fetch_within(protocol.get(path), left)):
                if time.monotonic() <= deadline:
                    return
                continue
            await sleep(max(min(pause, deadline - time.monotonic()), 0))
            pause = min(pause * 2, protocol.READY_PAUSE_MAX)

    async def run(
        self, markdown: str, *, poll_interval: float = 1.0, timeout: float = 300.0
    ) -> RunResult:
        """Runs a markdown pipeline in one fresh sandbox and returns when it has ended.

        A pipeline that fails does not raise: `status` says so. Past `timeout`, or when the call is
        interrupted, the run is cancelled, and its sandbox goes.

        Args:
            markdown: a document with fenced `bash` blocks, the steps.
            poll_interval: seconds between two looks at the run.
            timeout: seconds from the call on.

        Raises:
            TimeoutError: it took longer than `timeout`.
            SandboxError: the document has no steps or wrong ones (400), or an unknown image (404).
        """
        deadline = time.monotonic() + timeout
        request = protocol.submit_run(markdown)
        path = None
        try:
            path = protocol.run_path(await self._make(request, deadline))
            return await self._await_run(path, poll_interval, deadline)
        except (UpstreamError, *INTERRUPTS) as error:
            if path is not None or _may_have_been_done(error):
                await finish(self._unmake_run, request, path)
            raise

    async def _await_run(self, path: str, poll_interval: float, deadline: float) -> RunResult:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.TimeoutError("the run took longer than timeout")
            body = await self._fetch_within(protocol.look_at_run(path), left)
            result = protocol.run_result(body)
            if result is not None:
                return result
            await sleep(max(min(poll_interval, deadline - time.monotonic()), 0))

    async def usage(self) -> Usage:
        """What the account has used since it exists; live sandboxes count so far."""
        return protocol.usage(await self._transport.fetch(protocol.get("/usage")))

    async def close(self) -> None:
        """Closes the connections, streams too. Calling it again is harmless; other calls then fail
        with `UpstreamError`."""
        await self._transport.close()

    async def _make(self, request: Request, deadline: float) -> bytes:
        left = max(deadline - time.monotonic(), _LEARN_SECONDS)
        return await self._fetch_within(request, left)

    async def _fetch_within(self, request: Request, left: float) -> bytes:
        request.timeout = self._transport.settings.timeout
        return await self._transport.fetch(request.within(left))

    async def _unmake_sandbox(self, request: Request, sandbox_id: str | None) -> None:
        if sandbox_id is None:
            # The same request again tells the id of what it made, or makes it now.
            body = await self._quietly(request)
            if body is None:
                return
            sandbox_id = protocol.created_id(body)
        await self._quietly(protocol.delete(protocol.sandbox_path(sandbox_id)))

    async def _unmake_run(self, request: Request, path: str | None) -> None:
        if path is None:
            body = await self._quietly(request)
            if body is None:
                return
            path = protocol.run_path(body)
        await self._quietly(protocol.post(path + "/cancel"))

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


def _may_have_been_done(error: BaseException) -> bool:
    """Whether the server may have done what nobody read its answer to."""
    return not isinstance(error, UpstreamError) or error.status_code is None
