"""One request as data: what to send where, when it may be sent again, how to read the answer."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Generic, TypeVar, Union
from urllib.parse import quote, urlencode

from pinfold._core.retry import TRIES, TRIES_WAITING
from pinfold.errors import ConfigurationError, ProtocolError
from pinfold.types import NetworkPolicy

T = TypeVar("T")
U = TypeVar("U")

Duration = Union[int, float, timedelta]
"""Seconds, or a `timedelta`."""

USUAL = -1.0
"""The client's own bound, for answers that need no long work."""
BOOT_TIMEOUT_SECONDS = 300.0
"""Booting can include unpacking an image."""
MESSAGE_MAX_BYTES = 96 << 20
"""Of an answer, or of an event, that is decoded in memory; more is not what the server sends."""


def _raw(data: bytes) -> bytes:
    return data


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request. Its body can be sent again."""

    method: str
    path: str
    """Encoded; below the server's base, without a slash in front."""
    read: Callable[[bytes], T]
    parameters: tuple[tuple[str, str], ...] = ()
    body: bytes | None = dataclasses.field(default=None, repr=False)
    content_type: str | None = None
    idempotency_key: str | None = None
    range: str | None = None
    repeatable: bool = True
    """Doing it twice is doing it once."""
    tries: int = TRIES
    timeout: float | None = USUAL
    """Seconds between two pieces of the answer; `None` waits for as long as it takes."""
    answer_max_bytes: int | None = MESSAGE_MAX_BYTES
    until: float | None = None
    """By `time.monotonic()`: no other try begins behind this moment."""

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.parameters)}" if self.parameters else self.path

    @property
    def headers(self) -> dict[str, str]:
        """Headers of this request only."""
        named = {
            "content-type": self.content_type,
            "idempotency-key": self.idempotency_key,
            "range": self.range,
        }
        return {name: value for name, value in named.items() if value is not None}

    def query(self, **parameters: object) -> Call[T]:
        """With these parameters; those that are `None` are left out."""
        named = ((k.rstrip("_"), v) for k, v in parameters.items() if v is not None)
        given = tuple((name, _parameter(value)) for name, value in named)
        return dataclasses.replace(self, parameters=self.parameters + given)

    def metadata(self, wanted: Mapping[str, str] | None) -> Call[T]:
        """With filters by metadata."""
        given = tuple(
            (_parameter(f"metadata.{key}"), _parameter(value))
            for key, value in (wanted or {}).items()
        )
        return dataclasses.replace(self, parameters=self.parameters + given)

    def json(self, body: Mapping[str, object]) -> Call[T]:
        """With a JSON body; fields that are `None` are left out."""
        given = {key: value for key, value in body.items() if value is not None}
        return self.json_as_is(given)

    def json_as_is(self, body: Mapping[str, object]) -> Call[T]:
        """With a JSON body in which `None` means `null`."""
        try:
            data = json.dumps(body, ensure_ascii=False, allow_nan=False, default=_plain)
            encoded = data.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"the request cannot be written as JSON: {error}") from None
        return dataclasses.replace(self, body=encoded, content_type="application/json")

    def content(self, body: bytes) -> Call[T]:
        """With raw bytes as its body."""
        return dataclasses.replace(self, body=body, content_type="application/octet-stream")

    def named(self, key: str | None) -> Call[T]:
        """Under an idempotency key, so that repeating it is safe; ours where the caller has none."""
        if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            raise ConfigurationError("an idempotency key is 1 to 255 printable ASCII characters")
        key = uuid.uuid4().hex if key is None else key
        return dataclasses.replace(self, idempotency_key=key, repeatable=True)

    def once(self) -> Call[T]:
        """Not to be repeated where it may have had its effect."""
        return dataclasses.replace(self, repeatable=False)

    def patient(self) -> Call[T]:
        """Tried for as long as the restart of a server takes, and whenever a long wait broke off."""
        return dataclasses.replace(self, tries=TRIES_WAITING)

    def by(self, deadline: float | None) -> Call[T]:
        """Not tried again behind this moment of `time.monotonic()`."""
        return dataclasses.replace(self, until=deadline)

    def within(self, timeout: float | None) -> Call[T]:
        """With another bound on the silence before and within the answer."""
        return dataclasses.replace(self, timeout=timeout)

    def part(self, offset: int, length: int | None) -> Call[T]:
        """Only a range of bytes."""
        if offset < 0 or (length is not None and length < 1):
            raise ConfigurationError("a range begins at 0 or later and has at least one byte")
        last = "" if length is None else str(offset + length - 1)
        return dataclasses.replace(self, range=f"bytes={offset}-{last}")


def get(*segments: str, read: Callable[[Any], T]) -> Call[T]:
    """A read of `/v1/` and the segments, each one encoded."""
    return Call("GET", _path(("v1", *segments)), _json(read))


def outside_v1(segment: str, read: Callable[[Any], T]) -> Call[T]:
    """A read of a route that no version prefix has."""
    return Call("GET", _path((segment,)), _json(read))


def get_raw(*segments: str) -> Call[bytes]:
    """A read of bytes of any length."""
    return Call("GET", _path(("v1", *segments)), _raw, answer_max_bytes=None)


def put(*segments: str, read: Callable[[Any], T]) -> Call[T]:
    """A PUT, which may be repeated."""
    return Call("PUT", _path(("v1", *segments)), _json(read))


def delete(*segments: str, read: Callable[[Any], T]) -> Call[T]:
    """A DELETE, which may be repeated."""
    return Call("DELETE", _path(("v1", *segments)), _json(read))


def post(*segments: str, read: Callable[[Any], T]) -> Call[T]:
    """A POST, which may not be repeated."""
    return Call("POST", _path(("v1", *segments)), _json(read), repeatable=False)


def repeatable_post(*segments: str, read: Callable[[Any], T]) -> Call[T]:
    """A POST whose effect is the same twice as once."""
    return Call("POST", _path(("v1", *segments)), _json(read))


def patch(*segments: str, read: Callable[[Any], T]) -> Call[T]:
    """A PATCH, which may not be repeated."""
    return Call("PATCH", _path(("v1", *segments)), _json(read), repeatable=False)


def nothing(data: Any) -> None:
    """Reads an answer without content."""


def anything(data: Any) -> dict[str, Any]:
    """Reads an object whose form is told elsewhere."""
    if not isinstance(data, dict):
        raise ProtocolError("the server's answer is no object")
    return data


def decode(data: bytes) -> Any:
    """Decodes JSON. Raises `ProtocolError` where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ProtocolError("the server's answer is not JSON: is it Pinfold that answers?") from None


def _json(read: Callable[[Any], U]) -> Callable[[bytes], U]:
    if read is nothing:
        return lambda data: read(None)
    return lambda data: read(decode(data))


def _path(segments: Iterable[str]) -> str:
    return "/".join(_segment(each) for each in segments)


def _segment(text: str) -> str:
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"an id or name is a text that is not empty, not {text!r}")
    if text in (".", ".."):
        # Every HTTP library takes these for path syntax, encoded or not.
        raise ConfigurationError(f"{text!r} names nothing")
    return quote(utf8(text), safe="")


def utf8(text: str) -> bytes:
    """A text as it travels."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            "a text has characters that none can have: half of a surrogate pair"
        ) from None


def _parameter(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(_plain(value)) if isinstance(value, datetime | Enum) else str(value)
    utf8(text)
    return text


def _plain(value: object) -> object:
    """What JSON has no form for."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigurationError("a time needs a time zone: datetime.now(timezone.utc)")
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def milliseconds(duration: Duration | None) -> int | None:
    """A duration as the API has it."""
    if duration is None:
        return None
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ConfigurationError(f"a duration is seconds or a timedelta, not {duration!r}")
    if not 0 <= seconds < float(1 << 50):
        raise ConfigurationError(f"a duration is not negative and has an end, unlike {duration!r}")
    return round(seconds * 1000)


def network_policy(policy: NetworkPolicy | None) -> dict[str, list[str]] | None:
    """Rules as the API has them."""
    if policy is None:
        return None
    for field, rules in (("allow", policy.allow), ("deny", policy.deny)):
        if isinstance(rules, str):
            raise ConfigurationError(f"{field} is a list of rules, not {rules!r}")
    return {"allow": list(policy.allow), "deny": list(policy.deny)}


def octal(mode: int | None) -> str | None:
    """Permission bits as the API has them."""
    if mode is not None and not 0 <= mode <= 0o7777:
        raise ConfigurationError(f"permission bits are from 0 to 0o7777, unlike {mode:#o}")
    return None if mode is None else f"{mode:04o}"
