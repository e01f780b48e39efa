"""Bounds of a project's quota, where leaving one out is not the same as removing it."""

from __future__ import annotations

from enum import Enum


class Keep(Enum):
    """Says that a bound is not named: `None` removes it."""

    KEEP = "keep"


KEEP = Keep.KEEP


def named(**bounds: object) -> dict[str, object] | None:
    """The bounds that are named, if any."""
    return {key: value for key, value in bounds.items() if value is not KEEP} or None
