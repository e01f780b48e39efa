"""When a request is tried again, and after how long. Pure, save for the jitter's dice and the clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pinfold.errors import (
    AnswerTimeoutError,
    ApiError,
    BrokenConnectionError,
    ConnectionFailedError,
    PinfoldError,
)

if TYPE_CHECKING:
    from pinfold._core.call import Call

TRIES = 4
"""Tries of one request, the first included."""
TRIES_WAITING = 12
"""The same for requests that wait for a command: enough to outlast the restart of a server."""
LASTING_SECONDS = 10.0
"""A connection that broke only after this time was to a server that worked on the request."""
KEY_KEPT_SECONDS = 23 * 3600.0
"""The server keeps an idempotency key for a day: behind that the same request would be a new one."""
_BASE_SECONDS = 0.1
_CAP_SECONDS = 5.0
_RETRY_AFTER_MAX_SECONDS = 60.0
"""A server that asks for a longer pause gets its error reported instead."""


class Tries:
    """The tries of one request."""

    def __init__(
        self,
        call: Call[Any],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._call = call
        self._clock = clock
        # The one clock stands still while this machine sleeps, the other can be set.
        self._wall = wall
        self._first = (clock(), wall())
        self._began = self._first[0]
        self._made = 0

    def begin(self) -> None:
        """Another try begins."""
        self._made += 1
        self._began = self._clock()

    def pause(self, error: PinfoldError) -> float | None:
        """Seconds before the next try behind this failure, or `None` to give up."""
        now = self._clock()
        if self._call.tries == TRIES_WAITING and isinstance(error, BrokenConnectionError):
            # What waits for a command waits as long as that runs, over any number of connections.
            self._made = 1 if now - self._began >= LASTING_SECONDS else self._made
        if self._is_over(now):
            return None
        seconds = pause(error, self._call.repeatable, self._made, self._call.tries)
        if seconds is None or self._call.until is None:
            return seconds
        return min(seconds, self._call.until - now)

    def _is_over(self, now: float) -> bool:
        if self._call.until is not None and now >= self._call.until:
            return True
        age = max(now - self._first[0], self._wall() - self._first[1])
        return self._call.idempotency_key is not None and age >= KEY_KEPT_SECONDS


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
