"""What both clients share: requests and answers. No input and no output here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pinfold._core.call import MESSAGE_MAX_BYTES

from . import _errors as errors
from ._errors import SandboxError, UpstreamError
from ._types import ExecResult, RunResult, Usage

#: The server kills a command at its timeout; its answer may take this much longer.
EXEC_GRACE = 4.0
#: The longest timeout a command may have.
EXEC_TIMEOUT_MAX = 7 * 24 * 3600.0
#: Between two looks at a sandbox that is being created; the pause doubles up to the second.
READY_PAUSE_MIN, READY_PAUSE_MAX = 0.01, 0.25
#: For requests that clean up behind another fault.
CLEANUP_TIMEOUT = 5.0
#: Kept connections that may turn out dead, one after the other, for one request.
STALE_MAX = 32
#: Of an answer that holds output: 64 MiB of it at most, each byte of which JSON may write as six.
OUTPUT_ANSWER_MAX_BYTES = 512 << 20


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
    #: A longer answer is not what the server sends; ``None``: a file, of any length.
    answer_max_bytes: int | None = MESSAGE_MAX_BYTES

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


def document(body: bytes) -> dict[str, Any]:
    """The JSON object of a good answer."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise UpstreamError("the server's answer is not JSON") from None
    if not isinstance(answer, dict):
        raise UpstreamError("the server's answer is no JSON object")
    return answer


def part(answer: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
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
    return str(part(document(body), "sandbox_id", str))


def is_ready(body: bytes) -> bool:
    """Whether a sandbox can be used; raises where it never will be."""
    answer = document(body)
    status = part(answer, "status", str)
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
    request.answer_max_bytes = OUTPUT_ANSWER_MAX_BYTES
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
        exit_code=part(answer, "exit_code", int),
        stdout=part(answer, "stdout", str),
        stderr=part(answer, "stderr", str),
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


def read_file(sandbox_id: str, path: str) -> Request:
    return Request("GET", file_path(sandbox_id, path), answer_max_bytes=None)


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
    return f"/runs/{part(document(body), 'run_id', int)}"


def look_at_run(path: str) -> Request:
    return Request("GET", path, answer_max_bytes=OUTPUT_ANSWER_MAX_BYTES)


def run_result(body: bytes) -> RunResult | None:
    """``None`` while it runs."""
    answer = document(body)
    status = part(answer, "status", str)
    if status not in ("completed", "failed"):
        return None
    return RunResult(
        run_id=part(answer, "run_id", int),
        status=status,
        step_count=part(answer, "step_count", int),
        pass_count=part(answer, "pass_count", int),
        raw=answer,
    )


def usage(body: bytes) -> Usage:
    answer = document(body)
    return Usage(
        total_sessions=part(answer, "total_sessions", int),
        total_vcpu_seconds=float(part(answer, "total_vcpu_seconds", (int, float))),
        raw=answer,
    )
