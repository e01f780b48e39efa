# Made from `_async` by `tools/make_sync.py`: change it there.
"""Previews: addresses outside that reach a port inside a sandbox."""

from __future__ import annotations

from pinfold._sync.http import Http
from pinfold._sync.streams import Pages
from pinfold._core import call
from pinfold._core.call import Call, Duration
from pinfold.types import CreatedPreview, Page, Preview, PreviewAccess, PreviewLink
from pinfold.types._page import page_of


class SandboxPreviews:
    """Previews of one sandbox."""

    def __init__(self, http: Http, sandbox_id: str) -> None:
        self._http = http
        self._sandbox_id = sandbox_id

    def create(
        self,
        port: int,
        *,
        access: PreviewAccess | str | None = None,
        expires_in: Duration | None = None,
    ) -> CreatedPreview:
        """Makes a preview of a port, or answers with the active one that the port has.

        A new one's token is in this answer and never again; for that it is not repeated by itself.

        Args:
            port: the port inside, 1 to 65535. Nothing has to listen there yet.
            access: what opens it: `authenticated` if absent.
            expires_in: at most 366 days; as long as its sandbox if absent.
        """
        body = {"port": port, "access": access, "expires_in_ms": call.milliseconds(expires_in)}
        segments = ("sandboxes", self._sandbox_id, "previews")
        request = call.post(*segments, read=CreatedPreview.from_json)
        return self._http.fetch(request.json(body))

    def list(
        self, *, active: bool | None = None, page_size: int | None = None
    ) -> Pages[Preview]:
        """The sandbox's previews, newest first; with `active` only those whose addresses work."""
        segments = ("sandboxes", self._sandbox_id, "previews")

        def page(cursor: str | None) -> Call[Page[Preview]]:
            request = call.get(*segments, read=page_of(Preview.from_json))
            return request.query(limit=page_size, cursor=cursor, active=active)

        return Pages(self._http, page, lambda preview: preview)


class Previews:
    """Previews by their ids."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, preview_id: str) -> Preview:
        """One preview."""
        return self._http.fetch(call.get("previews", preview_id, read=Preview.from_json))

    def revoke(self, preview_id: str) -> Preview:
        """Ends it at once, open connections too. Repeating this is harmless."""
        return self._http.fetch(call.delete("previews", preview_id, read=Preview.from_json))

    def link(self, preview_id: str, *, expires_in: Duration | None = None) -> PreviewLink:
        """A link that opens it in a browser, once, within that time: 5 minutes if absent."""
        request = call.post("previews", preview_id, "links", read=PreviewLink.from_json)
        body = {"expires_in_ms": call.milliseconds(expires_in)}
        return self._http.fetch(request.json(body))
