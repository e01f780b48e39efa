"""Previews: addresses outside that reach a port inside a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pinfold.types._wire import Wire, Word


class PreviewAccess(Word):
    """What opens a preview."""

    AUTHENTICATED = "authenticated"
    """An API key that may use the sandbox."""
    TOKEN = "token"
    """The preview's own token, or an API key that may use the sandbox."""
    PUBLIC = "public"
    """Nothing: whoever knows the address may use it."""


class PreviewState(Word):
    """Whether a preview's address leads anywhere."""

    ACTIVE = "active"
    REVOKED = "revoked"
    EXPIRED = "expired"
    ENDED = "ended"
    """Its sandbox has been destroyed or has failed."""


@dataclass(frozen=True)
class Preview(Wire):
    """An address outside that reaches a port inside."""

    id: str
    slug: str
    """The preview's name in its address, a DNS label."""
    url: str
    """The address; what follows its last slash is the path inside."""
    sandbox_id: str
    project_id: str
    port: int
    access: PreviewAccess
    state: PreviewState
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class CreatedPreview(Wire):
    """A preview, with its token if it is a new one that has a token: for the first and last time."""

    preview: Preview
    token: str | None = field(repr=False)
    """Goes into `Authorization: Bearer` or `x-pinfold-preview-token`, or as `pinfold_token` into the
    query."""


@dataclass(frozen=True)
class PreviewLink(Wire):
    """A link that opens a preview in a browser, once."""

    url: str = field(repr=False)
    """A secret until it is used."""
    expires_at: datetime
