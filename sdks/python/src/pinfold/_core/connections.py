"""How connections are made and kept, and which proxies of the environment stand in between."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.request import getproxies

import httpx

from pinfold.errors import ConfigurationError

# Finds a server that vanished without a word while a long answer is awaited: the kernel asks after
# 30 seconds of silence, every 10 seconds, and gives up after the third question.
SOCKET_OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]

LIMITS = httpx.Limits(
    max_connections=1000,
    max_keepalive_connections=50,
    # Below the server's own bound on idle connections, so that none is used as it closes.
    keepalive_expiry=20.0,
)


@contextmanager
def setting_up() -> Iterator[None]:
    """Around what reads proxies and certificates of the environment."""
    try:
        yield
    except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"a proxy or certificate file of the environment cannot be used: {error}"
        ) from None


def keep_alive(event: str, facts: Mapping[str, Any]) -> None:
    """For the extension `trace` of a request that may go through a proxy.

    The library gives its options to sockets that lead straight to a server only.
    """
    made = socket_made(event, facts) if "connect_tcp" in event else None
    if made is not None:
        for option in SOCKET_OPTIONS:
            made.setsockopt(*option)


def socket_made(event: str, facts: Mapping[str, Any]) -> Any:
    """The socket that an event of the extension `trace` tells of, if any: TLS makes another one."""
    if event.endswith(("connect_tcp.complete", "start_tls.complete")):
        return facts["return_value"].get_extra_info("socket")
    return None


def hang_up(response: httpx.Response) -> socket.socket | None:
    """Ends the connection at once, also for a reader that waits on it in another thread.

    Takes no lock of the library's, so finalizers may call it. Answers with the socket, which is
    shut down and not yet closed.
    """
    network = response.extensions.get("network_stream")
    connection: socket.socket | None = None
    if network is not None:
        connection = network.get_extra_info("socket")
    if connection is not None:
        shut(connection)
    return connection


def shut(connection: socket.socket) -> None:
    """Ends a connection for everybody who has it; the descriptor stays."""
    # Its own method would make a TLS socket one without TLS, also for whoever reads it.
    with contextlib.suppress(OSError, AttributeError):
        if isinstance(connection, socket.socket):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        else:
            connection.shutdown(socket.SHUT_RDWR)


def content_length(response: httpx.Response) -> int | None:
    """The length that an answer announces."""
    length = response.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def environment_proxies() -> dict[str, str | None]:
    """The proxy for each pattern of URLs that `httpx` knows; `None` where there is none.

    The rules are those that `httpx` follows by itself: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, and
    the exceptions of `NO_PROXY`. Stated here because it follows them for transports of its own only.
    """
    told = getproxies()
    proxies: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        address = told.get(scheme)
        if address:
            proxies[f"{scheme}://"] = address if "://" in address else f"http://{address}"
    excepted = [host.strip() for host in told.get("no", "").split(",")]
    if "*" in excepted:
        return {}
    return {**proxies, **{_pattern(host): None for host in excepted if host}}


def _pattern(host: str) -> str:
    if "://" in host:
        return host
    try:
        address = ipaddress.ip_address(host.split("/")[0])
    except ValueError:
        # A name stands for all below it too.
        return f"all://{host}" if host.lower() == "localhost" else f"all://*{host}"
    return f"all://[{host}]" if address.version == 6 else f"all://{host}"
