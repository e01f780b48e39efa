"""What is done to the connection below an answer, past the HTTP library."""

from __future__ import annotations

import httpx


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
