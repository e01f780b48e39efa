"""Lines of stdout out of a stream of events, whatever the pieces it comes in. No input, no output."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from pinfold._core.call import MESSAGE_MAX_BYTES
from pinfold._core.sse import Parser
from pinfold.errors import ProtocolError

from . import _errors as errors
from ._errors import UpstreamError
from ._protocol import document, part

LINE_MAX_CHARS = MESSAGE_MAX_BYTES
"""A longer line is refused: it could not be kept in memory until its end."""


class Lines:
    """What has come of one stream, and what the stream came to."""

    def __init__(self) -> None:
        self._parser = Parser()
        # The line that has no end yet.
        self._partial: list[str] = []
        self._partial_chars = 0
        # Bounded by one piece of the connection.
        self.ready: deque[str] = deque()
        """Lines to be handed out, without their line feeds."""
        self.exit_code: int | None = None
        """The code, once the server has said it."""
        self.fault: UpstreamError | None = None
        """Why the stream ended, where that was no exit. Raised behind the lines before it."""
        self.ended = False

    def push(self, piece: bytes) -> None:
        """Takes a piece of the stream. Raises UpstreamError where it is none of this contract."""
        try:
            events = self._parser.push(piece)
        except ProtocolError as error:
            raise UpstreamError(str(error)) from None
        for event in events:
            if self.ended:
                return
            if event.name == "stdout":
                self._write(part(document(event.data), "text", str))
            elif event.name == "exit":
                self.exit_code = part(document(event.data), "exit_code", int)
                self._end()
            elif event.name == "error":
                self.fault = _fault(document(event.data))
                self._end()

    def broke(self, error: UpstreamError | None = None) -> None:
        """The connection ended before the stream did."""
        if not self.ended:
            self.fault = error or UpstreamError("the stream broke off before its end")
            self._end()

    def _write(self, text: str) -> None:
        first, *others = text.split("\n")
        self._extend(first)
        for other in others:
            self.ready.append("".join(self._partial))
            self._partial, self._partial_chars = [], 0
            self._extend(other)

    def _extend(self, text: str) -> None:
        self._partial.append(text)
        self._partial_chars += len(text)
        if self._partial_chars > LINE_MAX_CHARS:
            raise UpstreamError("a line of the command's output is endless")

    def _end(self) -> None:
        last = "".join(self._partial)
        self._partial = []
        if last:
            self.ready.append(last)
        self.ended = True


def _fault(data: Mapping[str, Any]) -> UpstreamError:
    status = data.get("status")
    message = data.get("message")
    text = message if isinstance(message, str) else "the command's stream failed"
    if isinstance(status, int) and 400 <= status < 600:
        return errors.of_status(status, json.dumps({"error": {"message": text}}).encode())
    return UpstreamError(text)
