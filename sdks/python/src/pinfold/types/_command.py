"""Commands as the server tells about them, and what they wrote."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Union

from pinfold.errors import ProtocolError
from pinfold.types._wire import JsonKey, Wire, Word, to_bytes


class CommandState(Word):
    """Where a command is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    KILLED = "killed"
    """Its sandbox was destroyed under it."""
    LOST = "lost"
    """The guest is gone and nobody knows how it ended."""


class StdinMode(Word):
    """What a command reads."""

    NULL = "null"
    OPEN = "open"
    """A pipe that stays open until it is closed by request."""


class CancelMode(Word):
    """How to end a command."""

    GRACEFUL = "graceful"
    """TERM to everything it started."""
    FORCE = "force"
    """KILL to everything it started."""


class StreamName(Word):
    """Where bytes came from. A terminal has only `stdout`."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True)
class WindowSize(Wire):
    """Size of a terminal in characters, at least 1 each."""

    rows: int = 24
    cols: int = 80


@dataclass(frozen=True)
class CommandFacts(Wire):
    """A command as it was when the server told."""

    id: str
    sandbox_id: str
    project_id: str
    argv: tuple[str, ...] | None
    shell: str | None
    cwd: str | None
    env_names: tuple[str, ...]
    user: str | None
    stdin: StdinMode
    tty: WindowSize | None
    timeout: Annotated[timedelta | None, JsonKey("timeout_ms")]
    output_cap_bytes: int | None
    state: CommandState
    exit_code: int | None
    """Set where the program ended by itself."""
    signal: int | None
    """Set where a signal ended it."""
    cancel: CancelMode | None
    """A cancel was asked for."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    last_seq: int | None
    """The last record of its journal at the moment it ended."""
    truncated: bool
    """The output cap was reached."""

    @property
    def ended(self) -> bool:
        """Whether it will change no more."""
        # The time too: a newer server may have endings that this version has no word for.
        return self.ended_at is not None or self.state in _ENDINGS

    @property
    def shell_code(self) -> int | None:
        """What a shell would show: 128 + n for signal n; `None` while it runs or is lost."""
        if self.exit_code is not None or self.signal is None:
            return self.exit_code
        return 128 + self.signal

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.state == CommandState.EXITED and self.exit_code is not None:
            return f"ended with code {self.exit_code}"
        if self.state == CommandState.EXITED and self.signal is not None:
            return f"was ended by {_signal_name(self.signal)}"
        return f"is {self.state}"


_ENDINGS = (
    CommandState.EXITED,
    CommandState.CANCELLED,
    CommandState.TIMED_OUT,
    CommandState.KILLED,
    CommandState.LOST,
)


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True)
class RunResult:
    """A finished command with the beginning of its output: the first MiB of each stream."""

    command: CommandFacts
    stdout_bytes: bytes
    stdout_truncated: bool
    """More was written than is here; read it all from the command's output."""
    stderr_bytes: bytes
    stderr_truncated: bool

    @classmethod
    def from_json(cls, data: Any) -> RunResult:
        """From decoded JSON. Raises `ProtocolError` where the server breaks its promise."""
        if not isinstance(data, dict):
            raise ProtocolError("the server told no RunResult")
        return cls(
            command=CommandFacts.from_json(data.get("command")),
            stdout_bytes=to_bytes(data.get("stdout"), data.get("stdout_encoding")),
            stdout_truncated=data.get("stdout_truncated") is True,
            stderr_bytes=to_bytes(data.get("stderr"), data.get("stderr_encoding")),
            stderr_truncated=data.get("stderr_truncated") is True,
        )

    @property
    def stdout(self) -> str:
        """As text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """As text; bytes that are not UTF-8 become U+FFFD."""
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def exit_code(self) -> int | None:
        """What a shell would show: 128 + n for signal n; `None` where it is lost."""
        return self.command.shell_code

    @property
    def ok(self) -> bool:
        """It ended by itself, with code 0."""
        return self.command.state == CommandState.EXITED and self.command.exit_code == 0

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        return self.command.ending


@dataclass(frozen=True)
class Output:
    """Bytes that a command wrote."""

    seq: int
    time: datetime
    stream: StreamName
    data: bytes

    @property
    def text(self) -> str:
        """As text; bytes that are not UTF-8 become U+FFFD. A record may split a character."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True)
class Truncated:
    """The output cap was reached: nothing that the command wrote after this was kept."""

    seq: int
    time: datetime


@dataclass(frozen=True)
class End:
    """The command ended."""

    seq: int
    time: datetime
    command: CommandFacts


Record = Union[Output, Truncated, End]
"""One entry of a command's journal. Sequence numbers begin at 1 and have no gaps."""


@dataclass(frozen=True)
class _Numbered(Wire):
    seq: int
    time: datetime


@dataclass(frozen=True)
class _Written(_Numbered):
    stream: StreamName


@dataclass(frozen=True)
class _Ended(_Numbered):
    command: CommandFacts


def record_from_json(data: Any) -> Record | None:
    """One record; `None` for a kind that only newer versions know."""
    kind = data.get("type") if isinstance(data, dict) else None
    if kind == "output":
        written = _Written.from_json(data)
        content = to_bytes(data.get("data"), data.get("encoding"))
        return Output(written.seq, written.time, written.stream, content)
    if kind == "truncated":
        at = _Numbered.from_json(data)
        return Truncated(at.seq, at.time)
    if kind == "end":
        ended = _Ended.from_json(data)
        return End(ended.seq, ended.time, ended.command)
    if isinstance(kind, str):
        return None
    raise ProtocolError("the server told a record without its type")


@dataclass(frozen=True)
class LogPage:
    """A page of a journal."""

    records: tuple[Record, ...]
    next_after_seq: int
    """Pass it as `after_seq` for the next page."""
    at_end: bool
    """There are no more records now."""

    @classmethod
    def from_json(cls, data: Any) -> LogPage:
        """From decoded JSON. Raises `ProtocolError` where the server breaks its promise."""
        facts = _PageFacts.from_json(data)
        records = (record_from_json(each) for each in facts.records)
        known = tuple(record for record in records if record is not None)
        return cls(known, facts.next_after_seq, facts.at_end)


@dataclass(frozen=True)
class _PageFacts(Wire):
    records: tuple[Any, ...]
    next_after_seq: int
    at_end: bool
