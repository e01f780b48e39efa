# Made from `_async` by `tools/make_sync.py`: change it there.
"""Exchanges with one server: deadlines, kept connections, answers that are errors."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import httpx

from pinfold._sync._io import Home
from pinfold._sync.http import connections
from pinfold._core.answer import ERROR_MAX_BYTES
from pinfold._core.connections import keep_alive, setting_up, socket_made
from pinfold.errors import ConfigurationError

from .. import _errors as errors
from .._errors import UpstreamError
from .._network import bound_silence, is_stale
from .._protocol import STALE_MAX, Request
from .._settings import Settings
from ._io import Connection

_FAULTS = (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError, ValueError)


class Transport:
    """Exchanges over kept connections, for any number of users at once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        # Kept here, so that no finalizer ends what the library then cleans up under its own lock.
        self._streams: set[Connection] = set()
        # Those that were hung up on and are to be released. Bounded by those that are open.
        self._lost: deque[Connection] = deque()
        self._home = Home(self._connections)

    def _connections(self) -> httpx.Client:
        try:
            with setting_up():
                return connections(
                    direct=self.settings.loopback,
                    base_url=self.settings.base_url,
                    headers=self.settings.headers,
                )
        except ConfigurationError as error:
            raise UpstreamError(f"cannot set up HTTP: {error}") from None

    def close(self) -> None:
        """Closes all connections; what is asked afterwards fails."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()
        self._sweep()
        self._home.close()

    def fetch(self, request: Request) -> bytes:
        """The body of a good answer, complete within the request's time."""
        if request.timeout is None:
            request.timeout = self.settings.timeout
        bound = request.bound()
        deadline = None if bound is None else time.monotonic() + bound
        response = self._open(request)
        try:
            return self._body(response, request.answer_max_bytes, deadline)
        except _FAULTS as error:
            raise self._fault(error) from error
        finally:
            _release(response)

    def stream(self, request: Request) -> Connection:
        """A good answer that has begun; silence in it is no fault."""
        response = self._open(request)
        bound_silence(response, None)
        connection = Connection(response, self._lost)
        self._streams.add(connection)
        return connection

    def end(self, connection: Connection) -> None:
        """Nothing more comes on a stream."""
        self.forget(connection)
        connection.release()

    def forget(self, connection: Connection) -> None:
        """Nobody has this stream any more, or it waits to be released."""
        self._streams.discard(connection)

    def _body(
        self, response: httpx.Response, most: int | None, deadline: float | None
    ) -> bytes:
        body = bytearray()
        if deadline is not None:
            bound_silence(response, max(deadline - time.monotonic(), 0.001))
        for piece in response.iter_bytes():
            body += piece
            if most is not None and len(body) > most:
                raise UpstreamError("the server's answer is endless")
            if deadline is not None and time.monotonic() > deadline:
                raise errors.TimeoutError("the server did not answer in time")
        return bytes(body)

    def _open(self, request: Request) -> httpx.Response:
        """A good answer whose body has not been read; it has to be closed."""
        if request.timeout is None:
            request.timeout = self.settings.timeout
        response = self._send(request)
        if response.is_success:
            return response
        body = b""
        try:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > ERROR_MAX_BYTES:
                    break
        except _FAULTS:
            # What cannot be read of an error's body changes nothing about its status.
            pass
        finally:
            _release(response)
        raise errors.of_status(response.status_code, body)

    def _send(self, request: Request) -> httpx.Response:
        client = self._client()
        self._sweep()
        for attempt in range(STALE_MAX + 1):
            if self._closed:
                raise errors.closed_client()
            made: list[str] = []

            def trace(event: str, facts: dict[str, Any], made: list[str] = made) -> None:
                keep_alive(event, facts)
                self._home.keep(socket_made(event, facts))
                if "connect_tcp" in event:
                    made.append(event)

            try:
                built = client.build_request(
                    request.method,
                    self.settings.url(request.path),
                    headers=request.headers,
                    content=request.content,
                    timeout=request.bound(),
                    extensions={"trace": trace},
                )
                return client.send(built, stream=True)
            except (httpx.InvalidURL, *_FAULTS) as error:
                # A connection of ours that was kept had died: the request was not answered, and
                # its key lets the server tell if it has seen it.
                kept = not made and attempt < STALE_MAX
                if kept and is_stale(error) and not self._closed:
                    continue
                raise self._fault(error) from error
        raise UpstreamError("no kept connection works")

    def _client(self) -> httpx.Client:
        try:
            return self._home.client()
        except ConfigurationError as error:
            raise UpstreamError(str(error)) from None

    def _sweep(self) -> None:
        """Releases what finalizers could only hang up on."""
        while self._lost:
            try:
                connection = self._lost.popleft()
            except IndexError:
                # Another thread was faster.
                return
            self.end(connection)

    def _fault(self, error: Exception) -> UpstreamError:
        return errors.closed_client() if self._closed else errors.of_transport(error)


def _release(response: httpx.Response) -> None:
    try:
        response.close()
    except (httpx.HTTPError, OSError, RuntimeError):
        pass
