"""Files of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pinfold.types._wire import Decoder, Wire, Word, octal


class FileKind(Word):
    """What kind of file."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"
    """A socket, pipe or device."""


@dataclass(frozen=True)
class FileEntry(Wire):
    """One file, not following a final symlink."""

    name: str
    """The last part of its path."""
    path: str
    kind: FileKind
    size_bytes: int
    mode: Annotated[int, Decoder(octal)]
    """Permission bits, such as `0o644`."""
    uid: int
    gid: int
    modified_at: datetime
    target: str | None
    """Where a symlink points."""


@dataclass(frozen=True)
class DirectoryList(Wire):
    """The entries of a directory in order of name."""

    entries: tuple[FileEntry, ...]
    truncated: bool
    """The directory holds more than the limit."""


class WatchEventKind(Word):
    """What happened to a file."""

    CREATED = "created"
    MODIFIED = "modified"
    REMOVED = "removed"
    RENAMED = "renamed"
    """It has this name now."""
    MODE = "mode"
    """Its permissions or owner."""
    OVERFLOW = "overflow"
    """Events were lost: look at the whole tree again."""


@dataclass(frozen=True)
class WatchEvent(Wire):
    """One change of a watched path."""

    kind: WatchEventKind
    path: str
