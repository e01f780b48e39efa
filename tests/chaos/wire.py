"""Calls of the native API as a program without a library makes them: nothing is retried here."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

SECONDS = 120.0
#: What a connection that breaks may look like.
BROKEN = (OSError, http.client.HTTPException)
RECEIVED_AT_ONCE = 64 << 10


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error."""
        return str(self.json["error"]["code"])


@dataclass(frozen=True)
class Caller:
    """Who calls which server."""

    url: str
    key: str

    def via(self, url: str) -> Caller:
        """The same by another way."""
        return Caller(url, self.key)

    def open(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Sends a request on a connection of its own; the answer's body is not read yet."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
        try:
            known = {"authorization": f"Bearer {self.key}", "connection": "close"}
            connection.request(method, path, body, {**known, **(headers or {})})
            return connection, connection.getresponse()
        except BROKEN:
            connection.close()
            raise

    def call(
        self, method: str, path: str, value: Any = None, once: str | None = None, raw: bytes = b""
    ) -> Answer:
        """One request and its whole answer; `once` is an idempotency key."""
        headers = {} if once is None else {"idempotency-key": once}
        body: bytes | None = raw or None
        if value is not None:
            body = json.dumps(value).encode()
            headers["content-type"] = "application/json"
        connection, answer = self.open(method, path, body, headers)
        try:
            heads = {name.lower(): text for name, text in answer.getheaders()}
            return Answer(answer.status, heads, answer.read())
        finally:
            connection.close()

    def good(self, method: str, path: str, value: Any = None, once: str | None = None) -> Any:
        """The value of an answer that has to be good."""
        answer = self.call(method, path, value, once)
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer.json if answer.body else None

    # What tests need most.

    def create(self, **spec: Any) -> str:
        """A small sandbox; its id."""
        small = {"image": "host", "memory_mib": 512, "disk_mib": 256, "pids": 256}
        return str(self.good("POST", "/v1/sandboxes", {**small, **spec})["id"])

    def start(self, sandbox: str, *argv: str, **spec: Any) -> str:
        """A command; its id."""
        path = f"/v1/sandboxes/{sandbox}/commands"
        return str(self.good("POST", path, {"argv": argv, **spec})["id"])

    def sh(self, sandbox: str, line: str, **spec: Any) -> dict[str, Any]:
        """The result of a line of shell that has ended, whatever it came to."""
        path = f"/v1/sandboxes/{sandbox}/run"
        return dict(self.good("POST", path, {"shell": line, **spec}))

    def write(self, sandbox: str, path: str, content: bytes) -> Answer:
        """Writes a file inside."""
        where = f"/v1/sandboxes/{sandbox}/files?path={quote(path)}"
        return self.call("PUT", where, raw=content)

    def command(self, command: str) -> dict[str, Any]:
        """As it is now."""
        return dict(self.good("GET", f"/v1/commands/{command}"))

    def ended(self, command: str) -> dict[str, Any]:
        """As it is once it has ended, within the patience of `until`."""
        for _ in range(10):
            path = f"/v1/commands/{command}/wait?timeout_ms=30000"
            now = dict(self.good("GET", path))
            if now["ended_at"] is not None:
                return now
        raise AssertionError(f"it has not ended: {now}")

    def output(self, command: str, stream: str) -> bytes:
        """All that is kept of one stream, as raw bytes."""
        answer = self.call("GET", f"/v1/commands/{command}/output?stream={stream}")
        assert answer.status == 200, answer.body
        return answer.body

    def pages(self, command: str, limit: int) -> Iterator[dict[str, Any]]:
        """All records, page by page."""
        after, more = 0, True
        while more:
            path = f"/v1/commands/{command}/logs?after_seq={after}&limit={limit}"
            page = self.good("GET", path)
            yield from page["records"]
            after, more = page["next_after_seq"], not page["at_end"]

    def destroy(self, sandbox: str) -> None:
        """Ends it."""
        self.good("DELETE", f"/v1/sandboxes/{sandbox}")
