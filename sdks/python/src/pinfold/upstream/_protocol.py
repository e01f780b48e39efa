"""What both clients share: requests, answers, events. No input and no output here."""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from . import _errors as errors
from ._errors import AuthError, SandboxError, UpstreamError
from ._types import ExecResult, RunResult, Usage

DEFAULT_BASE_URL = "http://127.0.0.1:7070/upstream"
BASE_URL_VARIABLE = "UPSTREAM_BASE_URL"

#: The server kills a command at its timeout; its answer may take this much longer.
EXEC_GRACE = 4.0
#: The longest timeout a command may have.
EXEC_TIMEOUT_MAX = 7 * 24 * 3600.0
#: Between two looks at a sandbox that is being created; the pause doubles up to the second.
READY_PAUSE_MIN, READY_PAUSE_MAX = 0.01, 0.25
#: For requests that clean up behind another fault.
CLEANUP_TIMEOUT = 5.0
#: The server closes idle connections after 30 s; ours are not kept as long.
KEEPALIVE_EXPIRY = 20.0
#: Kept connections that may turn out dead, one after the other, for one request.
STALE_MAX = 32

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _socket_options() -> list[tuple[int, int, int]]:
    """A silent stream is no fault, a vanished peer is: the kernel asks every now and then."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            options.append((socket.IPPROTO_TCP, option, value))
    options.append((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1))
    return options


SOCKET_OPTIONS = _socket_options()
LIMITS = httpx.Limits(
    max_connections=None, max_keepalive_connections=32, keepalive_expiry=KEEPALIVE_EXPIRY
)


@dataclass(frozen=True)
class Settings:
    """Where the server is and who asks."""

    base_url: str
    timeout: float | None
    headers: dict[str, str] = field(repr=False)
    trust_env: bool = True

    @classmethod
    def of(cls, api_key: str, base_url: str | None, timeout: float | None) -> Settings:
        key = api_key.strip() if isinstance(api_key, str) else ""
        if not key:
            raise AuthError("no API key: pass api_key")
        if not key.isascii() or not key.isprintable():
            raise AuthError("the API key holds characters that no key has")
        url = base_url or os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError, ValueError) as error:
            raise UpstreamError(f"base_url is no URL: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UpstreamError("base_url must begin with http:// or https:// and name a host")
        return cls(
            base_url=url.rstrip("/"),
            timeout=timeout,
            headers={
                "Authorization": f"Bearer {key}",
                "Accept": "application/json, */*",
                "User-Agent": "pinfold-upstream-python",
            },
            # No proxy stands between this machine and itself.
            trust_env=parsed.host not in _LOOPBACK,
        )

    def url(self, path: str) -> str:
        return f"{self.base_url}/v1{path}"

    def shown(self) -> str:
        """The address without a password that may stand in it."""
        url = httpx.URL(self.base_url)
        return str(url.copy_with(userinfo=b"")) if url.userinfo else self.base_url


@dataclass
class Request:
    """One exchange."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    #: Seconds for all of it; ``None``: without bound.
    timeout: float | None = None
    #: Seconds in which the answer has to begin, beyond ``timeout``.
    grace: float = 0.0

    def within(self, seconds: float) -> Request:
        """The same, with less time."""
        if self.timeout is None or seconds < self.timeout:
            self.timeout = max(seconds, 0.001)
        return self

    def bound(self) -> float | None:
        return None if self.timeout is None else self.timeout + self.grace


def get(path: str) -> Request:
    return Request("GET", path)


def delete(path: str) -> Request:
    return Request("DELETE", path)


def post(path: str, body: Mapping[str, Any] | None = None) -> Request:
    """A request of which the server makes one thing, however often it comes."""
    request = Request("POST", path, {"Idempotency-Key": uuid.uuid4().hex})
    if body is not None:
        request.headers["Content-Type"] = "application/json"
        request.content = json.dumps(body).encode("ascii")
    return request


def is_stale(error: Exception) -> bool:
    """Whether a kept connection may have been dead before the request: nothing was answered."""
    if isinstance(error, httpx.RemoteProtocolError):
        return "without sending a response" in str(error)
    return isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.CloseError))


def document(body: bytes) -> dict[str, Any]:
    """The JSON object of a good answer."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise UpstreamError("the server's answer is not JSON") from None
    if not isinstance(answer, dict):
        raise UpstreamError("the server's answer is no JSON object")
    return answer


def _part(answer: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    value = answer.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UpstreamError(f"the server's answer has no usable field {name!r}")
    return value


# --- Sandboxes ------------------------------------------------------------------------------------


def create_sandbox(image: str, vcpu: int, memory_mib: int) -> Request:
    return post("/sandboxes", {"image": image, "vcpu": vcpu, "memory_mib": memory_mib})


def sandbox_path(sandbox_id: str) -> str:
    return f"/sandboxes/{quote(sandbox_id, safe='')}"


def created_id(body: bytes) -> str:
    return str(_part(document(body), "sandbox_id", str))


def is_ready(body: bytes) -> bool:
    """Whether a sandbox can be used; raises where it never will be."""
    answer = document(body)
    status = _part(answer, "status", str)
    if status == "ready":
        return True
    if status == "failed":
        error = answer.get("error")
        message = error.get("message") if isinstance(error, dict) else None
        raise SandboxError(str(message or "the sandbox has failed"))
    if status == "stopped":
        raise errors.destroyed()
    return False


# --- Commands -------------------------------------------------------------------------------------


def check_command(command: object) -> list[str]:
    """The items of a command; a text is no command."""
    if isinstance(command, (str, bytes, bytearray)) or not isinstance(command, Sequence):
        raise TypeError("command must be a list of str, not " + type(command).__name__)
    items = list(command)
    for item in items:
        if not isinstance(item, str):
            raise TypeError("command must be a list of str, but holds " + type(item).__name__)
    return items


def execute(sandbox_id: str, command: list[str], timeout: float | None) -> Request:
    body: dict[str, Any] = {"command": command}
    if timeout is not None:
        body["timeout_s"] = min(timeout, EXEC_TIMEOUT_MAX)
    request = post(sandbox_path(sandbox_id) + "/exec", body)
    request.grace = EXEC_GRACE
    return request


def stream(sandbox_id: str, command: list[str]) -> Request:
    request = post(sandbox_path(sandbox_id) + "/exec", {"command": command, "stream": True})
    request.headers["Accept"] = "text/event-stream, application/json"
    return request


def executed(body: bytes) -> ExecResult:
    answer = document(body)
    if answer.get("timed_out") is True:
        raise errors.TimeoutError("the command took longer than the client's timeout")
    return ExecResult(
        exit_code=_part(answer, "exit_code", int),
        stdout=_part(answer, "stdout", str),
        stderr=_part(answer, "stderr", str),
    )


# --- Files ----------------------------------------------------------------------------------------


def file_path(sandbox_id: str, path: str) -> str:
    if not isinstance(path, str):
        raise TypeError("path must be str, not " + type(path).__name__)
    try:
        encoded = quote(path, safe="/")
    except UnicodeEncodeError:
        raise SandboxError("the path is not valid Unicode") from None
    return f"{sandbox_path(sandbox_id)}/files?path={encoded}"


def write_file(sandbox_id: str, path: str, content: str | bytes) -> Request:
    if isinstance(content, str):
        try:
            data = content.encode("utf-8")
        except UnicodeEncodeError:
            raise SandboxError("the content is not valid Unicode") from None
    elif isinstance(content, (bytes, bytearray, memoryview)):
        data = bytes(content)
    else:
        raise TypeError("content must be str or bytes, not " + type(content).__name__)
    headers = {"Content-Type": "application/octet-stream"}
    return Request("PUT", file_path(sandbox_id, path), headers, data)


def text(body: bytes, path: str) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise SandboxError(f"{path!r} is not UTF-8: read it with binary=True") from None


# --- Runs and usage -------------------------------------------------------------------------------


def submit_run(markdown: str) -> Request:
    if not isinstance(markdown, str):
        raise TypeError("markdown must be str, not " + type(markdown).__name__)
    return post("/runs", {"markdown": markdown})


def run_path(body: bytes) -> str:
    return f"/runs/{_part(document(body), 'run_id', int)}"


def run_result(body: bytes) -> RunResult | None:
    """``None`` while it runs."""
    answer = document(body)
    status = _part(answer, "status", str)
    if status not in ("completed", "failed"):
        return None
    return RunResult(
        run_id=_part(answer, "run_id", int),
        status=status,
        step_count=_part(answer, "step_count", int),
        pass_count=_part(answer, "pass_count", int),
        raw=answer,
    )


def usage(body: bytes) -> Usage:
    answer = document(body)
    return Usage(
        total_sessions=_part(answer, "total_sessions", int),
        total_vcpu_seconds=float(_part(answer, "total_vcpu_seconds", (int, float))),
        raw=answer,
    )


# --- Streams --------------------------------------------------------------------------------------


class Events:
    """Server-sent events out of pieces of any size."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._name = ""
        self._data: list[str] = []

    def push(self, piece: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events that are whole with this piece."""
        first, *others = piece.split(b"\n")
        self._rest.append(first)
        for other in others:
            line = b"".join(self._rest)
            self._rest = [other]
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                yield event

    def _line(self, line: bytes) -> tuple[str, dict[str, Any]] | None:
        if line:
            name, _, value = line.decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._name = value
            elif name == "data":
                self._data.append(value)
            return None
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        return name, document("\n".join(data).encode("utf-8"))


class Lines:
    """Lines of stdout out of events, and what the stream came to."""

    def __init__(self) -> None:
        self._events = Events()
        self._partial: list[str] = []
        self.ready: deque[str] = deque()
        #: The code, once the server has said it.
        self.exit_code: int | None = None
        #: Why the stream ended, where that was no exit. Raised behind the lines before it.
        self.fault: UpstreamError | None = None
        self.ended = False

    def push(self, piece: bytes) -> None:
        for name, data in self._events.push(piece):
            if self.ended:
                return
            if name == "stdout":
                self._write(_part(data, "text", str))
            elif name == "exit":
                self.exit_code = _part(data, "exit_code", int)
                self._end()
            elif name == "error":
                self.fault = _stream_fault(data)
                self._end()

    def broke(self, error: UpstreamError | None = None) -> None:
        """The connection ended before the stream did."""
        if not self.ended:
            self.fault = error or UpstreamError("the stream broke off before its end")
            self._end()

    def _write(self, text: str) -> None:
        first, *others = text.split("\n")
        self._partial.append(first)
        for other in others:
            self.ready.append("".join(self._partial))
            self._partial = [other]

    def _end(self) -> None:
        last = "".join(self._partial)
        self._partial = []
        if last:
            self.ready.append(last)
        self.ended = True


def _stream_fault(data: Mapping[str, Any]) -> UpstreamError:
    status = data.get("status")
    message = data.get("message")
    text = message if isinstance(message, str) else "the command's stream failed"
    if isinstance(status, int) and 400 <= status < 600:
        return errors.of_status(status, json.dumps({"error": {"message": text}}).encode())
    return UpstreamError(text)


def hang_up(response: httpx.Response) -> None:
    """Ends the connection at once, also for a reader that waits on it in another thread."""
    network = response.extensions.get("network_stream")
    connection = network.get_extra_info("socket") if network is not None else None
    if connection is not None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass


def forget_read_timeout(request: httpx.Request) -> None:
    """The answer has begun; silence in it is no fault."""
    bounds = request.extensions.get("timeout")
    if isinstance(bounds, dict):
        bounds["read"] = None
