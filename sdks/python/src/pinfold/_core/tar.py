"""A local directory as a tar stream, in bounded memory."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pinfold.errors import LocalFileError

PIECE_BYTES = 256 << 10
BLOCK_BYTES = 512
"""What headers and contents of a tar are filled up to."""


def pack(directory: Path) -> Iterator[bytes]:
    """The tar of everything below a directory, symlinks as they are, nobody as the owner."""
    if not directory.is_dir():
        raise LocalFileError(f"{directory} is not a directory")
    # Of what the caller's own path may be a link to.
    for path, name in _walk(Path(os.path.realpath(directory))):
        yield from _member(path, name)
    yield bytes(2 * BLOCK_BYTES)


def _walk(directory: Path) -> Iterator[tuple[Path, str]]:
    waiting = [(directory, ".")]
    while waiting:
        path, name = waiting.pop()
        yield path, name
        try:
            if not path.is_symlink() and path.is_dir():
                inside = sorted(os.listdir(path), reverse=True)
                waiting += [(path / each, f"{name}/{each}") for each in inside]
        except OSError as error:
            raise LocalFileError(f"cannot read {path}: {error.strerror}") from None


def _member(path: Path, name: str) -> Iterator[bytes]:
    try:
        facts = path.lstat()
        header = tarfile.TarInfo(name)
        header.mode = stat.S_IMODE(facts.st_mode) & 0o777
        header.mtime = int(facts.st_mtime)
        if stat.S_ISLNK(facts.st_mode):
            header.type, header.linkname = tarfile.SYMTYPE, os.readlink(path)
        elif stat.S_ISDIR(facts.st_mode):
            header.type = tarfile.DIRTYPE
        elif stat.S_ISREG(facts.st_mode):
            with open(path, "rb") as file:
                # Of the file that is open, whatever has this name by now.
                header.size = os.fstat(file.fileno()).st_size
                yield _encoded(header)
                yield from _content(file, path, header.size)
            return
        else:
            # Sockets, pipes and devices have no content to take along.
            return
    except OSError as error:
        raise LocalFileError(f"cannot read {path}: {error.strerror}") from None
    yield _encoded(header)


def _encoded(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _content(file: BinaryIO, path: Path, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = file.read(min(left, PIECE_BYTES))
        if not piece:
            raise LocalFileError(f"{path} became shorter while it was read")
        left -= len(piece)
        yield piece
    if size % BLOCK_BYTES:
        yield bytes(BLOCK_BYTES - size % BLOCK_BYTES)
