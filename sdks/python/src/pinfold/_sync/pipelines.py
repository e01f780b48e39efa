# Made from `_async` by `tools/make_sync.py`: change it there.
"""Pipelines: markdown documents whose bash blocks run in one fresh sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from pinfold._sync.http import Http
from pinfold._sync.streams import EventStream, Pages
from pinfold._core import call
from pinfold._core.call import Call, Duration
from pinfold._core.journal import Follower
from pinfold.errors import ProtocolError
from pinfold.types import (
    NetworkMode,
    Page,
    PipelineEnded,
    PipelineEvent,
    PipelineReport,
    PipelineRun,
    PipelineRunState,
)
from pinfold.types._page import page_of
from pinfold.types._pipeline import pipeline_event_from_json

_BEHIND_ALL = 1 << 52
"""Above the number of every event of a run: a stream behind it has the end alone."""


class PipelineEvents(EventStream[PipelineEvent]):
    """The events of one run of a pipeline, up to and including its end."""

    def __init__(self, http: Http, run_id: int, after_seq: int) -> None:
        follower: Follower[PipelineEvent] = Follower(
            call.get("pipeline-runs", str(run_id), "stream", read=call.nothing),
            after_seq,
            read=pipeline_event_from_json,
            is_last=lambda event: isinstance(event, PipelineEnded),
            has_gaps=True,
        )
        super().__init__(http, follower)


class Pipelines:
    """Runs of markdown documents in the caller's project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def run(
        self,
        markdown: str,
        *,
        image: str | None = None,
        template: str | None = None,
        vcpu: float | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        network: NetworkMode | str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        timeout: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineRun:
        """Submits a document and waits for its end. A run that failed is an answer, no exception.

        However long it takes: a dropped connection is made again. Arguments as of `submit`.
        """
        submitted = self.submit(
            markdown,
            image=image,
            template=template,
            vcpu=vcpu,
            memory_mib=memory_mib,
            disk_mib=disk_mib,
            network=network,
            env=env,
            workdir=workdir,
            user=user,
            timeout=timeout,
            idempotency_key=idempotency_key,
        )
        return submitted if submitted.ended else self.wait(submitted.id)

    def submit(
        self,
        markdown: str,
        *,
        image: str | None = None,
        template: str | None = None,
        vcpu: float | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        network: NetworkMode | str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        timeout: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineRun:
        """Submits a document and answers at once; its stream tells the rest.

        What is said here wins over what the document says.

        Args:
            markdown: its fenced `bash` blocks are the steps.
            image: the document's if absent, else the server's default image.
            template: instead of an image.
            vcpu: CPUs, in steps of 0.001.
            memory_mib: the document's if absent.
            disk_mib: what the steps may write.
            network: what the steps may reach; nothing if absent.
            env: the environment of every step.
            workdir: where steps begin, `/workspace` if absent.
            user: who steps are inside.
            timeout: of the whole run, at most 24 hours; the document's if absent.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        sandbox = {
            "image": image,
            "template": template,
            "vcpu": vcpu,
            "memory_mib": memory_mib,
            "disk_mib": disk_mib,
            "network": network,
            "env": dict(env) if env else None,
            "workdir": workdir,
            "user": user,
        }
        body = {
            "markdown": markdown,
            "timeout_ms": call.milliseconds(timeout),
            "sandbox": {name: value for name, value in sandbox.items() if value is not None},
        }
        request = call.post("pipeline-runs", read=PipelineRun.from_json).json(body)
        return self._http.fetch(request.named(idempotency_key))

    def get(self, run_id: int) -> PipelineRun:
        """A run with its steps, also after its end."""
        request = call.get("pipeline-runs", str(run_id), read=PipelineRun.from_json)
        return self._http.fetch(request)

    def list(
        self,
        *,
        state: PipelineRunState | str | None = None,
        page_size: int | None = None,
    ) -> Pages[PipelineRun]:
        """Runs, newest first, without their steps.

        Args:
            state: only this state.
            page_size: 1 to 50, 50 if absent.
        """

        def page(cursor: str | None) -> Call[Page[PipelineRun]]:
            return call.get("pipeline-runs", read=page_of(PipelineRun.from_json)).query(
                state=None if state is None else PipelineRunState(state).value,
                limit=page_size,
                cursor=cursor,
            )

        return Pages(self._http, page, lambda run: run)

    def cancel(self, run_id: int) -> PipelineRun:
        """Asks a run to end and answers at once. Repeating this is harmless."""
        segments = ("pipeline-runs", str(run_id), "cancel")
        return self._http.fetch(call.repeatable_post(*segments, read=PipelineRun.from_json))

    def report(self, run_id: int, *, stream_bytes: int | None = None) -> PipelineReport:
        """A run with the beginning of what its finished steps wrote.

        Args:
            run_id: its number.
            stream_bytes: of each stream of each step, at most 1 MiB, 64 KiB if absent. The stream
                has all of the output.
        """
        segments = ("pipeline-runs", str(run_id), "report")
        request = call.get(*segments, read=PipelineReport.from_json)
        return self._http.fetch(request.query(stream_bytes=stream_bytes))

    def wait(self, run_id: int) -> PipelineRun:
        """Waits for the end of a run, however long that takes."""
        for event in self.stream(run_id, after_seq=_BEHIND_ALL):
            if isinstance(event, PipelineEnded):
                return event.run
        raise ProtocolError("the events of the run ended without its end")

    def stream(self, run_id: int, *, after_seq: int = 0) -> PipelineEvents:
        """A run's events as they happen, behind the event `after_seq`, up to the last.

        Connects when it is iterated, and again whenever the connection drops.
        """
        return PipelineEvents(self._http, run_id, after_seq)
