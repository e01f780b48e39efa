"""Images and templates: what sandboxes boot from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pinfold.types._sandbox import NetworkMode
from pinfold.types._wire import JsonKey, Wire, Word


class ImageSource(Word):
    """Where an image came from."""

    HOST = "host"
    """A read-only view of the server's own /usr."""
    TAR = "tar"
    """A tar of a root filesystem."""
    OCI_LAYOUT = "oci_layout"


@dataclass(frozen=True)
class ImageConfig(Wire):
    """What the image says about how it wants to be run."""

    env: Mapping[str, str]
    user: str | None
    workdir: str | None
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    labels: Mapping[str, str]


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
