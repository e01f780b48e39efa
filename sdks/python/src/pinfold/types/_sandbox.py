"""Sandboxes as the server tells about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pinfold.types._secret import Credential
from pinfold.types._wire import JsonKey, Wire, Word


class SandboxState(Word):
    """Where a sandbox is in its life."""

    CREATING = "creating"
    RUNNING = "running"
    SUSPENDED = "suspended"
    """Frozen: memory and processes kept, no CPU."""
    STOPPED = "stopped"
    """Disk kept, processes gone."""
    FAILED = "failed"
    DESTROYED = "destroyed"


class EndReason(Word):
    """Why a sandbox ended or failed."""

    REQUESTED = "requested"
    TTL_EXPIRED = "ttl_expired"
    IDLE_EXPIRED = "idle_expired"
    BOOT_FAILED = "boot_failed"
    LOST = "lost"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_DISK = "out_of_disk"
    """What it was to be set up with did not fit on its disk."""
    MAIN_EXITED = "main_exited"
    """The command that it was there for has ended."""


class NetworkMode(Word):
    """What a sandbox may reach."""

    NONE = "none"
    """Its own loopback and nothing else."""
    OPEN = "open"
    """The outside through NAT; not the host, not other sandboxes."""
    POLICY = "policy"
    """What its network policy allows, and nothing else."""


class IdleAction(Word):
    """What happens when a sandbox has been idle for its idle timeout."""

    DESTROY = "destroy"
    SUSPEND = "suspend"
    STOP = "stop"


@dataclass(frozen=True)
class NetworkPolicy(Wire):
    """What a sandbox in the network mode `policy` may reach.

    What no rule allows is denied, and a rule that denies wins. A rule is a name (`example.com`),
    every name below one (`*.example.com`), every name (`*`), an address or a network
    (`203.0.113.0/24`), and `:PORT` or `:FIRST-LAST` after it where only some ports are meant.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkRefusal(Wire):
    """Something that a network policy refused."""

    at: datetime
    host: str
    """A name or an address."""
    port: int | None
    """`None` for a question for a name."""
    why: str


@dataclass(frozen=True)
class SandboxNetwork(Wire):
    """What a sandbox may reach, and what became of its tries since the server has known it."""

    mode: NetworkMode
    policy: NetworkPolicy
    connections: int
    """Those that were made."""
    refused: int
    """Connections, and requests of HTTP, that were refused or cut."""
    bytes_out: int
    bytes_in: int
    questions: int
    """For names."""
    questions_refused: int
    last_refused: tuple[NetworkRefusal, ...]
    """The last 32, oldest first."""


@dataclass(frozen=True)
class SandboxFacts(Wire):
    """A sandbox as it was when the server told. Values of its environment are not shown."""

    id: str
    project_id: str
    name: str | None
    state: SandboxState
    reason: EndReason | None
    """Why it ended or failed."""
    failure: str | None
    """In words, where it failed."""
    image: str
    """As the caller named it."""
    image_id: str
    template: str | None
    """The name of the template that it was made from."""
    template_id: str | None
    template_version: int | None
    template_version_id: str | None
    vcpu: float
    memory_mib: int
    disk_mib: int
    pids: int
    network: NetworkMode
    env_names: tuple[str, ...]
    workdir: str
    user: str
    hostname: str
    metadata: Mapping[str, str]
    ttl: Annotated[timedelta | None, JsonKey("ttl_ms")]
    idle_timeout: Annotated[timedelta | None, JsonKey("idle_timeout_ms")]
    idle_action: IdleAction
    created_at: datetime
    running_since: datetime | None
    expires_at: datetime | None
    """When the absolute lifetime ends."""
    last_active_at: datetime
    ended_at: datetime | None
    forked_from: str | None = None
    """The sandbox whose disk it began with."""
    network_policy: NetworkPolicy | None = None
    """Of the network mode `policy`."""
    network_policy_id: str | None = None
    """The network policy that it follows."""
    credentials: tuple[Credential, ...] = ()
    """Which secrets go with its requests to where."""


@dataclass(frozen=True)
class LifeUsage(Wire):
    """What a sandbox used from the moment it was made."""

    since: Annotated[datetime, JsonKey("from")]
    until: Annotated[datetime | None, JsonKey("to")]
    """When it ended; `None` while it has not."""
    elapsed_seconds: float
    """Up to its end, or to now."""
    running_seconds: float
    """Of that, while it ran: neither suspended nor stopped."""
    vcpu_seconds: float
    """Reserved vCPUs x time running."""
    memory_gib_seconds: float
    """Reserved memory x time running."""
    disk_gib_seconds: float
    """What its disk may hold x time since it was made."""


@dataclass(frozen=True)
class Gauge(Wire):
    """What a sandbox uses at this moment, all zero when it does not run, and has used since it was made."""

    memory_bytes: int
    memory_peak_bytes: int
    cpu_used_us: int
    """Since the sandbox last started."""
    processes: int
    disk_bytes: int
    oom_kills: int
    """Times the kernel ended a process for want of memory."""
    life: LifeUsage
