"""Reading server-sent events from any split of the bytes (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import re
from typing import NamedTuple

from pinfold._core.call import MESSAGE_MAX_BYTES
from pinfold.errors import ProtocolError

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
        if self._line_bytes + sum(map(len, self._data)) > MESSAGE_MAX_BYTES:
            raise ProtocolError("an event of the stream is endless")
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
