"""The exceptions, and which of them an answer or a fault of the transport becomes."""

from __future__ import annotations

import json
from http import HTTPStatus

import httpx


class UpstreamError(Exception):
    """Anything that went wrong; ``status_code`` is the answer's where there was one."""

    status_code: int | None

    def __init__(self, message: str = "", status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code


class AuthError(UpstreamError):
    """The API key is missing, unknown, revoked, or may not do this."""


class QuotaError(UpstreamError):
    """A rate limit or quota is used up."""


class SandboxError(UpstreamError):
    """The server refused: a wrong argument, an unknown or destroyed sandbox, a missing file."""


class TimeoutError(UpstreamError):  # noqa: A001 - the vendor's name
    """Something was not ready or complete in time. Not the builtin of this name."""


def of_status(status: int, body: bytes = b"") -> UpstreamError:
    """The error an answer stands for. Its status alone decides which."""
    message = _message(body) or _phrase(status)
    if status in (401, 403):
        return AuthError(message, status)
    if status == 429:
        return QuotaError(message, status)
    if 400 <= status < 500:
        return SandboxError(message, status)
    if status >= 500:
        return UpstreamError(message, status)
    return UpstreamError(f"unexpected answer: {message}", status)


def of_transport(error: Exception) -> UpstreamError:
    """The error a fault below HTTP, or a broken answer, stands for."""
    what = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return TimeoutError(f"the server did not answer in time ({type(error).__name__})")
    if isinstance(error, httpx.ConnectError):
        return UpstreamError(f"cannot connect to the server: {what}")
    return UpstreamError(f"the connection to the server broke: {what}")


def closed_client() -> UpstreamError:
    return UpstreamError("the client is closed")


def destroyed() -> SandboxError:
    return SandboxError("the sandbox has been destroyed", 410)


def _message(body: bytes) -> str | None:
    try:
        answer = json.loads(body)
        message = answer["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return message if isinstance(message, str) and message else None


def _phrase(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
