"""Reading server-sent events from any split of the bytes (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import re
from typing import NamedTuple

from pinfold.errors import ProtocolError

LINE_MAX_BYTES = 16 << 20
"""A line longer than this is not something the server sends."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """One event."""

    name: str
    data: bytes


class Parser:
    """Takes bytes as they come, gives events as they are complete."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._line_bytes = 0
        # The last byte was a carriage return: a line feed right after belongs to it.
        self._after_return = False
        self._name = ""
        self._data: list[bytes] = []

    def push(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes."""
        if not chunk:
            return []
        if self._after_return and chunk[:1] == b"\n":
            chunk = chunk[1:]
        self._after_return = chunk[-1:] == b"\r"
        *complete, rest = _LINE_END.split(chunk)
        events = []
        for line in complete:
            if self._line:
                self._line.append(line)
                line = b"".join(self._line)
                self._line.clear()
                self._line_bytes = 0
            event = self._end_line(line)
            if event is not None:
                events.append(event)
        if rest:
            self._line.append(rest)
            self._line_bytes += len(rest)
        if self._line_bytes > LINE_MAX_BYTES or sum(map(len, self._data)) > LINE_MAX_BYTES:
            raise ProtocolError("a line of the event stream is endless")
        return events

    def _end_line(self, line: bytes) -> Event | None:
        if not line:
            name, data = self._name, self._data
            self._name, self._data = "", []
            return Event(name, b"\n".join(data)) if data else None
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value)
        # Comments (heartbeats), ids (also inside the data) and what newer servers add.
        return None
