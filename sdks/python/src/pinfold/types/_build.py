"""Builds: images made from Dockerfiles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Union

from pinfold.errors import ProtocolError
from pinfold.types._pipeline import PipelineStepState, StepTruncated, StepWrote
from pinfold.types._wire import JsonKey, Wire, Word


class BuildState(Word):
    """Where a build is in its life."""

    QUEUED = "queued"
    """Accepted; nothing has been done."""
    BUILDING = "building"
    COMPLETE = "complete"
    """The image is there."""
    FAILED = "failed"


@dataclass(frozen=True)
class BuildFailure(Wire):
    """Why a build failed."""

    code: str
    """Such as `step_failed`, `base_image`, `context`, `cancelled`, `timeout` or `lost`."""
    message: str
    step: int | None
    """The step that it happened in, from 0."""


@dataclass(frozen=True)
class BuildStep(Wire):
    """One step of a build as it was then."""

    index: int
    """From 0."""
    stage: str
    """The stage's name or number; empty for what follows the Dockerfile."""
    line: int | None
    text: str
    """What is done, in one line."""
    state: PipelineStepState
    cached: bool
    """It was taken from an earlier build."""
    exit_code: int | None
    command_id: str | None
    """Where it runs one; output is read there as of any command, while it is kept."""
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Build(Wire):
    """A build as it was then."""

    id: str
    project_id: str
    name: str
    """What the image is or will be called."""
    state: BuildState
    target: str | None
    context_id: str | None
    image_id: str | None
    """The image, when it is complete."""
    failure: BuildFailure | None
    warnings: tuple[str, ...]
    """What the Dockerfile or the request says to no effect."""
    step_count: int
    cached_count: int
    """Of these, taken from earlier builds."""
    cancel_requested: bool
    timeout: Annotated[timedelta, JsonKey("timeout_ms")]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: tuple[BuildStep, ...] = ()
    """As many as `step_count`; empty in lists."""

    @property
    def ok(self) -> bool:
        """The image is there."""
        return self.state == BuildState.COMPLETE

    @property
    def ended(self) -> bool:
        """It will change no more."""
        return self.ended_at is not None


@dataclass(frozen=True)
class BuildStepStarted(Wire):
    """A step began."""

    seq: int
    step: int
    """From 0."""
    text: str


@dataclass(frozen=True)
class BuildStepEnded(Wire):
    """A step was done, taken from an earlier build, failed, or was skipped."""

    seq: int
    step: int
    result: BuildStep


@dataclass(frozen=True)
class BuildEnded(Wire):
    """The last one, with the whole build."""

    seq: int
    build: Build


BuildEvent = Union[BuildStepStarted, StepWrote, StepTruncated, BuildStepEnded, BuildEnded]
"""One thing that happened in a build. Numbers grow and have gaps."""

_EVENTS: dict[str, Any] = {
    "step_started": BuildStepStarted,
    "output": StepWrote,
    "truncated": StepTruncated,
    "step_ended": BuildStepEnded,
    "ended": BuildEnded,
}


def build_event_from_json(data: Any) -> BuildEvent | None:
    """`None` for an event that this version does not know."""
    if not isinstance(data, dict):
        raise ProtocolError("the server told an event that is no object")
    kind = _EVENTS.get(str(data.get("type")))
    return None if kind is None else kind.from_json(data)
