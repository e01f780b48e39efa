"""Lists come in pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pinfold.types._wire import Wire

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    next_cursor: str | None
    """Pass it as `cursor` for the next page; `None` on the last one."""


@dataclass(frozen=True)
class _PageFacts(Wire):
    items: tuple[Any, ...]
    next_cursor: str | None


def page_of(item: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
    """What reads a page of such items."""

    def read(data: Any) -> Page[T]:
        facts = _PageFacts.from_json(data)
        return Page(tuple(item(each) for each in facts.items), facts.next_cursor)

    return read
