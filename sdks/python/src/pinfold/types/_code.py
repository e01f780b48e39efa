"""Code contexts and runs of code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Union

from pinfold.errors import ProtocolError
from pinfold.types._wire import JsonKey, Wire, Word


class CodeLanguage(Word):
    """What a context understands."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    TYPESCRIPT = "typescript"


class CodeRunState(Word):
    """Where a run is in its life."""

    QUEUED = "queued"
    """It waits for earlier runs of its context."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The code raised, or did not compile."""
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed_out"
    DIED = "died"
    """The interpreter died of it."""
    LOST = "lost"
    """The sandbox's processes are gone; nobody knows how far it came."""


@dataclass(frozen=True)
class CodeContext(Wire):
    """An interpreter in a sandbox that keeps its variables from one run to the next."""

    id: str
    sandbox_id: str
    project_id: str
    language: CodeLanguage
    cwd: str
    timeout: Annotated[timedelta, JsonKey("timeout_ms")]
    idle_timeout: Annotated[timedelta, JsonKey("idle_timeout_ms")]
    is_default: bool
    """Runs that name no context take this one."""
    generation: int
    """Counts the interpreters it has had, beside those that the first replaced by itself."""
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    """When it ends unless it is used before."""


@dataclass(frozen=True)
class RejectedForm(Wire):
    """A form of an output that is not there, and why."""

    format: str
    reason: str


@dataclass(frozen=True)
class CodeOutput(Wire):
    """A value in every form it offers."""

    data: Mapping[str, Any]
    """By media type: text; base64 of binary forms such as `image/png`; JSON of `application/json`."""
    is_result: bool
    """The value of the last expression, not one that was displayed."""
    truncated: tuple[str, ...] = ()
    """Forms that were cut to 1 MiB."""
    rejected: tuple[RejectedForm, ...] = ()
    """Forms that are over their bound, or could not be made."""

    @property
    def text(self) -> str | None:
        """As plain text, where there is such a form."""
        text = self.data.get("text/plain")
        return text if isinstance(text, str) else None


@dataclass(frozen=True)
class CodeError(Wire):
    """What the code raised, or why it could not go on."""

    name: str
    message: str
    traceback: str
    """With the frames of the code alone; may be empty."""


@dataclass(frozen=True)
class CodeRun(Wire):
    """A run of code with everything it told until then."""

    id: str
    """A run is a command, so this is a command's id."""
    sandbox_id: str
    context_id: str
    language: CodeLanguage
    state: CodeRunState
    execution_count: int | None
    """Counts the runs of the interpreter, from 1; `None` for one that never began."""
    restarted: bool
    """It began in a fresh interpreter: variables of earlier runs were gone."""
    state_kept: bool | None
    """Whether its variables are there for the next run; `None` while it runs."""
    stdout_pieces: Annotated[tuple[str, ...], JsonKey("stdout")]
    """In order, in the pieces in which it came."""
    stderr_pieces: Annotated[tuple[str, ...], JsonKey("stderr")]
    truncated: bool
    """The run wrote more than 8 MiB to both; the rest was dropped."""
    outputs: tuple[CodeOutput, ...]
    error: CodeError | None
    duration: Annotated[timedelta | None, JsonKey("duration_ms")]
    created_at: datetime
    ended_at: datetime | None

    @property
    def stdout(self) -> str:
        """All of it. Bytes that are no UTF-8 are shown as U+FFFD."""
        return "".join(self.stdout_pieces)

    @property
    def stderr(self) -> str:
        """All of it. Bytes that are no UTF-8 are shown as U+FFFD."""
        return "".join(self.stderr_pieces)

    @property
    def result(self) -> CodeOutput | None:
        """The value of the last expression, if it has one."""
        return next((output for output in self.outputs if output.is_result), None)

    @property
    def ok(self) -> bool:
        """It came to its end without an error."""
        return self.state == CodeRunState.SUCCEEDED


@dataclass(frozen=True)
class CodeBegun(Wire):
    """The code began."""

    seq: int
    execution_count: int
    restarted: bool


@dataclass(frozen=True)
class CodeStdout(Wire):
    """The code wrote to stdout."""

    seq: int
    data: str


@dataclass(frozen=True)
class CodeStderr(Wire):
    """The code wrote to stderr."""

    seq: int
    data: str


@dataclass(frozen=True)
class CodeTruncated(Wire):
    """What the run writes from here on is dropped."""

    seq: int


@dataclass(frozen=True)
class CodeDisplayed(Wire):
    """The code displayed a value, or its last expression has one."""

    seq: int
    output: CodeOutput


@dataclass(frozen=True)
class CodeRaised(Wire):
    """The code raised."""

    seq: int
    error: CodeError


@dataclass(frozen=True)
class CodeComplete(Wire):
    """The last one, with the whole run."""

    seq: int
    run: CodeRun


CodeEvent = Union[
    CodeBegun, CodeStdout, CodeStderr, CodeTruncated, CodeDisplayed, CodeRaised, CodeComplete
]
"""One thing that happened in a run. Sequence numbers begin at 1 and have no gaps."""

_KINDS: Mapping[str, type[Any]] = {
    "begun": CodeBegun,
    "stdout": CodeStdout,
    "stderr": CodeStderr,
    "truncated": CodeTruncated,
    "output": CodeDisplayed,
    "error": CodeRaised,
    "complete": CodeComplete,
}


def code_event_from_json(data: Any) -> CodeEvent | None:
    """One event; `None` for a kind that only newer versions know."""
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(kind, str):
        raise ProtocolError("the server told an event without its type")
    known = _KINDS.get(kind)
    event: CodeEvent | None = None if known is None else known.from_json(data)
    return event


@dataclass(frozen=True)
class _Contexts(Wire):
    contexts: tuple[CodeContext, ...]


def contexts_from_json(data: Any) -> tuple[CodeContext, ...]:
    """All contexts of a sandbox."""
    return _Contexts.from_json(data).contexts
