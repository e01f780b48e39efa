"""The repository as the checks see it: its files, and what a finding is."""

import os
from dataclasses import dataclass
from pathlib import Path

# Never part of the project: build output, caches, git's own.
SKIPPED_DIRECTORIES = {
    ".git",
    "target",
    "node_modules",
    "__pycache__",
    ".venv",
    ".cache",
    ".hypothesis",
    ".pytest_cache",
    ".mypy_cache",
}


@dataclass(frozen=True)
class Finding:
    """One rule broken at one place. Warnings are shown and do not fail the run."""

    where: str
    what: str
    warning: bool = False

    def __str__(self) -> str:
        level = "warning" if self.warning else "error"
        return f"{level}: {self.where}: {self.what}"


def files(root: Path) -> list[Path]:
    """Every file of the project, sorted, as paths below `root`. Needs no git."""
    found = []
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = [d for d in subdirectories if d not in SKIPPED_DIRECTORIES]
        found += [Path(directory, name).relative_to(root) for name in names]
    return sorted(found)


def text(root: Path, path: Path) -> str | None:
    """The content of a text file; None for anything that is not UTF-8."""
    try:
        return (root / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
