"""Keys that open one sandbox over SSH."""

from __future__ import annotations

from pinfold._async.http import AsyncHttp
from pinfold._async.streams import AsyncPages
from pinfold._core import call
from pinfold._core.call import Call, Duration
from pinfold.types import CreatedSshKey, Page, SshKey
from pinfold.types._page import page_of


class AsyncSandboxSshKeys:
    """SSH keys of one sandbox."""

    def __init__(self, http: AsyncHttp, sandbox_id: str) -> None:
        self._http = http
        self._segments = ("sandboxes", sandbox_id, "ssh-keys")

    async def create(
        self, *, public_key: str | None = None, expires_in: Duration | None = None
    ) -> CreatedSshKey:
        """Makes a pair, or lets a public key of the caller's in.

        A private half is in this answer and never again; for that it is not repeated by itself.

        Args:
            public_key: one line as in a `.pub` file: ed25519 or ECDSA. A pair is made if absent.
            expires_in: nobody logs in with it after that, a year at most; as long as the sandbox
                lives if absent.
        """
        body = {"public_key": public_key, "expires_in_ms": call.milliseconds(expires_in)}
        request = call.post(*self._segments, read=CreatedSshKey.from_json)
        return await self._http.fetch(request.json(body))

    def list(self, *, page_size: int | None = None) -> AsyncPages[SshKey]:
        """Those that open the sandbox, newest first."""

        def page(cursor: str | None) -> Call[Page[SshKey]]:
            request = call.get(*self._segments, read=page_of(SshKey.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return AsyncPages(self._http, page, lambda key: key)

    async def delete(self, key_id: str) -> None:
        """Deletes one for good, and ends the connections of who came in with it."""
        # Once only: a second try would find nothing and report that.
        await self._http.fetch(call.delete(*self._segments, key_id, read=call.nothing).once())
