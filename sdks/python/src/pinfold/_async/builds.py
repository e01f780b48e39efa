"""Builds: images made from Dockerfiles, in sandboxes of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from pinfold._async._io import Progress
from pinfold._async.http import AsyncHttp
from pinfold._async.objects import AsyncObjects
from pinfold._async.streams import AsyncEventStream, AsyncPages
from pinfold._core import call
from pinfold._core.call import Call, Duration
from pinfold._core.journal import Follower
from pinfold._core.tar import pack
from pinfold.errors import ProtocolError
from pinfold.types import Build, BuildEnded, BuildEvent, BuildState, NetworkMode, Page
from pinfold.types._build import build_event_from_json
from pinfold.types._page import page_of

_BEHIND_ALL = 1 << 52
"""Above the number of every event of a build: a stream behind it has the end alone."""
_CONTEXT_RETENTION = timedelta(hours=48)


class AsyncBuildEvents(AsyncEventStream[BuildEvent]):
    """The events of one build, its log among them, up to and including its end."""

    def __init__(self, http: AsyncHttp, build_id: str, after_seq: int) -> None:
        follower: Follower[BuildEvent] = Follower(
            call.get("builds", build_id, "stream", read=call.nothing),
            after_seq,
            read=build_event_from_json,
            is_last=lambda event: isinstance(event, BuildEnded),
            has_gaps=True,
        )
        super().__init__(http, follower)


class AsyncBuilds:
    """Builds of images in the caller's project."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self,
        name: str,
        dockerfile: str,
        *,
        context: str | Path | None = None,
        target: str | None = None,
        args: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        setup: Sequence[str] = (),
        setup_user: str | None = None,
        files: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        no_cache: bool = False,
        vcpu: float | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        network: NetworkMode | str | None = None,
        network_policy_id: str | None = None,
        timeout: Duration | None = None,
        progress: Progress | None = None,
        idempotency_key: str | None = None,
    ) -> Build:
        """Submits a build and answers at once; its stream tells the rest.

        Args:
            name: what the image is called when it is complete, with a tag or without.
            dockerfile: its text.
            context: what `COPY` and `ADD` take from: a `Path` to a local directory, which is
                uploaded as an object that deletes itself after two days, or the id of an object, a
                tar. Its `.dockerignore` applies.
            target: the stage to build, the last if absent.
            args: values of `ARG`s.
            secrets: environment of every command, kept nowhere.
            setup: shell lines that run after the Dockerfile.
            setup_user: who runs them, the image's user if absent.
            files: text files by absolute path, put into the image before `setup`.
            labels: over those of the Dockerfile.
            no_cache: do every step again, whatever earlier builds left.
            vcpu: CPUs of each step, in steps of 0.001.
            memory_mib: of each step.
            disk_mib: what one step may write.
            network: what the steps may reach, everything if absent.
            network_policy_id: id or name of a network policy, whose rules as they are now the steps
                obey.
            timeout: of the whole build, one hour if absent, at most 24.
            progress: called with the bytes of the directory that were sent so far.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        if isinstance(context, Path):
            sent = await AsyncObjects(self._http).put(
                "build context",
                pack(context),
                content_type="application/x-tar",
                retention=_CONTEXT_RETENTION,
                progress=progress,
            )
            context = sent.id
        body = {
            "name": name,
            "dockerfile": dockerfile,
            "context_id": context,
            "target": target,
            "args": dict(args or {}),
            "secrets": dict(secrets or {}),
            "setup": list(setup),
            "setup_user": setup_user,
            "files": dict(files or {}),
            "labels": dict(labels or {}),
            "no_cache": no_cache,
            "vcpu": vcpu,
            "memory_mib": memory_mib,
            "disk_mib": disk_mib,
            "network": network,
            "network_policy_id": network_policy_id,
            "timeout_ms": call.milliseconds(timeout),
        }
        request = call.post("builds", read=Build.from_json).json(body)
        return await self._http.fetch(request.named(idempotency_key))

    async def get(self, build_id: str) -> Build:
        """A build with its steps, also after its end."""
        return await self._http.fetch(call.get("builds", build_id, read=Build.from_json))

    def list(
        self,
        *,
        state: BuildState | str | None = None,
        name: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[Build]:
        """Builds, newest first, without their steps.

        Args:
            state: only this state.
            name: only builds of images of this name, without its tag.
            page_size: 1 to 50, 50 if absent.
        """

        def page(cursor: str | None) -> Call[Page[Build]]:
            return call.get("builds", read=page_of(Build.from_json)).query(
                state=None if state is None else BuildState(state).value,
                name=name,
                limit=page_size,
                cursor=cursor,
            )

        return AsyncPages(self._http, page, lambda build: build)

    async def cancel(self, build_id: str) -> Build:
        """Asks a build to end and answers at once. Repeating this is harmless."""
        segments = ("builds", build_id, "cancel")
        return await self._http.fetch(call.repeatable_post(*segments, read=Build.from_json))

    async def delete(self, build_id: str) -> None:
        """Forgets a build that has ended; its image stays."""
        await self._http.fetch(call.delete("builds", build_id, read=call.nothing).once())

    async def wait(self, build_id: str) -> Build:
        """Waits for the end of a build, however long that takes. One that failed is an answer."""
        async for event in self.stream(build_id, after_seq=_BEHIND_ALL):
            if isinstance(event, BuildEnded):
                return event.build
        raise ProtocolError("the events of the build ended without its end")

    def stream(self, build_id: str, *, after_seq: int = 0) -> AsyncBuildEvents:
        """A build's events as they happen, behind the event `after_seq`, up to the last.

        Connects when it is iterated, and again whenever the connection drops.
        """
        return AsyncBuildEvents(self._http, build_id, after_seq)
