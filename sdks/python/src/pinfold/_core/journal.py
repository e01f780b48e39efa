"""Following numbered events over any number of connections: nothing missing, nothing twice.

Knows bytes and errors, and no connection. Its owner connects, feeds and pauses as it is told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from pinfold._core import answer, retry
from pinfold._core.call import Call, decode
from pinfold._core.sse import Parser
from pinfold.errors import (
    AnswerTimeoutError,
    ApiError,
    BrokenConnectionError,
    ConnectionFailedError,
    PinfoldError,
    ProtocolError,
)

BARREN_CONNECTIONS_MAX = 12
"""Connections in a row that bring no record. With the pauses between them this outlasts the restart
of a server."""
SILENCE_MAX_SECONDS = 45.0
"""Three missed heartbeats: the connection is dead even if nobody said so."""
_RETRY_AFTER_MAX_SECONDS = 60.0


class _Numbered(Protocol):
    @property
    def seq(self) -> int: ...


R = TypeVar("R", bound=_Numbered)


class Follower(Generic[R]):
    """The state of following one sequence of events."""

    def __init__(
        self,
        request: Call[None],
        after_seq: int,
        *,
        read: Callable[[Any], R | None],
        is_last: Callable[[R], bool],
        has_gaps: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follows what `request` streams, behind the event `after_seq`.

        Args:
            request: without `after_seq`.
            after_seq: begin behind this event.
            read: an event's data; `None` for those that only newer versions know.
            is_last: nothing follows behind such an event.
            has_gaps: numbers are left out by right.
            clock: seconds.
        """
        self.last_seq = after_seq
        """The last event handed out."""
        self.ended = False
        self._request = request
        self._read = read
        self._is_last = is_last
        self._has_gaps = has_gaps
        self._parser = Parser()
        # Bounded by one chunk of the connection.
        self._ready: deque[R] = deque()
        # The server's own word on why a connection ends, where it gave one.
        self._told: ApiError | None = None
        self._barren = 0
        self._clock = clock
        self._connected_at = clock()
        self._next_seq_from = after_seq

    def connect(self) -> Call[None]:
        """The request that continues behind the last record."""
        self._parser = Parser()
        self._ready.clear()
        self._told = None
        self._next_seq_from = self.last_seq
        self._connected_at = self._clock()
        return self._request.query(after_seq=self.last_seq).within(SILENCE_MAX_SECONDS)

    def feed(self, chunk: bytes) -> None:
        """Takes a piece of the connection."""
        if self._clock() - self._connected_at >= retry.LASTING_SECONDS:
            # Not barren, although nothing happens: a heartbeat says so.
            self._barren = 0
        for event in self._parser.push(chunk):
            data = decode(event.data)
            if event.name == "error":
                self._told = answer.from_body(data if isinstance(data, dict) else {}, 0)
                continue
            record = self._read(data)
            if record is not None:
                self._admit(record)
            elif _seq(data) == self._next_seq_from + 1:
                # What only newer versions know has a number too.
                self._next_seq_from += 1

    def _admit(self, record: R) -> None:
        if record.seq <= self._next_seq_from:
            return
        # Before the end they are left out where what came before it is no longer kept.
        gapless = not self._has_gaps and not self._is_last(record)
        if gapless and record.seq != self._next_seq_from + 1:
            raise ProtocolError(f"record {record.seq} came after record {self._next_seq_from}")
        self._next_seq_from = record.seq
        self._ready.append(record)

    def take(self) -> R | None:
        """The next record, if one is here."""
        if not self._ready:
            return None
        record = self._ready.popleft()
        self._barren = 0
        self.last_seq = record.seq
        self.ended = self._is_last(record)
        return record

    def closed(self) -> PinfoldError:
        """The connection closed before the end of the journal."""
        return self._told or BrokenConnectionError("the stream closed before its end")

    def failed(self, error: PinfoldError) -> float:
        """Seconds to wait before the next connection. Raises the error to give up."""
        if isinstance(error, ApiError):
            final = not (error.status == 429 or error.status >= 500 or error is self._told)
        else:
            final = not isinstance(
                error,
                ConnectionFailedError | AnswerTimeoutError | BrokenConnectionError | ProtocolError,
            )
        if final or self._barren >= BARREN_CONNECTIONS_MAX:
            raise error
        asked = error.retry_after if isinstance(error, ApiError) else None
        # A connection that was merely cut is made again at once the first time.
        again = 0.0 if self._barren == 0 else retry.jittered(self._barren)
        self._barren += 1
        return again if asked is None else min(asked, _RETRY_AFTER_MAX_SECONDS)


def _seq(data: Any) -> int | None:
    seq = data.get("seq") if isinstance(data, dict) else None
    return seq if isinstance(seq, int) else None
