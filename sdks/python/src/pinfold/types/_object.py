"""Objects, and URLs that need no key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pinfold.types._wire import Wire, Word


class ObjectState(Word):
    """Where an object is in its life."""

    UPLOADING = "uploading"
    """Waits for its content, or to be completed."""
    SEALED = "sealed"
    """Complete and immutable."""
    DELETED = "deleted"
    """Only its facts are left."""


@dataclass(frozen=True)
class ObjectFacts(Wire):
    """A named blob that outlives the sandbox it came from."""

    id: str
    project_id: str
    name: str
    """Not unique."""
    content_type: str
    metadata: Mapping[str, str]
    state: ObjectState
    size_bytes: int | None
    """Of the content; `None` before the upload."""
    digest: str | None
    """`sha256:` and 64 hex digits; `None` before the upload."""
    sandbox_id: str | None
    """The sandbox whose file was copied."""
    path: str | None
    """That file's absolute path."""
    created_at: datetime
    sealed_at: datetime | None
    deleted_at: datetime | None
    expires_at: datetime | None
    """When it is deleted by itself."""


class LinkUse(Word):
    """What a signed URL is for."""

    DOWNLOAD = "download"
    """`GET` and `HEAD`, any number of times."""
    UPLOAD = "upload"
    """`PUT`, while the object is being uploaded."""


@dataclass(frozen=True)
class SignedUrl(Wire):
    """A URL that needs no key, until its time is over or the key that made it is revoked."""

    url: str = field(repr=False)
    method: str
    """The HTTP method to use it with: `GET` or `PUT`."""
    expires_at: datetime
