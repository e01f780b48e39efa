"""A tar stream into a local directory, in bounded memory.

The archive counts as hostile: it decides no path outside of the target, no owner and no special
bits, nothing is written through a link, and a link that leads out is not made.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from pinfold._core.tar import BLOCK_BYTES
from pinfold.errors import LocalFileError, UnsafeArchiveError

SKIPPED_MAX = 1000
"""Names of skipped members that are kept."""
_EXTENSION_MAX_BYTES = 1 << 20
"""Names and attributes that do not fit a header; more is an attack."""
_MEMBERS_MAX = 10_000_000
"""Empty members cost no bytes, but inodes; more is an attack."""
_DEPTH_MAX = 256
"""Directories within one another; programs that remove trees fail on far deeper ones."""
_SIZE_MAX = (1 << 63) - 1
"""No file of this machine is larger."""
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n]+)=")
"""How a record of an extended header begins (POSIX.1-2017, pax): its length, its key."""

T = TypeVar("T")


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive."""

    size_bytes: int
    """Content of all files together."""
    skipped: tuple[str, ...]
    """Links that lead out of the archive, devices, sockets and pipes: the first 1000."""


class Unpacker:
    """Takes a tar piece by piece and writes what is in it below a directory.

    A file that fails half way is removed; what was complete before stays.
    """

    def __init__(self, target: Path, max_bytes: int | None = None) -> None:
        self._target = target
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._skipped: list[str] = []
        self._buffer = bytearray()
        # What comes next is the rest of a member: its bytes, then padding.
        self._left = 0
        self._padding = 0
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._extension: bytearray | None = None
        self._extension_type = b""
        self._override: dict[str, str] = {}
        self._members = 0
        self._ended = False
        _local(target, lambda: target.mkdir(parents=True, exist_ok=True))

    def feed(self, data: bytes) -> None:
        """Takes a piece of the archive."""
        self._buffer += data
        while not self._ended and self._step():
            pass
        if self._ended:
            # What follows the end of an archive is padding.
            self._buffer.clear()

    def finish(self) -> Unpacked:
        """The archive is complete. Raises `UnsafeArchiveError` where it is not."""
        if not self._ended:
            raise UnsafeArchiveError("the archive ends too early")
        return Unpacked(self._size_bytes, tuple(self._skipped))

    def abort(self) -> None:
        """Removes the file that is not complete."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def _step(self) -> bool:
        if self._left:
            return self._take_content()
        if self._padding:
            taken = min(self._padding, len(self._buffer))
            del self._buffer[:taken]
            self._padding -= taken
            return self._padding == 0 and taken > 0
        if len(self._buffer) < BLOCK_BYTES:
            return False
        block = bytes(self._buffer[:BLOCK_BYTES])
        del self._buffer[:BLOCK_BYTES]
        self._begin(block)
        return True

    def _take_content(self) -> bool:
        piece = bytes(self._buffer[: self._left])
        if not piece:
            return False
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        if self._extension is not None:
            self._extension += piece
        elif self._file is not None:
            file, path = self._file, self._path or self._target
            _local(path, lambda: file.write(piece))
        if self._left == 0:
            self._end_content()
        return True

    def _end_content(self) -> None:
        if self._extension is not None:
            content, self._extension = bytes(self._extension), None
            self._learn(content)
        elif self._file is not None:
            file, path = self._file, self._path or self._target
            _local(path, file.close)
            self._file = None

    def _begin(self, block: bytes) -> None:
        if not any(block):
            self._ended = True
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.TarError:
            raise UnsafeArchiveError("the archive is malformed") from None
        if not 0 <= header.size <= _SIZE_MAX:
            raise UnsafeArchiveError("the archive is malformed")
        self._members += 1
        if self._members > _MEMBERS_MAX:
            raise UnsafeArchiveError(f"the archive has more than {_MEMBERS_MAX} members")
        kind = header.type
        if kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, b"L", b"K"):
            if header.size > _EXTENSION_MAX_BYTES:
                raise UnsafeArchiveError("a name in the archive is endless")
            self._extension, self._extension_type = bytearray(), kind
            self._content_follows(header.size)
            return
        if kind == tarfile.GNUTYPE_SPARSE:
            # What follows its header is not its content; nothing of Pinfold's writes such members.
            raise UnsafeArchiveError("the archive holds a sparse file")
        override, self._override = self._override, {}
        header.name = override.get("path", header.name)
        header.linkname = override.get("linkpath", header.linkname)
        header.size = int(override.get("size", header.size))
        self._make(header)

    def _content_follows(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK_BYTES
        if size == 0:
            self._end_content()

    def _learn(self, content: bytes) -> None:
        """What an extension says of the member after it."""
        if self._extension_type in (b"L", b"K"):
            told = "path" if self._extension_type == b"L" else "linkpath"
            self._override[told] = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            return
        if self._extension_type == tarfile.XGLTYPE:
            return
        for key, value in _records(content):
            if key.startswith(b"GNU.sparse."):
                raise UnsafeArchiveError("the archive holds a sparse file")
            if key == b"size" and not (re.fullmatch(rb"[0-9]{1,19}", value) and int(value) <= _SIZE_MAX):
                raise UnsafeArchiveError("the archive is malformed")
            if key in (b"path", b"linkpath", b"size"):
                self._override[key.decode()] = value.decode("utf-8", "surrogateescape")

    def _make(self, header: tarfile.TarInfo) -> None:
        parts = self._parts(header.name)
        if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
            if not parts:
                raise UnsafeArchiveError(f"the archive names a file {header.name!r}")
            self._count(header.size)
            self._open(self._place(parts), header)
            self._content_follows(header.size)
            return
        if header.isdir():
            # Never without write permission: the rest could not be put in.
            self._directory(parts, header.mode & 0o777 | 0o700)
        elif header.issym() and parts and _stays_inside(parts, header.linkname):
            place = self._place(parts)
            _local(place, lambda: place.symlink_to(header.linkname))
        elif header.islnk() and parts:
            self._hard_link(parts, self._parts(header.linkname))
        elif len(self._skipped) < SKIPPED_MAX:
            self._skipped.append(header.name)
        self._left, self._padding = header.size, -header.size % BLOCK_BYTES

    def _parts(self, name: str) -> list[str]:
        parts = [each for each in name.split("/") if each not in ("", ".")]
        foreign = os.sep != "/" and (os.sep in name or ":" in name)
        if name.startswith("/") or ".." in parts or "\0" in name or foreign:
            raise UnsafeArchiveError(f"the archive wants to write to {name!r}")
        if len(parts) > _DEPTH_MAX:
            raise UnsafeArchiveError(f"the archive nests more than {_DEPTH_MAX} directories")
        return parts

    def _place(self, parts: list[str]) -> Path:
        """Where to put a member; what is no directory there makes way."""
        path = self._directory(parts[:-1]) / parts[-1]
        kind = _kind(path)
        if kind is not None and kind != stat.S_IFDIR:
            _local(path, path.unlink)
        return path

    def _directory(self, parts: list[str], mode: int = 0o777) -> Path:
        """A directory below the target that no link leads to.

        One that is made has this mode, less what the process' umask takes; one that is there keeps
        its own: an archive opens nothing to others.
        """
        path = self._target
        for depth, part in enumerate(parts, 1):
            path = path / part
            if _kind(path) == stat.S_IFLNK:
                raise UnsafeArchiveError(f"the archive wants to write through the link {path}")
            _make_directory(path, mode if depth == len(parts) else 0o777)
        return path

    def _count(self, size: int) -> None:
        self._size_bytes += size
        if self._max_bytes is not None and self._size_bytes > self._max_bytes:
            raise UnsafeArchiveError(f"the archive holds more than {self._max_bytes} bytes")

    def _open(self, path: Path, header: tarfile.TarInfo) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)

        def make() -> BinaryIO:
            return os.fdopen(os.open(path, flags, header.mode & 0o777 | 0o200), "wb")

        self._path, self._file = path, _local(path, make)

    def _hard_link(self, parts: list[str], source_parts: list[str]) -> None:
        if not source_parts or source_parts == parts:
            raise UnsafeArchiveError("the archive links to nothing")
        source = self._directory(source_parts[:-1]) / source_parts[-1]
        if _kind(source) != stat.S_IFREG:
            raise UnsafeArchiveError(f"the archive wants to link to {source}, which is no file")
        path = self._place(parts)
        _local(path, lambda: os.link(source, path))


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of an extended header."""
    while content:
        begin = _RECORD.match(content)
        length = int(begin[1]) if begin else 0
        if begin is None or not begin.end() < length <= len(content) or content[length - 1] != 10:
            raise UnsafeArchiveError("the archive is malformed")
        yield begin[2], content[begin.end() : length - 1]
        content = content[length:]


def _kind(path: Path) -> int | None:
    """What is there, no link followed; `None` for nothing."""

    def look() -> int | None:
        try:
            return stat.S_IFMT(path.lstat().st_mode)
        except FileNotFoundError:
            return None

    return _local(path, look)


def _make_directory(path: Path, mode: int) -> None:
    _local(path, lambda: path.mkdir(mode, exist_ok=True))


def _stays_inside(parts: list[str], target: str) -> bool:
    """Whether a symlink can only lead to something below the archive's root.

    `..` counts in front only: behind a name that is itself a link it would lead anywhere.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    steps = [each for each in target.split("/") if each not in ("", ".")]
    up = 0
    while up < len(steps) and steps[up] == "..":
        up += 1
    return up < len(parts) and ".." not in steps[up:]


def _local(path: Path, act: Callable[[], T]) -> T:
    try:
        return act()
    except OSError as error:
        raise LocalFileError(f"cannot write {path}: {error.strerror}") from None
