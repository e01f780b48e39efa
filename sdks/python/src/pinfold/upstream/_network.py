"""What is done to the connection below an answer, past the HTTP library."""

from __future__ import annotations

import contextlib
import socket

import httpx


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
        with contextlib.suppress(OSError, AttributeError):
            connection.shutdown(socket.SHUT_RDWR)
    return connection


def bound_silence(response: httpx.Response, seconds: float | None) -> None:
    """How long the rest of the answer may be silent; the headers had their own time.

    The library looks at this when the body is first read.
    """
    bounds = response.request.extensions.get("timeout")
    if isinstance(bounds, dict):
        bounds["read"] = seconds


def is_stale(error: Exception) -> bool:
    """Whether a kept connection may have been dead before the request: nothing was answered."""
    if isinstance(error, httpx.RemoteProtocolError):
        return "without sending a response" in str(error)
    return isinstance(error, httpx.ReadError | httpx.WriteError | httpx.CloseError)
