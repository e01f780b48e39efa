"""Projects, keys, who the caller is, what was used and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pinfold.types._wire import JsonKey, Wire, Word


class Role(Word):
    """What a key may do."""

    MEMBER = "member"
    """Uses sandboxes, files, images and templates of its project."""
    ADMIN = "admin"
    """Also manages projects, keys, quotas and shared images and templates of its org."""


class KeyKind(Word):
    """Who holds a key."""

    USER = "user"
    AGENT = "agent"
    PAT = "pat"
    """A person's own token for scripts."""


@dataclass(frozen=True)
class Quota(Wire):
    """What a project's live sandboxes, and its objects, may hold together; `None` is no bound."""

    live_sandboxes: int | None
    vcpu: float | None
    memory_mib: int | None
    object_bytes: int | None
    """The content of all objects."""


@dataclass(frozen=True)
class Project(Wire):
    """Where sandboxes, files, images and templates belong."""

    id: str
    org_id: str
    name: str
    quota: Quota
    created_at: datetime


@dataclass(frozen=True)
class Key(Wire):
    """A key as it may be shown; its secret is not kept."""

    id: str
    org_id: str
    project_id: str
    name: str
    kind: KeyKind
    role: Role
    scopes: tuple[str, ...] | None
    """What it is confined to, such as `sandboxes:write`; `None` is nothing."""
    prefix: str
    """The first characters of the secret, for recognising it."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class CreatedKey(Wire):
    """A new key, with its secret for the first and last time."""

    key: Key
    secret: str = field(repr=False)


@dataclass(frozen=True)
class WhoAmI(Wire):
    """The caller, as its key says."""

    org_id: str
    project_id: str
    """Where new things belong."""
    role: Role
    scopes: tuple[str, ...] | None
    """What the key is confined to; `None` is nothing."""
    key_id: str | None


@dataclass(frozen=True)
class Usage(Wire):
    """Usage of the caller's project over a period."""

    project_id: str
    since: Annotated[datetime, JsonKey("from")]
    until: Annotated[datetime, JsonKey("to")]
    sandboxes: int
    """Sandboxes that ran at some time in the period."""
    live_sandboxes: int
    """Live ones now."""
    vcpu_seconds: float
    """Reserved vCPUs x time running."""
    memory_gib_seconds: float
    """Reserved memory x time running."""
    wall_seconds: float
    cpu_seconds: float
    """CPU really used."""


@dataclass(frozen=True)
class SandboxUsage(Wire):
    """Usage of one sandbox over a period."""

    sandbox_id: str
    vcpu_seconds: float
    memory_gib_seconds: float
    wall_seconds: float
    cpu_seconds: float


class AuditOutcome(Word):
    """How an audited action ended."""

    OK = "ok"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True)
class AuditEvent(Wire):
    """Who did what to which thing, and how it ended."""

    id: str
    at: datetime
    org_id: str
    project_id: str
    key_id: str | None
    """`None`: the system itself."""
    request_id: str
    action: str
    """`sandbox.create`, `command.start`, `key.revoke`, ..."""
    subject: str
    """The id of the thing acted on."""
    outcome: AuditOutcome
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Health(Wire):
    """The server is ready."""

    status: str
    version: str
    isolation: str
    """The level, such as `namespace`."""


@dataclass(frozen=True)
class Isolation(Wire):
    """What stands between a sandbox and its host."""

    level: str
    enforced: tuple[str, ...]
    """Mechanisms in force."""
    weaker: tuple[str, ...]
    """What this host or user cannot provide, each with its reason."""
