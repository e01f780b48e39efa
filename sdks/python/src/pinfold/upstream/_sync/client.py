# Made from `_async` by `tools/make_sync.py`: change it there.
"""The client: sandboxes, runs, usage."""

from __future__ import annotations

import time
from types import TracebackType

from pinfold._sync._io import opens, sleep

from .. import _errors as errors
from .. import _protocol as protocol
from .._errors import UpstreamError
from .._protocol import Request
from .._settings import Settings
from .._types import RunResult, Usage
from ._io import INTERRUPTS, finish
from .sandbox import Sandbox
from .transport import Transport

#: Seconds that a request which makes something has at the least: whoever asks has to learn its id.
_LEARN_SECONDS = 1.0


class Upstream:
    """The client: where the server is, and which key to use.

    Usable by several users at once: threads of the sync client, tasks of one event loop of the
    async one. Close it, or use it in `with`.
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
        self._transport = Transport(Settings.of(api_key, base_url, timeout))

    @opens
    def sandbox(
        self,
        image: str = "python:3.12",
        *,
        vcpu: int = 2,
        memory_mib: int = 512,
        ready_timeout: float = 30.0,
    ) -> Sandbox:
        """Creates a sandbox and returns when it is ready; use it in `with`.

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
            sandbox_id = protocol.created_id(self._make(request, deadline))
            self._await_ready(sandbox_id, deadline)
        except (UpstreamError, *INTERRUPTS) as error:
            if sandbox_id is not None or _may_have_been_done(error):
                finish(self._unmake_sandbox, request, sandbox_id)
            raise
        return Sandbox(self._transport, sandbox_id)

    def _await_ready(self, sandbox_id: str, deadline: float) -> None:
        pause = protocol.READY_PAUSE_MIN
        path = protocol.sandbox_path(sandbox_id)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.TimeoutError("the sandbox was not ready within ready_timeout")
            if protocol.is_ready(self._fetch_within(protocol.get(path), left)):
                if time.monotonic() <= deadline:
                    return
                continue
            sleep(max(min(pause, deadline - time.monotonic()), 0))
            pause = min(pause * 2, protocol.READY_PAUSE_MAX)

    def run(
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
            path = protocol.run_path(self._make(request, deadline))
            return self._await_run(path, poll_interval, deadline)
        except (UpstreamError, *INTERRUPTS) as error:
            if path is not None or _may_have_been_done(error):
                finish(self._unmake_run, request, path)
            raise

    def _await_run(self, path: str, poll_interval: float, deadline: float) -> RunResult:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise errors.TimeoutError("the run took longer than timeout")
            body = self._fetch_within(protocol.look_at_run(path), left)
            result = protocol.run_result(body)
            if result is not None:
                return result
            sleep(max(min(poll_interval, deadline - time.monotonic()), 0))

    def usage(self) -> Usage:
        """What the account has used since it exists; live sandboxes count so far."""
        return protocol.usage(self._transport.fetch(protocol.get("/usage")))

    def close(self) -> None:
        """Closes the connections, streams too. Calling it again is harmless; other calls then fail
        with `UpstreamError`."""
        self._transport.close()

    def _make(self, request: Request, deadline: float) -> bytes:
        left = max(deadline - time.monotonic(), _LEARN_SECONDS)
        return self._fetch_within(request, left)

    def _fetch_within(self, request: Request, left: float) -> bytes:
        request.timeout = self._transport.settings.timeout
        return self._transport.fetch(request.within(left))

    def _unmake_sandbox(self, request: Request, sandbox_id: str | None) -> None:
        if sandbox_id is None:
            # The same request again tells the id of what it made, or makes it now.
            body = self._quietly(request)
            if body is None:
                return
            sandbox_id = protocol.created_id(body)
        self._quietly(protocol.delete(protocol.sandbox_path(sandbox_id)))

    def _unmake_run(self, request: Request, path: str | None) -> None:
        if path is None:
            body = self._quietly(request)
            if body is None:
                return
            path = protocol.run_path(body)
        self._quietly(protocol.post(path + "/cancel"))

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


def _may_have_been_done(error: BaseException) -> bool:
    """Whether the server may have done what nobody read its answer to."""
    return not isinstance(error, UpstreamError) or error.status_code is None
