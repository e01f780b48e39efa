"""When a request is tried again, and after how long. Pure, save for the jitter's dice."""

from __future__ import annotations

import random

from pinfold.errors import (
    AnswerTimeoutError,
    ApiError,
    BrokenConnectionError,
    ConnectionFailedError,
    PinfoldError,
)

TRIES = 4
"""Tries of one request, the first included."""
TRIES_WAITING = 12
"""The same for requests that wait for a command: enough to outlast the restart of a server."""
_BASE_SECONDS = 0.1
_CAP_SECONDS = 5.0
_RETRY_AFTER_MAX_SECONDS = 60.0
"""A server that asks for a longer pause gets its error reported instead."""


def pause(error: PinfoldError, repeatable: bool, tries: int, most: int) -> float | None:
    """Seconds before try number `tries` + 1 of `most`, or `None` to give up."""
    if tries >= most:
        return None
    if isinstance(error, ConnectionFailedError):
        return jittered(tries)
    if isinstance(error, ApiError) and not_taken_on(error):
        return _asked(error, tries)
    if not repeatable:
        return None
    if isinstance(error, ApiError):
        return _asked(error, tries) if _may_pass(error) else None
    if isinstance(error, BrokenConnectionError | AnswerTimeoutError):
        return jittered(tries)
    return None


def not_taken_on(error: ApiError) -> bool:
    """Whether Pinfold itself says that nothing was done, and when to come back.

    A proxy's word does not count: behind a 502, 503 or 504 of its own the request may have had its
    effect. These codes come out of Pinfold's own error body only.
    """
    return error.code in ("rate_limited", "unavailable") and error.retry_after is not None


def _may_pass(error: ApiError) -> bool:
    """Whether time alone may help: busy, or lost behind a proxy. It does not empty a full quota."""
    if error.code in ("rate_limited", "unavailable"):
        return True
    return error.code.startswith("http_") and error.status in (429, 502, 503, 504)


def _asked(error: ApiError, tries: int) -> float | None:
    """The server's own pause, or ours where it names none; `None` where its is too long."""
    if error.retry_after is None:
        return jittered(tries)
    late = error.retry_after > _RETRY_AFTER_MAX_SECONDS
    return None if late else error.retry_after + jittered(0)


def jittered(tries: int) -> float:
    """Full jitter: from nothing to the exponential bound, so that clients spread out."""
    return random.uniform(0.0, bound(tries))


def bound(tries: int) -> float:
    """The longest pause before a try."""
    return float(min(_BASE_SECONDS * 2 ** min(tries, 16), _CAP_SECONDS))
