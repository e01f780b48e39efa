"""Sending one call, again where that is safe, and reading its answer."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx

from pinfold._async._io import Body, Home, sleep
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


class AsyncHttp:
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

    def _connections(self) -> httpx.AsyncClient:
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
        return f"AsyncHttp({self.settings.url!r})"

    async def aclose(self) -> None:
        """Closes all connections; whoever waits on one finds it broken. Repeating this is harmless."""
        self._closed = True
        for body in list(self._bodies):
            await body.aclose()
        await self._home.aclose()

    async def fetch(self, call: Call[T]) -> T:
        """Sends and reads the whole answer. A body that breaks off is a failed try."""
        tries = retry.Tries(call)
        while True:
            tries.begin()
            try:
                response = await self._send(call, call.body, {})
                try:
                    return call.read(await self._read_all(response, call))
                finally:
                    await response.aclose()
            except PinfoldError as error:
                pause = tries.pause(error)
                if pause is None:
                    raise
            await sleep(pause)

    async def open(self, call: Call[T]) -> Body:
        """Sends; the answer's headers are in and its body is yet to be read."""
        tries = retry.Tries(call)
        while True:
            tries.begin()
            try:
                return await self.open_once(call)
            except PinfoldError as error:
                pause = tries.pause(error)
                if pause is None:
                    raise
            await sleep(pause)

    async def upload(
        self, call: Call[T], content: AsyncIterator[bytes], length: int | None
    ) -> T:
        """Sends a body that cannot be sent again."""
        headers = {"content-type": "application/octet-stream"}
        if length is not None:
            headers["content-length"] = str(length)
        response = await self._send(call, content, headers)
        try:
            return call.read(await self._read_all(response, call))
        finally:
            await response.aclose()

    async def open_once(self, call: Call[T]) -> Body:
        """One try of this."""
        return Body(await self._send(call, call.body, {}), self._bodies, self._lost)

    async def _send(
        self, call: Call[T], content: bytes | AsyncIterator[bytes] | None, headers: dict[str, str]
    ) -> httpx.Response:
        self.check()
        client = self._home.client()
        await self._sweep()
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
            response = await client.send(request, stream=True)
        if 200 <= response.status_code < 300:
            return response
        body = b""
        try:
            with translated(self.settings.url):
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > answer.ERROR_MAX_BYTES:
                        break
        except PinfoldError:
            # What cannot be read of an error's body changes nothing about its status.
            pass
        finally:
            await response.aclose()
        raise answer.api_error(response.status_code, response.headers, body)

    def check(self) -> None:
        """Raises `ConfigurationError` where the client cannot be used any more."""
        if self._closed:
            raise ConfigurationError("the client is closed")

    async def _sweep(self) -> None:
        """Releases what finalizers could only hang up on."""
        for _ in range(len(self._lost)):
            try:
                body = self._lost.popleft()
            except IndexError:
                # Another thread was faster.
                return
            await body.aclose()

    async def _trace(self, event: str, facts: dict[str, Any]) -> None:
        if self._proxied:
            keep_alive(event, facts)
        self._home.keep(socket_made(event, facts))

    async def _read_all(self, response: httpx.Response, call: Call[T]) -> bytes:
        body = bytearray()
        with translated(self.settings.url):
            async for chunk in response.aiter_raw():
                body += chunk
                if call.answer_max_bytes is not None and len(body) > call.answer_max_bytes:
                    raise ProtocolError(f"the answer to {call.path} is endless")
        if self._closed:
            # Hanging up looks like an end where nothing else tells of one.
            raise BrokenConnectionError("the client was closed while it read an answer")
        return bytes(body)


def connections(*, direct: bool, base_url: str, headers: dict[str, str]) -> httpx.AsyncClient:
    """The HTTP library's client, with connections that notice a peer that is gone.

    `direct`: without the proxies and certificates that the environment names.
    """
    verify = httpx.create_ssl_context(trust_env=not direct)

    def transport(proxy: str | None) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(
            verify=verify, limits=LIMITS, proxy=proxy, socket_options=SOCKET_OPTIONS
        )

    proxies = {} if direct else environment_proxies()
    return httpx.AsyncClient(
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
