"""Files of one sandbox. Paths are absolute, or relative to its working directory."""

from __future__ import annotations

import os
from pathlib import Path

from pinfold._async._io import Content, Progress, in_thread, opens, pieces
from pinfold._async.http import AsyncHttp
from pinfold._async.streams import AsyncByteStream, AsyncWatch
from pinfold._core import call, tar
from pinfold._core.call import Call, Duration
from pinfold._core.journal import SILENCE_MAX_SECONDS
from pinfold._core.local import mode_of, size_of
from pinfold._core.untar import Unpacked, Unpacker
from pinfold.errors import ConfigurationError, NotFoundError
from pinfold.types import DirectoryList, FileEntry, FileKind, SignedUrl


class AsyncFiles:
    """Files of one sandbox."""

    def __init__(self, http: AsyncHttp, sandbox_id: str) -> None:
        self._http = http
        self._sandbox_id = sandbox_id

    async def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """A file, or `length` bytes of it from `offset`, in memory."""
        return await self._http.fetch(self._reading(path, offset, length))

    async def read_text(self, path: str, encoding: str = "utf-8", errors: str = "strict") -> str:
        """A file as text, in memory. Raises `UnicodeDecodeError` where it is none in this encoding."""
        return (await self.read(path)).decode(encoding, errors)

    @opens
    async def stream(
        self,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: Progress | None = None,
    ) -> AsyncByteStream:
        """A file as it is read, of any size."""
        body = await self._http.open(self._reading(path, offset, length))
        return AsyncByteStream(body, self._http.settings.url, progress)

    def _reading(self, path: str, offset: int, length: int | None) -> Call[bytes]:
        request = call.get_raw("sandboxes", self._sandbox_id, "files").query(path=path)
        if offset == 0 and length is None:
            return request
        return request.part(offset, length)

    async def write(
        self,
        path: str,
        content: Content,
        *,
        mode: int | None = None,
        parents: bool = False,
        progress: Progress | None = None,
    ) -> FileEntry:
        """Writes a file in one step: readers see the old content or the new, never a part.

        Args:
            path: where.
            content: bytes, a text, a `Path` to a local file, a file that is open, or pieces.
            mode: permission bits such as `0o644`; an existing file keeps its own if absent.
            parents: make missing directories above it.
            progress: called with the bytes sent so far.
        """
        request = call.put("sandboxes", self._sandbox_id, "files", read=FileEntry.from_json)
        request = request.query(path=path, mode=call.octal(mode), parents=parents or None)
        return await self._put(request, content, progress)

    async def _put(
        self, request: Call[FileEntry], content: Content, progress: Progress | None
    ) -> FileEntry:
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

    async def stat(self, path: str) -> FileEntry:
        """Facts about a file, not following a final symlink."""
        request = call.get("sandboxes", self._sandbox_id, "files", "stat", read=FileEntry.from_json)
        return await self._http.fetch(request.query(path=path))

    async def exists(self, path: str) -> bool:
        """Whether there is something, be it a symlink that leads nowhere."""
        try:
            await self.stat(path)
        except NotFoundError as error:
            if error.code == "sandbox_not_found":
                raise
            return False
        return True

    async def list(self, path: str = ".", *, limit: int | None = None) -> DirectoryList:
        """The entries of a directory in order of name: 10,000 at most unless `limit` says so."""
        segments = ("sandboxes", self._sandbox_id, "files", "list")
        request = call.get(*segments, read=DirectoryList.from_json)
        return await self._http.fetch(request.query(path=path, limit=limit))

    async def mkdir(
        self, path: str, *, parents: bool = False, mode: int | None = None
    ) -> FileEntry:
        """Makes a directory; with `parents` also those above, and it may exist."""
        body = {"path": path, "parents": parents or None, "mode": call.octal(mode)}
        request = self._change("mkdir").json(body)
        # What may exist may be made twice.
        return await self._http.fetch(request if parents else request.once())

    async def move(self, source: str, to: str, *, overwrite: bool = False) -> FileEntry:
        """Moves or renames a file or directory; answers with what it is now."""
        body = {"from": source, "to": to, "overwrite": overwrite or None}
        return await self._http.fetch(self._change("move").json(body).once())

    async def chmod(self, path: str, mode: int) -> FileEntry:
        """Sets permission bits, such as `0o755`."""
        body = {"path": path, "mode": call.octal(mode)}
        return await self._http.fetch(self._change("chmod").json(body))

    async def url(self, path: str, *, expires_in: Duration | None = None) -> SignedUrl:
        """A URL for downloading a file without a key, as the file is at that time.

        It works for an hour if `expires_in` is absent, at most 7 days.
        """
        segments = ("sandboxes", self._sandbox_id, "files", "url")
        request = call.repeatable_post(*segments, read=SignedUrl.from_json)
        body = {"path": path, "expires_in_ms": call.milliseconds(expires_in)}
        return await self._http.fetch(request.json(body))

    def _change(self, verb: str) -> Call[FileEntry]:
        segments = ("sandboxes", self._sandbox_id, "files", verb)
        return call.repeatable_post(*segments, read=FileEntry.from_json)

    async def remove(self, path: str, *, recursive: bool = False) -> None:
        """Removes a file, or a directory (only an empty one unless `recursive`)."""
        request = call.delete("sandboxes", self._sandbox_id, "files", read=call.nothing)
        request = request.query(path=path, recursive=recursive)
        # Once only: a second try would find nothing and report that.
        await self._http.fetch(request.once())

    @opens
    async def watch(self, path: str, *, recursive: bool = False) -> AsyncWatch:
        """Changes below a path from now on, until it is closed."""
        request = call.get("sandboxes", self._sandbox_id, "files", "watch", read=call.nothing)
        request = request.query(path=path, recursive=recursive)
        body = await self._http.open(request.within(SILENCE_MAX_SECONDS))
        return AsyncWatch(body, self._http.settings.url)

    @opens
    async def archive(self, path: str, *, progress: Progress | None = None) -> AsyncByteStream:
        """A directory or file as a tar."""
        request = call.get_raw("sandboxes", self._sandbox_id, "files", "archive").query(path=path)
        body = await self._http.open(request)
        return AsyncByteStream(body, self._http.settings.url, progress)

    async def unpack(
        self, path: str, content: Content, *, progress: Progress | None = None
    ) -> None:
        """Unpacks a tar into a directory, which is made where it is missing."""
        request = call.put("sandboxes", self._sandbox_id, "files", "archive", read=call.nothing)
        request = request.query(path=path).within(None)
        if isinstance(content, bytes) and progress is None:
            return await self._http.fetch(request.content(content))
        await self._http.upload(request, pieces(content, progress), None)

    async def upload(
        self,
        local: str | os.PathLike[str],
        path: str,
        *,
        progress: Progress | None = None,
    ) -> None:
        """Copies a local file to `path`, or what is in a local directory into the directory `path`.

        Permission bits go along, symlinks stay symlinks, directories above are made.
        """
        source = Path(local)
        if await in_thread(source.is_dir):
            return await self.unpack(path, tar.pack(source), progress=progress)
        mode = await in_thread(mode_of, source)
        await self.write(path, source, mode=mode, parents=True, progress=progress)

    async def download(
        self,
        path: str,
        local: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        max_bytes: int | None = None,
    ) -> Unpacked:
        """Copies a file to the local path, or what is in a directory into the local directory.

        What a sandbox sends counts as hostile: it decides no path outside of `local`, and links
        that lead out are not made but told in the answer's `skipped`.

        Args:
            path: what to copy.
            local: where to; a file there is replaced, a directory is merged.
            progress: called with the bytes received so far.
            max_bytes: give up with `UnsafeArchiveError` where the files hold more.
        """
        target, entry = Path(local), await self.stat(path)
        if entry.kind == FileKind.DIRECTORY:
            async with self.archive(path, progress=progress) as archive:
                return await _unpacked(archive, target, max_bytes)
        if entry.kind != FileKind.FILE:
            raise ConfigurationError(f"{path} is neither a file nor a directory")
        async with self.stream(path, progress=progress) as stream:
            size = await stream.save(target, entry.mode & 0o777)
        return Unpacked(size, ())


async def _unpacked(archive: AsyncByteStream, target: Path, max_bytes: int | None) -> Unpacked:
    unpacker = await in_thread(Unpacker, target, max_bytes)
    try:
        async for piece in archive:
            await in_thread(unpacker.feed, piece)
        return await in_thread(unpacker.finish)
    finally:
        unpacker.abort()
