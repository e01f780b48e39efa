"""Secrets, and their binding to where they may go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pinfold.types._wire import Wire


@dataclass(frozen=True)
class Secret(Wire):
    """A secret of a project. Nothing shows its value."""

    id: str
    project_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    """When it got the value that it has."""
    created_by: str | None
    """The id of the key that made it."""


@dataclass(frozen=True)
class Credential(Wire):
    """A secret, by its name, that requests to a destination get on their way out."""

    secret: str
    host: str
    """A DNS name, or `*.NAME` for every name below it, with or without `:PORT` (443)."""
    header: str = "authorization"
    format: str = "Bearer {}"
    """What the header says, with `{}` where the value goes."""
