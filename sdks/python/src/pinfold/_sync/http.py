# Made from `_async` by `tools/make_sync.py`: change it there.
"""Sending one call, again where that is safe, and reading its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx

from pinfold._sync._io import Body, Home, sleep
from pinfold._core import answer, retry
from pinfold._core.call import USUAL, Call
from pinfold._core.connections import (
    LIMITS,
    SOCKET_OPTIONS,
    environment_proxies,
    keep_alive,
    setting_up,
    socket_made,
)
from pinfold._core.failures import translated
from pinfold._core.settings import Settings
from pinfold._version import __version__
from pinfold.errors import (
    BrokenConnectionError,
    ConfigurationError,
    PinfoldError,
    ProtocolError,
)

T = TypeVar("T")

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 60.0


class Http:
    """One server, one key, any number of connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closed = False
        # A proxy of the environment is for the world outside.
        self._proxied = not settings.loopback
        # Bodies that are being read. Kept here, so that no finalizer ends what the library then
        # cleans up under its own lock.
        self._bodies: set[Body] = set()
        # Those that were hung up on and are to be released. Bounded by those that are open.
        self._lost: deque[Body] = deque()
        self._home = Home(self._connections)

    def _connections(self) -> httpx.Client:
        with setting_up():
            return connections(
                direct=self.settings.loopback,
                base_url=self.settings.url + "/",
                headers={
                    "authorization": f"Bearer {self.settings.key}",
                    "user-agent": f"pinfold-python/{__version__}",
                    "accept-encoding": "identity",
                },
            )

    def __repr__(self) -> str:
        return f"Http({self.settings.url!r})"

    def close(self) -> None:
        """Closes all connections; whoever waits on one finds it broken. Repeating this is harmless."""
        self._closed = True
        for body in list(self._bodies):
            body.close()
        self._home.close()

    def fetch(self, call: Call[T]) -> T:
        """Sends and reads the whole answer. A body that breaks off is a failed try."""
        tries = retry.Tries(call)
        while True:
            tries.begin()
            try:
                response = self._send(call, call.body, {})
                try:
                    return call.read(self._read_all(response, call))
                finally:
                    response.close()
            except PinfoldError as error:
                pause = tries.pause(error)
                if pause is None:
                    raise
            sleep(pause)

    def open(self, call: Call[T]) -> Body:
        """Sends; the answer's headers are in and its body is yet to be read."""
        tries = retry.Tries(call)
        while True:
            tries.begin()
            try:
                return self.open_once(call)
            except PinfoldError as error:
                pause = tries.pause(error)
                if pause is None:
                    raise
            sleep(pause)

    def upload(
        self, call: Call[T], content: Iterator[bytes], length: int | None
    ) -> T:
        """Sends a body that cannot be sent again."""
        headers = {"content-type": "application/octet-stream"}
        if length is not None:
            headers["content-length"] = str(length)
        response = self._send(call, content, headers)
        try:
            return call.read(self._read_all(response, call))
        finally:
            response.close()

    def open_once(self, call: Call[T]) -> Body:
        """One try of this."""
        return Body(self._send(call, call.body, {}), self._bodies, self._lost)

    def _send(
        self, call: Call[T], content: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> httpx.Response:
        self.check()
        client = self._home.client()
        self._sweep()
        silence = self.settings.timeout if call.timeout == USUAL else call.timeout
        timeout = httpx.Timeout(
            connect=CONNECT_SECONDS, read=silence, write=WRITE_SECONDS, pool=WRITE_SECONDS
        )
        with translated(self.settings.url):
            request = client.build_request(
                call.method,
                call.target,
                content=content,
                headers={**call.headers, **headers},
                timeout=timeout,
                extensions={"trace": self._trace} if self._proxied or Home.KEEPS_SOCKETS else {},
            )
            response = client.send(request, stream=True)
        if 200 <= response.status_code < 300:
            return response
        body = b""
        try:
            with translated(self.settings.url):
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > answer.ERROR_MAX_BYTES:
                        break
        except PinfoldError:
            # What cannot be read of an error's body changes nothing about its status.
            pass
        finally:
            response.close()
        raise answer.api_error(response.status_code, response.headers, body)

    def check(self) -> None:
        """Raises `ConfigurationError` where the client cannot be used any more."""
        if self._closed:
            raise ConfigurationError("the client is closed")

    def _sweep(self) -> None:
        """Releases what finalizers could only hang up on."""
        for _ in range(len(self._lost)):
            try:
                body = self._lost.popleft()
            except IndexError:
                # Another thread was faster.
                return
            body.close()

    def _trace(self, event: str, facts: dict[str, Any]) -> None:
        if self._proxied:
            keep_alive(event, facts)
        self._home.keep(socket_made(event, facts))

    def _read_all(self, response: httpx.Response, call: Call[T]) -> bytes:
        body = bytearray()
        with translated(self.settings.url):
            for chunk in response.iter_raw():
                body += chunk
                if call.answer_max_bytes is not None and len(body) > call.answer_max_bytes:
                    raise ProtocolError(f"the answer to {call.path} is endless")
        if self._closed:
            # Hanging up looks like an end where nothing else tells of one.
            raise BrokenConnectionError("the client was closed while it read an answer")
        return bytes(body)


def connections(*, direct: bool, base_url: str, headers: dict[str, str]) -> httpx.Client:
    """The HTTP library's client, with connections that notice a peer that is gone.

    `direct`: without the proxies and certificates that the environment names.
    """
    verify = httpx.create_ssl_context(trust_env=not direct)

    def transport(proxy: str | None) -> httpx.HTTPTransport:
        return httpx.HTTPTransport(
            verify=verify, limits=LIMITS, proxy=proxy, socket_options=SOCKET_OPTIONS
        )

    proxies = {} if direct else environment_proxies()
    return httpx.Client(
        base_url=base_url,
        headers=headers,
        transport=transport(None),
        # Where it is `None`, a pattern falls back on the transport without a proxy.
        mounts={
            pattern: None if proxy is None else transport(proxy)
            for pattern, proxy in proxies.items()
        },
        trust_env=False,
        # A redirect would carry the key elsewhere; the API has none.
        follow_redirects=False,
    )
