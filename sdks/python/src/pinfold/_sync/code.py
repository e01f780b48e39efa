# Made from `_async` by `tools/make_sync.py`: change it there.
"""Code that runs in interpreters which keep their variables."""

from __future__ import annotations

from pinfold._sync.http import Http
from pinfold._sync.streams import EventStream
from pinfold._core import call
from pinfold._core.call import BOOT_TIMEOUT_SECONDS, Duration
from pinfold._core.journal import Follower
from pinfold.types import CodeComplete, CodeContext, CodeEvent, CodeLanguage, CodeRun
from pinfold.types._code import code_event_from_json, contexts_from_json


class CodeEvents(EventStream[CodeEvent]):
    """The events of one run of code, up to and including its end."""

    def __init__(self, http: Http, run_id: str, after_seq: int) -> None:
        follower: Follower[CodeEvent] = Follower(
            call.get("code", "runs", run_id, "stream", read=call.nothing),
            after_seq,
            read=code_event_from_json,
            is_last=lambda event: isinstance(event, CodeComplete),
            has_gaps=False,
        )
        super().__init__(http, follower)


class SandboxCode:
    """Code contexts and runs of code of one sandbox."""

    def __init__(self, http: Http, sandbox_id: str) -> None:
        self._http = http
        self._sandbox_id = sandbox_id

    def run(
        self,
        code: str,
        *,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        cwd: str | None = None,
        timeout: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> CodeRun:
        """Runs code to its end. What the code raises is part of the answer.

        However long it takes: a dropped connection is made again and waits on for the same run.

        Args:
            code: at most 256 KiB.
            language: the context's if absent; python without a context.
            context_id: the language's default context if absent, made where there is none yet.
            cwd: for this run alone, relative to the context's.
            timeout: from when it is accepted, at most 10 minutes; the context's if absent.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        request = call.post("sandboxes", self._sandbox_id, "code", read=CodeRun.from_json)
        request = request.json(_body(code, language, context_id, cwd, timeout))
        return self._http.fetch(request.named(idempotency_key).patient().within(None))

    def start(
        self,
        code: str,
        *,
        language: CodeLanguage | str | None = None,
        context_id: str | None = None,
        cwd: str | None = None,
        timeout: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> CodeRun:
        """Starts a run and answers at once; its stream tells the rest. Arguments as of `run`."""
        request = call.post("sandboxes", self._sandbox_id, "code", "runs", read=CodeRun.from_json)
        request = request.json(_body(code, language, context_id, cwd, timeout))
        return self._http.fetch(request.named(idempotency_key).within(BOOT_TIMEOUT_SECONDS))

    def create_context(
        self,
        language: CodeLanguage | str,
        *,
        cwd: str | None = None,
        timeout: Duration | None = None,
        idle_timeout: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> CodeContext:
        """Makes a context: an interpreter that keeps its variables. A sandbox may have 32.

        Args:
            language: what it understands.
            cwd: where code begins; the sandbox's working directory if absent.
            timeout: for runs that name none: at most 10 minutes, 1 minute if absent.
            idle_timeout: it ends when it is unused for so long: 4 hours if absent.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        body = {
            "language": language,
            "cwd": cwd,
            "timeout_ms": call.milliseconds(timeout),
            "idle_timeout_ms": call.milliseconds(idle_timeout),
        }
        segments = ("sandboxes", self._sandbox_id, "contexts")
        request = call.post(*segments, read=CodeContext.from_json).json(body)
        return self._http.fetch(request.named(idempotency_key).within(BOOT_TIMEOUT_SECONDS))

    def contexts(self) -> tuple[CodeContext, ...]:
        """All contexts of the sandbox, oldest first; default ones too."""
        segments = ("sandboxes", self._sandbox_id, "contexts")
        return self._http.fetch(call.get(*segments, read=contexts_from_json))


class Code:
    """Code contexts and runs of code by their ids."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get_context(self, context_id: str) -> CodeContext:
        """One context."""
        return self._http.fetch(call.get("contexts", context_id, read=CodeContext.from_json))

    def restart_context(self, context_id: str) -> CodeContext:
        """Gives it a fresh interpreter; its variables are gone and runs under way end."""
        segments = ("contexts", context_id, "restart")
        request = call.repeatable_post(*segments, read=CodeContext.from_json)
        return self._http.fetch(request.within(BOOT_TIMEOUT_SECONDS))

    def delete_context(self, context_id: str) -> CodeContext:
        """Ends it with everything that it started."""
        request = call.delete("contexts", context_id, read=CodeContext.from_json)
        # Once only: a second try would find nothing and report that.
        return self._http.fetch(request.once())

    def get(self, run_id: str) -> CodeRun:
        """A run with everything it told until now, also after its end."""
        return self._http.fetch(call.get("code", "runs", run_id, read=CodeRun.from_json))

    def interrupt(self, run_id: str) -> CodeRun:
        """Interrupts a run as Ctrl-C does, and waits for its end."""
        segments = ("code", "runs", run_id, "interrupt")
        return self._http.fetch(call.repeatable_post(*segments, read=CodeRun.from_json))

    def stream(self, run_id: str, *, after_seq: int = 0) -> CodeEvents:
        """A run's events as they happen, behind the event `after_seq`, up to the last.

        Connects when it is iterated, and again whenever the connection drops.
        """
        return CodeEvents(self._http, run_id, after_seq)


def _body(
    code: str,
    language: CodeLanguage | str | None,
    context_id: str | None,
    cwd: str | None,
    timeout: Duration | None,
) -> dict[str, object]:
    return {
        "code": code,
        "language": language,
        "context_id": context_id,
        "cwd": cwd,
        "timeout_ms": call.milliseconds(timeout),
    }
