"""What can go wrong between a program and its server.

Every exception of this package is a `PinfoldError`. What the server refuses is an `ApiError`, one
class for each family of codes; the codes themselves are stable and each has a page in the server's
documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinfold.types import RunResult


class PinfoldError(Exception):
    """Everything that this package raises."""


class ConfigurationError(PinfoldError):
    """The client was set up or called wrongly; nothing was sent."""


class LocalServerError(PinfoldError):
    """The private server of this machine could not be started."""


class BinaryNotFoundError(LocalServerError):
    """There is no `pinfold` program to start a server with."""


class LocalFileError(PinfoldError):
    """A file of this machine could not be read or written."""


class UnsafeArchiveError(PinfoldError):
    """An archive from a sandbox is malformed, or wants to write outside of its place."""


class ConnectionFailedError(PinfoldError):
    """Nothing answers at the server's address. The request has had no effect."""


class AnswerTimeoutError(PinfoldError):
    """The server did not answer in time; the request may or may not have had its effect."""


class BrokenConnectionError(PinfoldError):
    """The connection broke under way; the request may or may not have had its effect."""


class ProtocolError(PinfoldError):
    """The answer is none that this version understands. Perhaps it is not Pinfold that answers."""


class WaitTimeoutError(PinfoldError):
    """What was waited for did not happen in the time that the caller allowed."""


class CommandFailedError(PinfoldError):
    """A command that was run with `check=True` did not end with code 0."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        """The command and its output."""
        super().__init__(f"the command {result.command.id} {result.ending}")


class ApiError(PinfoldError):
    """The server refused or failed; it says why."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        request_id: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        """For people: what is wrong and what to do. Its wording may change."""
        self.code = code
        """Stable, such as `sandbox_not_found`."""
        self.status = status
        """The HTTP status; 0 where the error came inside a stream."""
        self.request_id = request_id
        """Finds the request in the server's log."""
        self.details: Mapping[str, Any] = dict(details or {})
        """Structured facts, such as `field`."""
        self.retry_after = retry_after
        """Seconds to wait before another try, where the server says so."""
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} ({self.code}, request {self.request_id or 'unknown'})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, status={self.status}, {self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.message, dict(self.__dict__))


def _rebuilt(kind: type[ApiError], message: str, state: dict[str, Any]) -> ApiError:
    """Errors cross processes (multiprocessing, executors), which pickles them."""
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class InvalidArgumentError(ApiError):
    """A field, parameter, header or body does not have the documented form."""


class UnauthenticatedError(ApiError):
    """No key, or one that is unknown, revoked or expired."""


class PermissionDeniedError(ApiError):
    """The caller is known and may not do this."""


class NotFoundError(ApiError):
    """There is no such thing, or not in the caller's project."""


class ConflictError(ApiError):
    """Something stands in the way: a name that is taken, a key used with another payload."""


class PreconditionFailedError(ApiError):
    """The thing exists and is not in a state that allows this."""


class GoneError(ApiError):
    """The thing existed and does so no more."""


class TooLargeError(ApiError):
    """The request's body is over its bound."""


class QuotaExceededError(ApiError):
    """The project's quota does not allow more."""


class RateLimitedError(ApiError):
    """Too many requests in a short time."""


class UnsupportedError(ApiError):
    """Pinfold does not have this, or this host cannot provide it."""


class DeadlineExceededError(ApiError):
    """It took longer than the caller or the server allows."""


class UnavailableError(ApiError):
    """The server is too busy, shutting down, or cannot reach the sandbox for now."""


class InternalServerError(ApiError):
    """Something of the server's broke; its log has it under the request's id."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: UnsupportedError,
    408: DeadlineExceededError,
    409: PreconditionFailedError,
    410: GoneError,
    413: TooLargeError,
    429: RateLimitedError,
    501: UnsupportedError,
    502: UnavailableError,
    503: UnavailableError,
    504: DeadlineExceededError,
}

# Codes whose status is not enough: it stands for two families, or the error came in a stream.
_BY_CODE: Mapping[str, type[ApiError]] = {
    "idempotency_conflict": ConflictError,
    "already_exists": ConflictError,
    "file_exists": ConflictError,
    "directory_not_empty": ConflictError,
    "in_use": ConflictError,
    "quota_exceeded": QuotaExceededError,
    "rate_limited": RateLimitedError,
    # These come in streams.
    "invalid_argument": InvalidArgumentError,
    "permission_denied": PermissionDeniedError,
    "sandbox_gone": GoneError,
    "command_not_found": NotFoundError,
    "sandbox_not_found": NotFoundError,
    "file_not_found": NotFoundError,
    "image_not_found": NotFoundError,
    "image_pull_failed": UnavailableError,
    "invalid_image": InvalidArgumentError,
    "guest_unavailable": UnavailableError,
    "unavailable": UnavailableError,
    "timeout": DeadlineExceededError,
    "internal": InternalServerError,
    "unsupported": UnsupportedError,
}


def family(code: str, status: int) -> type[ApiError]:
    """The class of an error. Codes of newer servers fall under their status."""
    known = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        return InternalServerError
    return InvalidArgumentError if status >= 400 else ApiError
