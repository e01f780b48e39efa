"""Facts about files of this machine."""

from __future__ import annotations

import os
from pathlib import Path

from pinfold.errors import LocalFileError


def size_of(path: Path) -> int:
    """The size of a local file. What is announced tells one that was cut off from a complete one."""
    return _stat(path).st_size


def mode_of(path: Path) -> int:
    """The permission bits of a local file."""
    return _stat(path).st_mode & 0o777


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise LocalFileError(f"cannot read {path}: {error.strerror}") from None
