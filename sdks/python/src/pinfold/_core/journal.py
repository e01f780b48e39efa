"""Following a command's journal over any number of connections: nothing missing, nothing twice.

Knows bytes and errors, and no connection. Its owner connects, feeds and pauses as it is told.
"""

from __future__ import annotations

from collections import deque

from pinfold._core import answer, retry
from pinfold._core.call import Call, decode, get, nothing
from pinfold._core.sse import Parser
from pinfold.errors import (
    AnswerTimeoutError,
    ApiError,
    BrokenConnectionError,
    ConnectionFailedError,
    PinfoldError,
    ProtocolError,
)
from pinfold.types import End, Record
from pinfold.types._command import record_from_json

BARREN_CONNECTIONS_MAX = 12
"""Connections in a row that bring no record. With the pauses between them this outlasts the restart
of a server."""
SILENCE_MAX_SECONDS = 45.0
"""Three missed heartbeats: the connection is dead even if nobody said so."""
_RETRY_AFTER_MAX_SECONDS = 60.0


class Follower:
    """The state of following one journal."""

    def __init__(self, command_id: str, after_seq: int, stream: str | None) -> None:
        self.last_seq = after_seq
        """The last record handed out."""
        self.ended = False
        self._command_id = command_id
        self._stream = stream
        self._parser = Parser()
        # Bounded by one chunk of the connection.
        self._ready: deque[Record] = deque()
        # The server's own word on why a connection ends, where it gave one.
        self._told: ApiError | None = None
        self._barren = 0
        self._next_seq_from = after_seq

    def connect(self) -> Call[None]:
        """The request that continues behind the last record."""
        self._parser = Parser()
        self._ready.clear()
        self._told = None
        self._next_seq_from = self.last_seq
        call = get("commands", self._command_id, "stream", read=nothing)
        return call.query(after_seq=self.last_seq, stream=self._stream).within(SILENCE_MAX_SECONDS)

    def feed(self, chunk: bytes) -> None:
        """Takes a piece of the connection."""
        for event in self._parser.push(chunk):
            if event.name in ("output", "truncated", "end"):
                record = record_from_json(decode(event.data))
                if record is not None:
                    self._admit(record)
            elif event.name == "error":
                body = decode(event.data)
                self._told = answer.from_body(body if isinstance(body, dict) else {}, 0)

    def _admit(self, record: Record) -> None:
        if record.seq <= self._next_seq_from:
            return
        # Numbers are left out by right with a filter, and before the end of a command whose output
        # is no longer kept.
        gapless = self._stream is None and not isinstance(record, End)
        if gapless and record.seq != self._next_seq_from + 1:
            raise ProtocolError(f"record {record.seq} came after record {self._next_seq_from}")
        self._next_seq_from = record.seq
        self._ready.append(record)

    def take(self) -> Record | None:
        """The next record, if one is here."""
        if not self._ready:
            return None
        record = self._ready.popleft()
        self._barren = 0
        self.last_seq = record.seq
        self.ended = isinstance(record, End)
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
