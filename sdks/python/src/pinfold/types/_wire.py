"""From JSON to typed, frozen values.

Tolerant of what newer servers add (unknown fields, unknown words of closed sets) and strict about
what is promised: a field that is missing or of another type is a `ProtocolError` that names it.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import re
import types as _types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Annotated, Any, TypeVar, Union

from pinfold.errors import ProtocolError

_T = TypeVar("_T", bound="Wire")
_Decode = Callable[[Any], Any]

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-]\d\d:\d\d))\Z"
)


class Word(str, Enum):
    """One of a set of words that newer servers may extend: an unknown one keeps its text."""

    @classmethod
    def _missing_(cls, value: object) -> Word | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = "UNKNOWN"
        word._value_ = value
        return word

    def __str__(self) -> str:
        return str(self.value)

    def __hash__(self) -> int:
        return hash(self._value_)


class Wire:
    """A value that a server tells."""

    @classmethod
    def from_json(cls: type[_T], data: Any) -> _T:
        """From decoded JSON. Raises `ProtocolError` where the server breaks its promise."""
        if not isinstance(data, dict):
            raise ProtocolError(f"the server told no {cls.__name__} but {_kind(data)}")
        values = {}
        for name, key, decode, default in _plan(typing.cast(Any, cls)):
            if key not in data and default is not dataclasses.MISSING:
                values[name] = default
                continue
            try:
                values[name] = decode(data.get(key))
            except _WrongError as error:
                raise ProtocolError(f"{cls.__name__}.{key}: {error}") from None
        return cls(**values)


class _WrongError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class JsonKey:
    """Annotates a field whose JSON key is another one."""

    key: str


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Annotates a field that is decoded in its own way."""

    decode: _Decode


@functools.lru_cache(maxsize=256)
def _plan(cls: type[Wire]) -> tuple[tuple[str, str, _Decode, Any], ...]:
    """For each field its name, its JSON key, its decoder and its default."""
    hints = typing.get_type_hints(cls, include_extras=True)
    plan = []
    for field in dataclasses.fields(typing.cast(Any, cls)):
        hint, key, decode = hints[field.name], field.name, None
        if typing.get_origin(hint) is Annotated:
            hint, *notes = typing.get_args(hint)
            key = next((note.key for note in notes if isinstance(note, JsonKey)), key)
            decode = next((note.decode for note in notes if isinstance(note, Decoder)), None)
        plan.append((field.name, key, decode or _decoder(hint), field.default))
    return tuple(plan)


def _decoder(hint: Any) -> _Decode:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, _types.UnionType):
        inner = [_decoder(each) for each in arguments if each is not type(None)]
        (only,) = inner
        return lambda value: None if value is None else only(value)
    if origin is tuple:
        item = _decoder(arguments[0])
        return lambda value: tuple(item(each) for each in _expect(value, list))
    if origin is not None and issubclass(origin, Mapping):
        item = _decoder(arguments[1])
        return lambda value: {key: item(each) for key, each in _expect(value, dict).items()}
    if hint is Any:
        return lambda value: value
    if hint is datetime:
        return _time
    if hint is timedelta:
        return lambda value: timedelta(milliseconds=_number(value))
    if hint is float:
        return lambda value: float(_number(value))
    if hint in (str, int, bool):
        return lambda value: _expect(value, hint)
    if issubclass(hint, Word):
        return lambda value: hint(_expect(value, str))
    if issubclass(hint, Wire):
        return typing.cast(_Decode, hint.from_json)
    raise TypeError(f"no decoder for {hint}")


def _expect(value: Any, kind: type) -> Any:
    # A bool is an int to Python, not to JSON.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _WrongError(f"{kind.__name__} expected, {_kind(value)} found")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError(f"a number expected, {_kind(value)} found")
    return value


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _time(value: Any) -> datetime:
    """RFC 3339; what is finer than a microsecond is cut."""
    match = _TIME.match(_expect(value, str))
    if match is None:
        raise _WrongError(f"{value!r} is no RFC 3339 time")
    day, clock, fraction, offset = match.groups()
    text = f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset or '+00:00'}"
    try:
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise _WrongError(f"{value!r} is no RFC 3339 time") from None


def octal(value: Any) -> int:
    """Permission bits, written as octal digits."""
    try:
        return int(_expect(value, str), 8)
    except ValueError:
        raise _WrongError(f"{value!r} is not octal") from None


def to_bytes(text: Any, encoding: Any) -> bytes:
    """Bytes as they travel in JSON: text, or base64 where they are not UTF-8."""
    if not isinstance(text, str):
        raise ProtocolError(f"bytes are told as a string, not {_kind(text)}")
    if encoding == "utf8":
        return text.encode("utf-8", "surrogatepass")
    if encoding != "base64":
        raise ProtocolError(f"bytes in the unknown encoding {encoding!r}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("bytes that are not base64") from None
