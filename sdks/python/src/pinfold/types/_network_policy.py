"""Network policies with a name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pinfold.types._wire import Wire


@dataclass(frozen=True)
class NamedNetworkPolicy(Wire):
    """Rules that sandboxes of a project follow, also when they change."""

    id: str
    project_id: str
    name: str
    """A label: others may have the same."""
    description: str | None
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    """The id of the key that made it."""
