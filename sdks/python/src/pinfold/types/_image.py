"""Images and templates: what sandboxes boot from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pinfold.types._sandbox import NetworkMode, NetworkPolicy
from pinfold.types._wire import JsonKey, Wire, Word


class ImageSource(Word):
    """Where an image came from."""

    HOST = "host"
    """A read-only view of the server's own /usr."""
    TAR = "tar"
    """A tar of a root filesystem."""
    OCI_LAYOUT = "oci_layout"
    REGISTRY = "registry"
    SNAPSHOT = "snapshot"
    """The disk of a sandbox, as it was at one moment."""
    BUILD = "build"
    """A Dockerfile."""


@dataclass(frozen=True)
class ImageConfig(Wire):
    """What the image says about how it wants to be run."""

    env: Mapping[str, str]
    user: str | None
    workdir: str | None
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    labels: Mapping[str, str]
    exposed_ports: tuple[str, ...] = ()
    """`NUMBER/PROTOCOL` or `FIRST-LAST/PROTOCOL`."""


@dataclass(frozen=True)
class Image(Wire):
    """An ordered list of layers and a configuration, under any number of names."""

    id: str
    project_id: str | None
    """`None`: shared by every project."""
    names: tuple[str, ...]
    source: ImageSource
    layers: tuple[str, ...]
    """Digests, lowest first."""
    config: ImageConfig
    size_bytes: int
    """Unpacked size of all layers."""
    created_at: datetime
    reference: str | None = None
    """What was pulled, in full, where the source is a registry."""
    manifest_digest: str | None = None
    """The digest of the manifest that was pulled, where the source is a registry."""
    sandbox_id: str | None = None
    """Whose disk it is, where the source is a snapshot."""
    base_id: str | None = None
    """The image that this sandbox was made from, where the source is a snapshot; the one that the
    last stage was built on, where it is a Dockerfile."""
    build_id: str | None = None
    """The build that made it, where the source is a Dockerfile."""


class PullState(Word):
    """How far a pull is."""

    RESOLVING = "resolving"
    """Waiting for its turn, or asking the registry what the reference means."""
    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    """Checking and unpacking what was downloaded."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class LayerProgress(Wire):
    """One layer's download."""

    digest: str
    """Of the compressed layer."""
    downloaded_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class PullFailure(Wire):
    """Why a pull failed."""

    code: str
    """As in error answers."""
    message: str


@dataclass(frozen=True)
class ImagePull(Wire):
    """A pull at one moment."""

    id: str
    reference: str
    """In full, as the registry is asked."""
    name: str
    """What the image is or will be called here."""
    state: PullState
    layers: tuple[LayerProgress, ...]
    """Lowest first; empty until they are known."""
    unpacked_bytes: int
    """Compressed bytes that are unpacked by now."""
    image: Image | None
    """When it is done."""
    error: PullFailure | None
    """When it failed."""


@dataclass(frozen=True)
class Template(Wire):
    """One version of a named recipe for sandboxes."""

    id: str
    version_id: str
    project_id: str | None
    """`None`: offered to every project."""
    name: str
    version: int
    image: str
    vcpu: float
    memory_mib: int
    disk_mib: int
    pids: int
    network: NetworkMode
    env: Mapping[str, str]
    workdir: str | None
    user: str | None
    ttl: Annotated[timedelta | None, JsonKey("ttl_ms")]
    idle_timeout: Annotated[timedelta | None, JsonKey("idle_timeout_ms")]
    created_at: datetime
    network_policy: NetworkPolicy | None = None
    """Of the network mode `policy`."""
