# Made from `_async` by `tools/make_sync.py`: change it there.
"""Sending one call, again where that is safe, and reading its answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TypeVar

import httpx

from pinfold._sync._io import Home, sleep
from pinfold._core import answer, retry
from pinfold._core.call import USUAL, Call
from pinfold._core.failures import translated
from pinfold._core.settings import Settings
from pinfold._version import __version__
from pinfold.errors import ConfigurationError, PinfoldError, ProtocolError

T = TypeVar("T")

CONNECT_SECONDS = 5.0
WRITE_SECONDS = 60.0
# Below the server's own bound on idle connections, so that none is used as it closes.
_IDLE_KEPT_SECONDS = 20.0
_CONNECTIONS_MAX = 1000
_IDLE_CONNECTIONS_MAX = 50
# Finds a server that vanished without a word while a long answer is awaited.
_SOCKET_OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


class Http:
    """One server, one key, any number of connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._home = Home()
        self._closed = False
        limits = httpx.Limits(
            max_connections=_CONNECTIONS_MAX,
            max_keepalive_connections=_IDLE_CONNECTIONS_MAX,
            keepalive_expiry=_IDLE_KEPT_SECONDS,
        )
        # A proxy of the environment is for the world outside.
        direct = settings.loopback
        transport = httpx.HTTPTransport(limits=limits, socket_options=_SOCKET_OPTIONS)
        with translated(settings.url):
            self._client = httpx.Client(
                base_url=settings.url + "/",
                headers={
                    "authorization": f"Bearer {settings.key}",
                    "user-agent": f"pinfold-python/{__version__}",
                    "accept-encoding": "identity",
                },
                limits=limits,
                transport=transport if direct else None,
                trust_env=not direct,
                # A redirect would carry the key elsewhere; the API has none.
                follow_redirects=False,
            )

    def __repr__(self) -> str:
        return f"Http({self.settings.url!r})"

    def close(self) -> None:
        """Closes all connections. Repeating this is harmless."""
        self._closed = True
        self._client.close()

    def fetch(self, call: Call[T]) -> T:
        """Sends and reads the whole answer. A body that breaks off is a failed try."""
        tries = 0
        while True:
            tries += 1
            try:
                response = self.send_once(call)
                try:
                    return call.read(self._read_all(response, call))
                finally:
                    response.close()
            except PinfoldError as error:
                pause = retry.pause(error, call.repeatable, tries, call.tries)
                if pause is None:
                    raise
            sleep(pause)

    def open(self, call: Call[T]) -> httpx.Response:
        """Sends; the answer's headers are in and its body is yet to be read."""
        tries = 0
        while True:
            tries += 1
            try:
                return self.send_once(call)
            except PinfoldError as error:
                pause = retry.pause(error, call.repeatable, tries, call.tries)
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

    def send_once(self, call: Call[T]) -> httpx.Response:
        """One try."""
        return self._send(call, call.body, {})

    def _send(
        self, call: Call[T], content: bytes | Iterator[bytes] | None, headers: dict[str, str]
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
            )
            response = self._client.send(request, stream=True)
        if 200 <= response.status_code < 300:
            return response
        try:
            body = b""
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

    def _read_all(self, response: httpx.Response, call: Call[T]) -> bytes:
        body = bytearray()
        with translated(self.settings.url):
            for chunk in response.iter_raw():
                body += chunk
                if call.answer_max_bytes is not None and len(body) > call.answer_max_bytes:
                    raise ProtocolError(f"the answer to {call.path} is endless")
        return bytes(body)
