"""What to run, as a request's body."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Union

from pinfold._core.call import Duration, milliseconds
from pinfold.errors import ConfigurationError
from pinfold.types import WindowSize

Program = Union[str, Sequence[str]]
"""A line for the shell, or a program and its arguments."""


def start_body(
    program: Program,
    *,
    cwd: str | None,
    env: Mapping[str, str] | None,
    user: str | None,
    stdin: bytes | str | None,
    open_stdin: bool,
    tty: WindowSize | None,
    timeout: Duration | None,
    output_cap_bytes: int | None,
) -> dict[str, Any]:
    """The body of a start or run."""
    body: dict[str, Any] = {
        "cwd": cwd,
        "env": dict(env) if env else None,
        "user": user,
        "tty": None if tty is None else {"rows": tty.rows, "cols": tty.cols},
        "timeout_ms": milliseconds(timeout),
        "output_cap_bytes": output_cap_bytes,
    }
    if isinstance(program, str):
        body["shell"] = program
    elif isinstance(program, bytes) or not all(isinstance(each, str) for each in program):
        raise ConfigurationError("a program is a line for the shell or a sequence of texts")
    else:
        body["argv"] = list(program)
    if open_stdin:
        body["stdin"] = "open"
    if isinstance(stdin, str):
        body["stdin_data"] = stdin
    elif stdin is not None:
        body["stdin_data"] = base64.b64encode(stdin).decode("ascii")
        body["stdin_encoding"] = "base64"
    return body
