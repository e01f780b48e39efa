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
    if isinstance(error, ApiError) and rejected_for_now(error):
        if error.retry_after is None:
            return jittered(tries) if repeatable else None
        late = error.retry_after > _RETRY_AFTER_MAX_SECONDS
        return None if late else error.retry_after + jittered(0)
    if isinstance(error, BrokenConnectionError | AnswerTimeoutError) and repeatable:
        return jittered(tries)
    return None


def rejected_for_now(error: ApiError) -> bool:
    """Refused without effect (rate limit, too busy) or lost behind a proxy.

    A full quota is not: time alone does not empty it.
    """
    if error.code in ("rate_limited", "unavailable"):
        return True
    return error.code.startswith("http_") and error.status in (429, 502, 503, 504)


def jittered(tries: int) -> float:
    """Full jitter: from nothing to the exponential bound, so that clients spread out."""
    return random.uniform(0.0, bound(tries))


def bound(tries: int) -> float:
    """The longest pause before a try."""
    return float(min(_BASE_SECONDS * 2 ** min(tries, 16), _CAP_SECONDS))
