"""Keys that open one sandbox over SSH."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pinfold.types._wire import Wire


@dataclass(frozen=True)
class SshKey(Wire):
    """A key that opens one sandbox."""

    id: str
    sandbox_id: str
    fingerprint: str
    """`SHA256:` and base64, as `ssh-keygen -l` shows it."""
    public_key: str
    """Algorithm and base64."""
    created_at: datetime
    expires_at: datetime | None
    created_by: str | None
    """The id of the API key that made it, and with which it ends."""


@dataclass(frozen=True)
class SshGateway(Wire):
    """How to come in: `ssh -p PORT USER@HOST`."""

    host: str
    port: int
    user: str
    """The sandbox's id. Commands run as the sandbox's own user."""
    host_key: str
    """The gateway's public key: algorithm and base64."""
    host_key_fingerprint: str
    """As `ssh` shows it to who connects first."""
    known_hosts: str
    """A line for a file `known_hosts`."""


@dataclass(frozen=True)
class CreatedSshKey(Wire):
    """A key, with its private half if that was made here: for the first and last time."""

    key: SshKey
    private_key: str | None = field(repr=False)
    """What a file of mode 0600 holds for `ssh -i`."""
    gateway: SshGateway
