"""The client: where the server is, which key to use."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from pinfold import _local
from pinfold._async._io import in_thread, opens
from pinfold._async.access import AsyncAudit, AsyncKeys, AsyncProjects, AsyncUsageReports
from pinfold._async.builds import AsyncBuilds
from pinfold._async.code import AsyncCode
from pinfold._async.commands import AsyncCommand, find
from pinfold._async.http import AsyncHttp
from pinfold._async.images import AsyncImages, AsyncTemplates
from pinfold._async.network_policies import AsyncNetworkPolicies
from pinfold._async.objects import AsyncObjects
from pinfold._async.pipelines import AsyncPipelines
from pinfold._async.previews import AsyncPreviews
from pinfold._async.sandboxes import AsyncSandboxes
from pinfold._async.secrets import AsyncSecrets
from pinfold._core import call
from pinfold._core.call import Duration
from pinfold._core.settings import settings
from pinfold.types import Health, Isolation, WhoAmI


class AsyncClient:
    """A client of one server with one key.

    Close it, or use it in `async with`. What it makes (sandboxes, commands, files) shares its
    connections.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: Duration | None = None,
    ) -> None:
        """Connects with the first request.

        Args:
            url: `http://HOST:PORT` or `https://...`, any path prefix kept; `PINFOLD_URL` if absent,
                else `http://127.0.0.1:7070`.
            api_key: `PINFOLD_API_KEY` if absent.
            timeout: how long a server may be silent before and within an answer that needs no long
                work: 60 seconds if absent. Waiting for commands, boots and transfers has its own
                bounds.
        """
        self._http = AsyncHttp(settings(url, api_key, timeout))
        self.sandboxes = AsyncSandboxes(self._http)
        """Isolated computers."""
        self.images = AsyncImages(self._http)
        """What sandboxes boot from."""
        self.templates = AsyncTemplates(self._http)
        """Named, versioned recipes for sandboxes."""
        self.code = AsyncCode(self._http)
        """Code contexts and runs of code."""
        self.objects = AsyncObjects(self._http)
        """Blobs that outlive sandboxes."""
        self.builds = AsyncBuilds(self._http)
        self.pipelines = AsyncPipelines(self._http)
        """Markdown documents that run."""
        self.previews = AsyncPreviews(self._http)
        """Addresses outside that reach ports inside."""
        self.secrets = AsyncSecrets(self._http)
        """Values that sandboxes use and never see."""
        self.network_policies = AsyncNetworkPolicies(self._http)
        """Rules that sandboxes follow."""
        self.projects = AsyncProjects(self._http)
        """Where things belong."""
        self.keys = AsyncKeys(self._http)
        """How callers prove who they are."""
        self.usage = AsyncUsageReports(self._http)
        """What was used."""
        self.audit = AsyncAudit(self._http)
        """Who did what."""

    @classmethod
    @opens
    async def local(
        cls,
        *,
        binary: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> AsyncClient:
        """A client of a server on this machine, which is started if none runs.

        A server of this user that runs already is used as it is. Else a private one is started;
        it ends, with its sandboxes, when the last program that uses it has ended.

        Args:
            binary: the program; `PINFOLD_BIN` if absent, else `pinfold` on the PATH.
            data_dir: where the private server keeps its things, and only that one is looked at;
                `pinfold-local` in the XDG data directory if absent.
        """
        server = await in_thread(_local.server, binary, data_dir)
        return cls(server.url, server.key)

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._http.settings.url

    async def command(self, command_id: str) -> AsyncCommand:
        """One command by its id, also after its end."""
        return await find(self._http, command_id)

    async def health(self) -> Health:
        """Answers where the server is ready; needs no valid key."""
        return await self._http.fetch(call.outside_v1("healthz", read=Health.from_json))

    async def isolation(self) -> Isolation:
        """What stands between a sandbox and its host."""
        return await self._http.fetch(call.get("isolation", read=Isolation.from_json))

    async def whoami(self) -> WhoAmI:
        """Whose key this is."""
        return await self._http.fetch(call.get("whoami", read=WhoAmI.from_json))

    async def openapi(self) -> dict[str, Any]:
        """The description of the server's API, OpenAPI 3.1."""
        return await self._http.fetch(call.get("openapi.json", read=call.anything))

    async def aclose(self) -> None:
        """Closes all connections. Repeating this is harmless."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
