"""A reader of a command's stream that comes back from its last number whenever it is cut off."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from wire import BROKEN, RECEIVED_AT_ONCE, Caller

PATIENCE = 180.0


class Reader:
    """Follows one command to its end. Each record has to bear the number behind the last one's."""

    def __init__(
        self,
        caller: Callable[[], Caller],
        command: str,
        pause: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.command = command
        self.last = 0
        self.connections = 0
        self.written = {"stdout": bytearray(), "stderr": bytearray()}
        self.records: list[dict[str, Any]] = []
        """Without their data."""
        self.end: dict[str, Any] | None = None
        self.truncated = False
        self._caller = caller
        self._pause = pause
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Reader:
        """In a thread of its own."""
        self._thread.start()
        return self

    def join(self) -> Reader:
        """Waits for the end."""
        self._thread.join(PATIENCE)
        assert self._failure is None, self._failure
        assert self.end is not None, f"{self.command}: no end behind record {self.last}"
        return self

    @property
    def stdout(self) -> bytes:
        return bytes(self.written["stdout"])

    @property
    def stderr(self) -> bytes:
        return bytes(self.written["stderr"])

    def _run(self) -> None:
        try:
            self._follow()
        except BaseException as error:
            self._failure = error

    def _follow(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.end is None:
            assert time.monotonic() < deadline, f"{self.command}: stands at {self.last}"
            try:
                for event in self._events():
                    self._take(event)
            except BROKEN:
                # A server that is being started again refuses connections at once.
                time.sleep(0.1)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Whole events of one connection; what was cut in the middle counts for nothing."""
        path = f"/v1/commands/{self.command}/stream?after_seq={self.last}"
        self.connections += 1
        connection, answer = self._caller().open("GET", path)
        try:
            if answer.status == 503:
                return
            assert answer.status == 200, (answer.status, answer.read())
            held = b""
            while data := answer.read1(RECEIVED_AT_ONCE):
                self._pause(len(data))
                *whole, held = (held + data).split(b"\n\n")
                yield from filter(None, map(_event, whole))
        finally:
            connection.close()

    def _take(self, record: dict[str, Any]) -> None:
        seq = record["seq"]
        if seq != self.last + 1:
            raise RuntimeError(f"{self.command}: record {seq} came behind {self.last}")
        self.last = seq
        if record["type"] == "output":
            self.written[record["stream"]] += data_of(record)
        elif record["type"] == "truncated":
            self.truncated = True
        else:
            self.end = record["command"]
        facts = {name: record.get(name) for name in ("seq", "time", "type", "stream")}
        self.records.append(facts)


def data_of(record: dict[str, Any]) -> bytes:
    """The bytes of a record of output."""
    if record["encoding"] == "base64":
        return base64.b64decode(record["data"])
    return str(record["data"]).encode()


def _event(block: bytes) -> dict[str, Any] | None:
    fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":"))
    if b"data" not in fields:
        return None
    if fields[b"event"] == b"error":
        raise RuntimeError(fields[b"data"])
    record = dict(json.loads(fields[b"data"]))
    assert fields[b"id"] == str(record["seq"]).encode(), fields
    return record
