# Made from `_async` by `tools/make_sync.py`: change it there.
"""Secrets: values that sandboxes use and never see."""

from __future__ import annotations

from pinfold._sync.http import Http
from pinfold._sync.streams import Pages
from pinfold._core import call
from pinfold._core.call import Call
from pinfold.types import Page, Secret
from pinfold.types._page import page_of


class Secrets:
    """The secrets of the caller's project. Values go in and never come out."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def set(self, name: str, value: str) -> Secret:
        """Makes a secret, or gives it a new value, which the next request of a sandbox gets.

        Args:
            name: 1 to 100 letters, digits, `.`, `_` and `-`, with a letter or digit first.
            value: 1 byte to 32 KiB without a NUL; one line where it goes into a header.
        """
        request = call.put("secrets", name, read=Secret.from_json)
        return self._http.fetch(request.json({"value": value}))

    def get(self, name: str) -> Secret:
        """What is known of one beside its value."""
        return self._http.fetch(call.get("secrets", name, read=Secret.from_json))

    def list(self, *, page_size: int | None = None) -> Pages[Secret]:
        """Every secret, newest first."""

        def page(cursor: str | None) -> Call[Page[Secret]]:
            request = call.get("secrets", read=page_of(Secret.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda secret: secret)

    def delete(self, name: str) -> None:
        """Deletes it for good: requests that should have had it are refused from now on."""
        # Once only: a second try would find nothing and report that.
        self._http.fetch(call.delete("secrets", name, read=call.nothing).once())
