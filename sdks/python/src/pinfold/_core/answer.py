"""Reading answers that are errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinfold._core.call import decode
from pinfold.errors import ApiError, ProtocolError, family

ERROR_MAX_BYTES = 64 << 10
"""More of an error's body is not read."""


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """From an answer that something else than Pinfold may have written."""
    try:
        envelope = decode(body)
    except ProtocolError:
        envelope = None
    error = envelope.get("error") if isinstance(envelope, dict) else None
    request_id = headers.get("x-request-id", "")
    retry_after = _seconds(headers.get("retry-after"))
    if not isinstance(error, dict) or not _is_ours(error):
        code = f"http_{status}"
        return family(code, status)(
            f"the answer was {status} without Pinfold's error body: a proxy's?",
            code=code,
            status=status,
            request_id=request_id,
            retry_after=retry_after,
        )
    return from_body(error, status, request_id, retry_after)


def _is_ours(error: Mapping[str, Any]) -> bool:
    """Others answer with an `error` too; what is tried again rests on whose it is."""
    return all(isinstance(error.get(field), str) for field in ("code", "message", "request_id"))


def from_body(
    error: Mapping[str, Any], status: int, request_id: str = "", retry_after: float | None = None
) -> ApiError:
    """From the object that names code, message, details and request."""
    code = str(error.get("code", "unknown"))
    details = error.get("details")
    return family(code, status)(
        str(error.get("message", "")),
        code=code,
        status=status,
        request_id=str(error.get("request_id") or request_id),
        details=details if isinstance(details, dict) else {},
        retry_after=retry_after,
    )


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
