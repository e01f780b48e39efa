"""Sending one call, again where that is safe, and reading its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx

from pinfold._async._io import Home, sleep
from pinfold._core import answer, retry
from pinfold._core.call import USUAL, Call
from pinfold._core.connections import (
    LIMITS,
    SOCKET_OPTIONS,
    environment_proxies,
    keep_alive,
    setting_up,
)
from pinfold._core.failures import translated
from pinfold._core.settings import Settings
from pinfold._version import __version__
from pinfold.errors import ConfigurationError, PinfoldError, ProtocolError

T = TypeVar("T")

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 60.0


class AsyncHttp:
    """One server, one key, any number of connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._home = Home()
        self._closed = False
        # A proxy of the environment is for the world outside.
        self._proxied = not settings.loopback
        with setting_up():
            self._client = connections(
                direct=settings.loopback,
                base_url=settings.url + "/",
                headers={
                    "authorization": f"Bearer {settings.key}",
                    "user-agent": f"pinfold-python/{__version__}",
                    "accept-encoding": "identity",
                },
            )

    def __repr__(self) -> str:
        return f"AsyncHttp({self.settings.url!r})"

    async def aclose(self) -> None:
        """Closes all connections. Repeating this is harmless."""
        self._closed = True
        await self._client.aclose()

    async def fetch(self, call: Call[T]) -> T:
        """Sends and reads the whole answer. A body that breaks off is a failed try."""
        tries = 0
        while True:
            tries += 1
            try:
                response = await self.send_once(call)
                try:
                    return call.read(await self._read_all(response, call))
                finally:
                    await response.aclose()
            except PinfoldError as error:
                pause = retry.pause(error, call.repeatable, tries, call.tries)
                if pause is None:
                    raise
            await sleep(pause)

    async def open(self, call: Call[T]) -> httpx.Response:
        """Sends; the answer's headers are in and its body is yet to be read."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self.send_once(call)
            except PinfoldError as error:
                pause = retry.pause(error, call.repeatable, tries, call.tries)
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

    async def send_once(self, call: Call[T]) -> httpx.Response:
        """One try."""
        return await self._send(call, call.body, {})

    async def _send(
        self, call: Call[T], content: bytes | AsyncIterator[bytes] | None, headers: dict[str, str]
    ) -> httpx.Response:
        self._home.check()
        if self._closed:
            raise ConfigurationError("the client is closed")
        silence = self.settings.timeout if call.timeout == USUAL else call.timeout
        timeout = httpx.Timeout(
            connect=CONNECT_SECONDS, read=silence, write=WRITE_SECONDS, pool=WRITE_SECONDS
        )
        with translated(self.settings.url):
            request = self._client.build_request(
                call.method,
                call.target,
                content=content,
                headers={**call.headers, **headers},
                timeout=timeout,
                extensions={"trace": _trace} if self._proxied else {},
            )
            response = await self._client.send(request, stream=True)
        if 200 <= response.status_code < 300:
            return response
        try:
            body = b""
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

    async def _read_all(self, response: httpx.Response, call: Call[T]) -> bytes:
        body = bytearray()
        with translated(self.settings.url):
            async for chunk in response.aiter_raw():
                body += chunk
                if call.answer_max_bytes is not None and len(body) > call.answer_max_bytes:
                    raise ProtocolError(f"the answer to {call.path} is endless")
        return bytes(body)


async def _trace(event: str, facts: dict[str, Any]) -> None:
    keep_alive(event, facts)


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
