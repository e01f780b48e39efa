"""Images and templates: what sandboxes boot from."""

from __future__ import annotations

from collections.abc import Mapping

from pinfold._async._io import Content, Progress, pieces
from pinfold._async.http import AsyncHttp
from pinfold._async.streams import AsyncPages
from pinfold._core import call
from pinfold._core.call import Call, Duration
from pinfold.types import Image, NetworkMode, Page, Template
from pinfold.types._page import page_of


class AsyncImages:
    """What sandboxes boot from."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def get(self, name: str) -> Image:
        """One image by `name`, `name:tag` or id."""
        return await self._http.fetch(call.get("images", name, read=Image.from_json))

    def list(self, *, page_size: int | None = None) -> AsyncPages[Image]:
        """Every image that the caller's project may use."""

        def page(cursor: str | None) -> Call[Page[Image]]:
            request = call.get("images", read=page_of(Image.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return AsyncPages(self._http, page, lambda image: image)

    async def import_tar(
        self,
        name: str,
        content: Content,
        *,
        select: str | None = None,
        progress: Progress | None = None,
    ) -> Image:
        """Imports a tar of a root filesystem or of an OCI layout (plain, gzip, zstd) under a name.

        It is for every project; needs an admin key.

        Args:
            name: `name` or `name:tag`.
            content: the tar: a `Path` to a local file, a file that is open, bytes, or pieces.
            select: which image of a layout that holds several: its reference name or digest.
            progress: called with the bytes sent so far.
        """
        request = call.put("images", name, read=Image.from_json).query(select=select).within(None)
        if isinstance(content, bytes) and progress is None:
            return await self._http.fetch(request.content(content))
        return await self._http.upload(request, pieces(content, progress), None)

    async def remove(self, name: str) -> None:
        """Removes an image by name or id, unless a live sandbox was made from it."""
        # Once only: a second try would find nothing and report that.
        await self._http.fetch(call.delete("images", name, read=call.nothing).once())


class AsyncTemplates:
    """Named, versioned recipes for sandboxes."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def set(
        self,
        name: str,
        *,
        image: str,
        vcpu: float | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        pids: int | None = None,
        network: NetworkMode | str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        ttl: Duration | None = None,
        idle_timeout: Duration | None = None,
        shared: bool | None = None,
    ) -> Template:
        """Sets a template; a name that exists gets a new version.

        Arguments as of `sandboxes.create`, and:

        Args:
            shared: offer it to every project of the org instead of the key's own; needs an admin
                key.
        """
        body = {
            "image": image,
            "vcpu": vcpu,
            "memory_mib": memory_mib,
            "disk_mib": disk_mib,
            "pids": pids,
            "network": network,
            "env": dict(env) if env else None,
            "workdir": workdir,
            "user": user,
            "ttl_ms": call.milliseconds(ttl),
            "idle_timeout_ms": call.milliseconds(idle_timeout),
            "shared": shared,
        }
        request = call.put("templates", name, read=Template.from_json).json(body)
        # Not repeated where it may have had its effect: that would make a version more.
        return await self._http.fetch(request.once())

    async def get(self, name: str, *, version: int | None = None) -> Template:
        """One version by the template's name or id, the latest if none is named."""
        request = call.get("templates", name, read=Template.from_json)
        return await self._http.fetch(request.query(version=version))

    def list(self, *, page_size: int | None = None) -> AsyncPages[Template]:
        """The latest version of each template that the caller's project may use."""

        def page(cursor: str | None) -> Call[Page[Template]]:
            request = call.get("templates", read=page_of(Template.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return AsyncPages(self._http, page, lambda template: template)

    async def remove(self, name: str) -> None:
        """Removes it with all its versions; sandboxes made from it stay."""
        await self._http.fetch(call.delete("templates", name, read=call.nothing).once())


