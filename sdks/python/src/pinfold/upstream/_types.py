"""What calls answer with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ExecResult:
    """A command that has ended."""

    exit_code: int
    """0 is success; 127 not found, 126 not executable, 128+n killed by signal n."""
    stdout: str
    stderr: str


@dataclass(frozen=True)
class RunResult:
    """A pipeline that has ended."""

    run_id: int
    status: str
    """``"completed"`` or ``"failed"``."""
    step_count: int
    pass_count: int
    raw: dict[str, Any] = field(repr=False)
    """The whole answer, with each step's name, status, exit code and output."""


@dataclass(frozen=True)
class Usage:
    """What the account has used since it exists."""

    total_sessions: int
    total_vcpu_seconds: float
    raw: dict[str, Any] = field(repr=False)
    """The whole answer."""
