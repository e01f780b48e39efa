"""Runs of pipelines: the steps of a markdown document, one after the other in one sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Union

from pinfold.errors import ProtocolError
from pinfold.types._command import StreamName
from pinfold.types._wire import JsonKey, Wire, Word, to_bytes


class PipelineRunState(Word):
    """Where a run is in its life."""

    QUEUED = "queued"
    """Accepted; its sandbox is not there yet."""
    RUNNING = "running"
    COMPLETED = "completed"
    """No step failed, save those that may."""
    FAILED = "failed"
    CANCELLED = "cancelled"


class PipelineStepState(Word):
    """Where a step is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    PASSED = "passed"
    """It ended with code 0."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """The run ended before it."""


@dataclass(frozen=True)
class PipelineFailure(Wire):
    """What ended a run other than a step."""

    code: str
    """`cancelled`, or the code of an error, such as `timeout` or `sandbox_gone`."""
    message: str


@dataclass(frozen=True)
class PipelineStep(Wire):
    """One step of a run as it was then."""

    index: int
    """From 0."""
    name: str
    state: PipelineStepState
    exit_code: int | None
    """As a shell shows it, 124 where its time ran out; `None` where it has not ended or nobody
    knows."""
    continue_on_error: bool
    """The run goes on when it fails."""
    timeout: Annotated[timedelta | None, JsonKey("timeout_ms")]
    command_id: str | None
    """What it runs as; output is read there as of any command, while it is kept."""
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class PipelineRun(Wire):
    """A run as it was then."""

    id: int
    """Unique in an installation; later runs have larger ones."""
    project_id: str
    sandbox_id: str
    """Fixed before the sandbox is made; gone when the run has ended."""
    state: PipelineRunState
    image: str
    template: str | None
    vcpu: float
    memory_mib: int
    timeout: Annotated[timedelta, JsonKey("timeout_ms")]
    step_count: int
    passed_count: int
    failure: PipelineFailure | None
    """What ended the run, where that was no step."""
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: tuple[PipelineStep, ...] = ()
    """As many as `step_count`; empty in lists."""

    @property
    def ok(self) -> bool:
        """It completed."""
        return self.state == PipelineRunState.COMPLETED

    @property
    def ended(self) -> bool:
        """It will change no more."""
        return self.ended_at is not None


@dataclass(frozen=True)
class StepOutput:
    """The beginning of both streams of a step."""

    stdout_bytes: bytes
    stderr_bytes: bytes
    stdout_truncated: bool
    """More was written than is here."""
    stderr_truncated: bool

    @property
    def stdout(self) -> str:
        """As text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """As text; bytes that are not UTF-8 become U+FFFD."""
        return self.stderr_bytes.decode("utf-8", "replace")

    @classmethod
    def from_json(cls, data: Any) -> StepOutput:
        """From decoded JSON. Raises `ProtocolError` where the server breaks its promise."""
        cut = _Cut.from_json(data)
        return cls(
            to_bytes(data.get("stdout"), data.get("stdout_encoding")),
            to_bytes(data.get("stderr"), data.get("stderr_encoding")),
            cut.stdout_truncated,
            cut.stderr_truncated,
        )


@dataclass(frozen=True)
class _Cut(Wire):
    stdout_truncated: bool
    stderr_truncated: bool


@dataclass(frozen=True)
class PipelineReport:
    """A run with the beginning of what its steps wrote."""

    run: PipelineRun
    output: tuple[StepOutput, ...]
    """As many as the run has steps; empty for those that have not ended."""

    @classmethod
    def from_json(cls, data: Any) -> PipelineReport:
        """From decoded JSON. Raises `ProtocolError` where the server breaks its promise."""
        report = _Report.from_json(data)
        return cls(report.run, tuple(StepOutput.from_json(each) for each in report.output))


@dataclass(frozen=True)
class _Report(Wire):
    run: PipelineRun
    output: tuple[Any, ...]


@dataclass(frozen=True)
class StepStarted(Wire):
    """A step began."""

    seq: int
    step: int
    """From 0."""
    name: str


@dataclass(frozen=True)
class StepWrote:
    """A step wrote bytes."""

    seq: int
    step: int
    time: datetime
    stream: StreamName
    data: bytes

    @property
    def text(self) -> str:
        """As text; bytes that are not UTF-8 become U+FFFD. An event may split a character."""
        return self.data.decode("utf-8", "replace")

    @classmethod
    def from_json(cls, data: Any) -> StepWrote:
        """From decoded JSON. Raises `ProtocolError` where the server breaks its promise."""
        wrote = _Wrote.from_json(data)
        content = to_bytes(data.get("data"), data.get("encoding"))
        return cls(wrote.seq, wrote.step, wrote.time, wrote.stream, content)


@dataclass(frozen=True)
class _Wrote(Wire):
    seq: int
    step: int
    time: datetime
    stream: StreamName


@dataclass(frozen=True)
class StepTruncated(Wire):
    """What the step wrote after this was not kept."""

    seq: int
    step: int


@dataclass(frozen=True)
class StepEnded(Wire):
    """A step passed, failed, or was skipped without having started."""

    seq: int
    step: int
    result: PipelineStep


@dataclass(frozen=True)
class PipelineEnded(Wire):
    """The last one, with the whole run."""

    seq: int
    run: PipelineRun


PipelineEvent = Union[StepStarted, StepWrote, StepTruncated, StepEnded, PipelineEnded]
"""One thing that happened in a run. Sequence numbers grow and have gaps."""

_KINDS: Mapping[str, type[Any]] = {
    "step_started": StepStarted,
    "output": StepWrote,
    "truncated": StepTruncated,
    "step_ended": StepEnded,
    "ended": PipelineEnded,
}


def pipeline_event_from_json(data: Any) -> PipelineEvent | None:
    """One event; `None` for a kind that only newer versions know."""
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(kind, str):
        raise ProtocolError("the server told an event without its type")
    known = _KINDS.get(kind)
    event: PipelineEvent | None = None if known is None else known.from_json(data)
    return event
