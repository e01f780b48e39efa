# Made from `_async` by `tools/make_sync.py`: change it there.
"""Images and templates: what sandboxes boot from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pinfold._sync._io import Content, Progress, opens, pieces
from pinfold._sync.http import Http
from pinfold._sync.streams import ByteStream, Pages
from pinfold._core import answer, call
from pinfold._core.call import Call, Duration
from pinfold.types import Image, ImagePull, NetworkMode, NetworkPolicy, Page, Template
from pinfold.types._page import page_of

PULL_STEP_SECONDS = 0.2
"""Between two reports of a pull's progress."""
PULL_LONG_SECONDS = 60.0
"""The server's own bound on one long poll."""
PULL_SECONDS = PULL_LONG_SECONDS + 15


class Images:
    """What sandboxes boot from."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, name: str) -> Image:
        """One image by `name`, `name:tag` or id."""
        return self._http.fetch(call.get("images", name, read=Image.from_json))

    def list(self, *, page_size: int | None = None) -> Pages[Image]:
        """Every image that the caller's project may use."""

        def page(cursor: str | None) -> Call[Page[Image]]:
            request = call.get("images", read=page_of(Image.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda image: image)

    def import_tar(
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
            return self._http.fetch(request.content(content))
        return self._http.upload(request, pieces(content, progress), None)

    @opens
    def export(self, name: str, *, progress: Progress | None = None) -> ByteStream:
        """An image as an OCI layout in a tar, with plain layers, as it is read.

        Container tools load it, and `import_tar` takes it. The server reads all of the image once
        before it answers. An image over `host` has nothing of its own to give and is refused.
        """
        body = self._http.open(call.get_raw("images", name, "export").within(None))
        return ByteStream(body, self._http.settings.url, progress)

    def start_pull(
        self,
        reference: str,
        *,
        name: str | None = None,
        platform: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        insecure: bool = False,
        shared: bool = False,
    ) -> ImagePull:
        """Begins to pull an image from a registry and answers at once; the pull goes on by itself.

        Repeating this while the pull is under way answers with the same pull. Credentials are used
        for this pull and kept nowhere.

        Args:
            reference: as a registry knows it: `python:3.12`, `host:port/name@sha256:...`.
            name: what to call the image here; as the reference says if absent.
            platform: `linux/ARCHITECTURE[/VARIANT]`; the server's if absent.
            username: shown, with `password`, to the registry where it asks for them.
            password: see `username`.
            token: instead of both: one that the registry itself takes.
            insecure: speak plain HTTP to a registry on another machine; needs an admin key.
            shared: for every project; needs an admin key.
        """
        body = {
            "reference": reference,
            "name": name,
            "platform": platform,
            "username": username,
            "password": password,
            "token": token,
            "insecure": insecure or None,
            "shared": shared or None,
        }
        request = call.repeatable_post("image-pulls", read=ImagePull.from_json)
        return self._http.fetch(request.json(body))

    def get_pull(self, pull_id: str, *, timeout: Duration | None = None) -> ImagePull:
        """How far a pull is; with `timeout`, at most a minute, it waits that long for the end."""
        request = call.get("image-pulls", pull_id, read=ImagePull.from_json)
        request = request.query(timeout_ms=call.milliseconds(timeout)).patient()
        return self._http.fetch(request.within(PULL_SECONDS))

    def pull(
        self,
        reference: str,
        *,
        name: str | None = None,
        platform: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        insecure: bool = False,
        shared: bool = False,
        progress: Callable[[ImagePull], object] | None = None,
    ) -> Image:
        """Pulls an image from a registry and waits for it, however long that takes.

        Arguments as of `start_pull`; `progress` is told a few times a second how far it is. What the
        pull failed for is raised as the `ApiError` that it is.
        """
        pull = self.start_pull(
            reference,
            name=name,
            platform=platform,
            username=username,
            password=password,
            token=token,
            insecure=insecure,
            shared=shared,
        )
        step = PULL_LONG_SECONDS if progress is None else PULL_STEP_SECONDS
        while True:
            if progress is not None:
                progress(pull)
            if pull.image is not None:
                return pull.image
            if pull.error is not None:
                told = {"code": pull.error.code, "message": pull.error.message}
                raise answer.from_body(told, 0)
            pull = self.get_pull(pull.id, timeout=step)

    def remove(self, name: str) -> None:
        """Removes an image by name or id, unless a live sandbox was made from it."""
        # Once only: a second try would find nothing and report that.
        self._http.fetch(call.delete("images", name, read=call.nothing).once())


class Templates:
    """Named, versioned recipes for sandboxes."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def set(
        self,
        name: str,
        *,
        image: str,
        vcpu: float | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        pids: int | None = None,
        network: NetworkMode | str | None = None,
        network_policy: NetworkPolicy | None = None,
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
            "network_policy": call.network_policy(network_policy),
            "env": dict(env) if env else None,
            "workdir": workdir,
            "user": user,
            "ttl_ms": call.milliseconds(ttl),
            "idle_timeout_ms": call.milliseconds(idle_timeout),
            "shared": shared,
        }
        request = call.put("templates", name, read=Template.from_json).json(body)
        # Not repeated where it may have had its effect: that would make a version more.
        return self._http.fetch(request.once())

    def get(self, name: str, *, version: int | None = None) -> Template:
        """One version by the template's name or id, the latest if none is named; or by its own id."""
        request = call.get("templates", name, read=Template.from_json)
        return self._http.fetch(request.query(version=version))

    def list(self, *, page_size: int | None = None) -> Pages[Template]:
        """The latest version of each template that the caller's project may use."""

        def page(cursor: str | None) -> Call[Page[Template]]:
            request = call.get("templates", read=page_of(Template.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda template: template)

    def versions(self, name: str, *, page_size: int | None = None) -> Pages[Template]:
        """Every version of one by its name or id, newest first. A version never changes."""

        def page(cursor: str | None) -> Call[Page[Template]]:
            request = call.get("templates", name, "versions", read=page_of(Template.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda template: template)

    def remove(self, name: str) -> None:
        """Removes it with all its versions; sandboxes made from it stay."""
        self._http.fetch(call.delete("templates", name, read=call.nothing).once())


