"""Objects: named blobs that outlive the sandboxes they come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pinfold._async._io import Content, Progress, in_thread, opens, pieces
from pinfold._async.http import AsyncHttp
from pinfold._async.streams import AsyncByteStream, AsyncPages
from pinfold._core import call
from pinfold._core.call import Call, Duration
from pinfold._core.local import size_of
from pinfold.types import LinkUse, ObjectFacts, ObjectState, Page, SignedUrl
from pinfold.types._page import page_of


class AsyncObjects:
    """The objects of the caller's project."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(
        self,
        name: str | None = None,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retention: Duration | None = None,
        sandbox_id: str | None = None,
        path: str | None = None,
        idempotency_key: str | None = None,
    ) -> ObjectFacts:
        """Copies a file of a sandbox, or makes an object that waits for its content.

        Args:
            name: 1 to 512 characters; the file's own if absent.
            content_type: what the name's ending tells if absent.
            metadata: texts to find it by.
            retention: it is deleted by itself after this time, at most 10 years.
            sandbox_id: the sandbox whose file is copied, as its bytes are now.
            path: that file.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        body = {
            "name": name,
            "content_type": content_type,
            "metadata": dict(metadata) if metadata else None,
            "retention_ms": call.milliseconds(retention),
            "sandbox_id": sandbox_id,
            "path": path,
        }
        request = call.post("objects", read=ObjectFacts.from_json).json(body)
        return await self._http.fetch(request.named(idempotency_key).within(None))

    async def put(
        self,
        name: str,
        content: Content,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retention: Duration | None = None,
        progress: Progress | None = None,
        idempotency_key: str | None = None,
    ) -> ObjectFacts:
        """Makes a sealed object of a content in one step. Arguments as of `create`, and:

        Args:
            content: bytes, a text, a `Path` to a local file, a file that is open, or pieces.
            progress: called with the bytes sent so far.
        """
        request = call.post("objects", "upload", read=ObjectFacts.from_json).query(
            name=name, content_type=content_type, retention_ms=call.milliseconds(retention)
        )
        request = request.metadata(metadata).named(idempotency_key)
        return await self._send(request, content, progress)

    async def upload(
        self, object_id: str, content: Content, *, progress: Progress | None = None
    ) -> ObjectFacts:
        """Gives an object that is being uploaded its content, in place of what was there before."""
        request = call.put("objects", object_id, "content", read=ObjectFacts.from_json)
        return await self._send(request, content, progress)

    async def _send(
        self, request: Call[ObjectFacts], content: Content, progress: Progress | None
    ) -> ObjectFacts:
        if isinstance(content, str):
            content = call.utf8(content)
        if isinstance(content, bytes) and progress is None:
            return await self._http.fetch(request.content(content).within(None))
        length = None
        if isinstance(content, bytes):
            length = len(content)
        elif isinstance(content, Path):
            length = await in_thread(size_of, content)
        return await self._http.upload(request.within(None), pieces(content, progress), length)

    async def complete(self, object_id: str) -> ObjectFacts:
        """Seals an object whose content was uploaded."""
        segments = ("objects", object_id, "complete")
        return await self._http.fetch(call.repeatable_post(*segments, read=ObjectFacts.from_json))

    async def get(self, object_id: str) -> ObjectFacts:
        """One object, also after its deletion."""
        return await self._http.fetch(call.get("objects", object_id, read=ObjectFacts.from_json))

    def list(
        self,
        *,
        state: ObjectState | str | None = None,
        include_deleted: bool | None = None,
        name: str | None = None,
        sandbox_id: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[ObjectFacts]:
        """Objects, newest first.

        Args:
            state: only this state.
            include_deleted: also deleted ones. Not together with `state`.
            name: exactly this name.
            sandbox_id: copied from a file of this sandbox.
            page_size: 1 to 500, 50 if absent.
        """

        def page(cursor: str | None) -> Call[Page[ObjectFacts]]:
            return call.get("objects", read=page_of(ObjectFacts.from_json)).query(
                state=None if state is None else ObjectState(state).value,
                include_deleted=include_deleted,
                name=name,
                sandbox_id=sandbox_id,
                limit=page_size,
                cursor=cursor,
            )

        return AsyncPages(self._http, page, lambda facts: facts)

    async def read(self, object_id: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """A sealed object's content, or `length` bytes of it from `offset`, in memory."""
        return await self._http.fetch(_reading(object_id, offset, length))

    @opens
    async def stream(
        self,
        object_id: str,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: Progress | None = None,
    ) -> AsyncByteStream:
        """A sealed object's content as it is read, of any size."""
        body = await self._http.open(_reading(object_id, offset, length))
        return AsyncByteStream(body, self._http.settings.url, progress)

    async def delete(self, object_id: str) -> ObjectFacts:
        """Deletes the content and keeps the facts. Repeating this is harmless."""
        request = call.delete("objects", object_id, read=ObjectFacts.from_json)
        return await self._http.fetch(request)

    async def url(
        self,
        object_id: str,
        use: LinkUse | str = LinkUse.DOWNLOAD,
        *,
        expires_in: Duration | None = None,
    ) -> SignedUrl:
        """A URL for downloading or uploading without a key: for an hour if absent, at most 7 days."""
        request = call.repeatable_post("objects", object_id, "url", read=SignedUrl.from_json)
        body = {"use": use, "expires_in_ms": call.milliseconds(expires_in)}
        return await self._http.fetch(request.json(body))


def _reading(object_id: str, offset: int, length: int | None) -> Call[bytes]:
    request = call.get_raw("objects", object_id, "content")
    return request if offset == 0 and length is None else request.part(offset, length)
