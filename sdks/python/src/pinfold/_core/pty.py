"""What a terminal's connection says, as events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Union

from pinfold._core import answer
from pinfold._core.call import decode
from pinfold.errors import ProtocolError
from pinfold.types import CommandFacts

FRAME_MAX_BYTES = 16 << 20
"""Frames of the server are far below this."""


@dataclass(frozen=True)
class PtyReady:
    """First of all. The command's id serves to attach again later."""

    command: CommandFacts


@dataclass(frozen=True)
class PtyOutput:
    """What the terminal shows."""

    data: bytes


@dataclass(frozen=True)
class PtyPosition:
    """All output up to this record has arrived: to continue later, attach behind it."""

    seq: int


@dataclass(frozen=True)
class PtyTruncated:
    """Output was dropped from here on: the command's cap was reached."""

    seq: int


@dataclass(frozen=True)
class PtyExit:
    """The command ended; nothing follows."""

    command: CommandFacts


PtyEvent = Union[PtyOutput, PtyPosition, PtyTruncated, PtyExit]
"""What a terminal tells."""


def event(frame: str | bytes) -> PtyEvent | PtyReady | None:
    """One frame; `None` for what only newer versions know. Raises the error it tells."""
    if isinstance(frame, bytes):
        return PtyOutput(frame)
    told = decode(frame.encode())
    kind = told.get("type") if isinstance(told, dict) else None
    if kind == "ready":
        return PtyReady(CommandFacts.from_json(told.get("command")))
    if kind == "exit":
        return PtyExit(CommandFacts.from_json(told.get("command")))
    if kind in ("position", "truncated"):
        seq = told.get("seq")
        if not isinstance(seq, int):
            raise ProtocolError("a position of a terminal has no number")
        return PtyPosition(seq) if kind == "position" else PtyTruncated(seq)
    if kind == "error":
        body = told.get("error")
        raise answer.from_body(body if isinstance(body, dict) else {}, 0)
    return None


def unredirected(connect: Any) -> Any:
    """The library's class that connects, without following redirects: the API has none."""
    return type("Connect", (connect,), {"process_redirect": lambda self, error: error})


def control(**message: object) -> str:
    """A message to the terminal."""
    return json.dumps(message)
