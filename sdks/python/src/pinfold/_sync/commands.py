# Made from `_async` by `tools/make_sync.py`: change it there.
"""Commands: starting, watching, feeding, ending them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pinfold._sync._io import Content, Progress, opens, pieces
from pinfold._sync.http import Http
from pinfold._sync.streams import ByteStream, Pages, RecordStream
from pinfold._core import call
from pinfold._core.call import Duration
from pinfold._core.command import Program, start_body
from pinfold.errors import (
    AnswerTimeoutError,
    BrokenConnectionError,
    CommandFailedError,
    ConnectionFailedError,
    WaitTimeoutError,
)
from pinfold.types import (
    CancelMode,
    CommandFacts,
    CommandState,
    LogPage,
    Page,
    RunResult,
    StreamName,
    WindowSize,
)
from pinfold.types._page import page_of

_WAIT_MAX_SECONDS = 60.0
"""The server's own bound on one long poll."""
_POLL_GRACE_SECONDS = 15.0
"""What the server has beyond the time that a long poll names."""


class Command:
    """One process in a sandbox, with everything it wrote."""

    def __init__(self, http: Http, facts: CommandFacts) -> None:
        self._http = http
        self.facts = facts
        """The command as the server last told."""

    def __repr__(self) -> str:
        return f"Command(id={self.id!r}, state={str(self.state)!r})"

    @property
    def id(self) -> str:
        """Names it, also after its end."""
        return self.facts.id

    @property
    def state(self) -> CommandState:
        """Where it was in its life when the server last told."""
        return self.facts.state

    @property
    def exit_code(self) -> int | None:
        """What a shell would show, once the server told of its end: see `wait`."""
        return self.facts.shell_code

    def refresh(self) -> CommandFacts:
        """Asks the server how it is now."""
        request = call.get("commands", self.id, read=CommandFacts.from_json)
        self.facts = self._http.fetch(request)
        return self.facts

    def wait(self, timeout: Duration | None = None) -> CommandFacts:
        """Waits for its end, however long that takes, also over restarts of the server.

        With a `timeout` it raises `WaitTimeoutError` after that time, 15 seconds later where the server
        does not answer; the command runs on.
        """
        allowed = call.milliseconds(timeout)
        deadline = None if allowed is None else time.monotonic() + allowed / 1000
        while not self.facts.ended:
            left = _WAIT_MAX_SECONDS
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
                if left < 0:
                    raise WaitTimeoutError(f"the command {self.id} has not ended in this time")
            request = call.get("commands", self.id, "wait", read=CommandFacts.from_json)
            request = request.query(timeout_ms=call.milliseconds(left)).patient().by(deadline)
            try:
                self.facts = self._http.fetch(request.within(left + _POLL_GRACE_SECONDS))
            except (ConnectionFailedError, AnswerTimeoutError, BrokenConnectionError) as error:
                if deadline is None or time.monotonic() < deadline:
                    raise
                raise WaitTimeoutError(f"nobody told in this time how {self.id} ends") from error
        return self.facts

    def cancel(self, mode: CancelMode = CancelMode.GRACEFUL) -> CommandFacts:
        """Asks everything it started to end: TERM, or KILL with `CancelMode.FORCE`."""
        request = call.repeatable_post("commands", self.id, "cancel", read=CommandFacts.from_json)
        self.facts = self._http.fetch(request.json({"mode": mode}))
        return self.facts

    def stream(
        self, *, after_seq: int = 0, stream: StreamName | str | None = None
    ) -> RecordStream:
        """Its journal as it grows, up to its end; behind the record `after_seq`, of one stream only.

        Connects when it is iterated, and again whenever the connection drops.
        """
        return RecordStream(self._http, self.id, after_seq, _word(stream))

    def logs(
        self,
        *,
        after_seq: int = 0,
        limit: int | None = None,
        stream: StreamName | str | None = None,
    ) -> LogPage:
        """A page of its journal: at most `limit` records (1000) and 1 MiB of output."""
        request = call.get("commands", self.id, "logs", read=LogPage.from_json)
        request = request.query(after_seq=after_seq, limit=limit, stream=_word(stream))
        return self._http.fetch(request)

    @opens
    def output(
        self,
        *,
        stream: StreamName | str | None = None,
        follow: bool = False,
        progress: Progress | None = None,
    ) -> ByteStream:
        """Its output as raw bytes: what is there now, or until it ends.

        It is one connection that is not resumed; `stream` is.
        """
        request = call.get_raw("commands", self.id, "output")
        request = request.query(stream=_word(stream), follow=follow)
        body = self._http.open(request.within(None if follow else request.timeout))
        return ByteStream(body, self._http.settings.url, progress)

    def write_stdin(self, content: Content, *, progress: Progress | None = None) -> None:
        """Writes to its stdin; answers when its pipe has taken everything.

        Never repeated where a part may have arrived.
        """
        request = call.post("commands", self.id, "stdin", read=call.nothing).within(None)
        if isinstance(content, str):
            content = call.utf8(content)
        if isinstance(content, bytes) and progress is None:
            return self._http.fetch(request.content(content))
        self._http.upload(request, pieces(content, progress), None)

    def close_stdin(self) -> None:
        """It reads end of file behind what was written."""
        request = call.repeatable_post("commands", self.id, "stdin", "close", read=call.nothing)
        self._http.fetch(request)

    def resize(self, rows: int, cols: int) -> None:
        """Changes the size of its terminal."""
        request = call.repeatable_post("commands", self.id, "resize", read=call.nothing)
        self._http.fetch(request.json({"rows": rows, "cols": cols}))

    def signal(self, signal: str | int) -> None:
        """Sends a signal by name (`INT`, `SIGHUP`) or number to everything it started."""
        request = call.post("commands", self.id, "signal", read=call.nothing)
        # A member of `signal.Signals` is an int whose text differs between versions.
        text = str(int(signal)) if isinstance(signal, int) else signal
        self._http.fetch(request.json({"signal": text}))


class Commands:
    """Commands of one sandbox."""

    def __init__(self, http: Http, sandbox_id: str) -> None:
        self._http = http
        self._sandbox_id = sandbox_id

    def run(
        self,
        program: Program,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bytes | str | None = None,
        tty: WindowSize | None = None,
        timeout: Duration | None = None,
        output_cap_bytes: int | None = None,
        check: bool = False,
        idempotency_key: str | None = None,
    ) -> RunResult:
        """Runs a command to its end and answers with the first MiB of each of its streams.

        A text is a line for the shell, a sequence a program and its arguments. However long it
        takes: a dropped connection is made again and waits on for the same command.

        Args:
            program: what to run.
            cwd: the sandbox's working directory if absent; relative paths are taken from it.
            env: over the environment of image and sandbox.
            user: a name or `uid[:gid]`.
            stdin: what it reads; nothing if absent.
            tty: with a terminal of this size; then stdout and stderr are one stream.
            timeout: from start; then everything it started is killed. At most 7 days.
            output_cap_bytes: output kept; the rest is dropped, visibly.
            check: raise `CommandFailedError` unless it ends with code 0.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        body = start_body(
            program,
            cwd=cwd,
            env=env,
            user=user,
            stdin=stdin,
            open_stdin=False,
            tty=tty,
            timeout=timeout,
            output_cap_bytes=output_cap_bytes,
        )
        request = call.post("sandboxes", self._sandbox_id, "run", read=RunResult.from_json)
        request = request.json(body).named(idempotency_key).patient().within(None)
        result = self._http.fetch(request)
        if check and not result.ok:
            raise CommandFailedError(result)
        return result

    def start(
        self,
        program: Program,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bytes | str | None = None,
        open_stdin: bool = False,
        tty: WindowSize | None = None,
        timeout: Duration | None = None,
        output_cap_bytes: int | None = None,
        idempotency_key: str | None = None,
    ) -> Command:
        """Starts a command and answers at once. Arguments as of `run`, and:

        Args:
            open_stdin: keep stdin open for `write_stdin` until `close_stdin`.
        """
        body = start_body(
            program,
            cwd=cwd,
            env=env,
            user=user,
            stdin=stdin,
            open_stdin=open_stdin,
            tty=tty,
            timeout=timeout,
            output_cap_bytes=output_cap_bytes,
        )
        segments = ("sandboxes", self._sandbox_id, "commands")
        request = call.post(*segments, read=CommandFacts.from_json).json(body)
        return Command(self._http, self._http.fetch(request.named(idempotency_key)))

    def get(self, command_id: str) -> Command:
        """One command by its id, also after its end."""
        return find(self._http, command_id)

    def list(self, *, page_size: int | None = None) -> Pages[Command]:
        """The sandbox's commands, newest first."""
        segments = ("sandboxes", self._sandbox_id, "commands")

        def page(cursor: str | None) -> call.Call[Page[CommandFacts]]:
            request = call.get(*segments, read=page_of(CommandFacts.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda facts: Command(self._http, facts))


def find(http: Http, command_id: str) -> Command:
    """A command by its id."""
    request = call.get("commands", command_id, read=CommandFacts.from_json)
    return Command(http, http.fetch(request))


def _word(stream: StreamName | str | None) -> str | None:
    return None if stream is None else StreamName(stream).value


