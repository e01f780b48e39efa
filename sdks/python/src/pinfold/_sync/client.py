# Made from `_async` by `tools/make_sync.py`: change it there.
"""The client: where the server is, which key to use."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from pinfold import _local
from pinfold._sync._io import in_thread, opens
from pinfold._sync.access import Audit, Keys, Projects, UsageReports
from pinfold._sync.builds import Builds
from pinfold._sync.code import Code
from pinfold._sync.commands import Command, find
from pinfold._sync.http import Http
from pinfold._sync.images import Images, Templates
from pinfold._sync.network_policies import NetworkPolicies
from pinfold._sync.objects import Objects
from pinfold._sync.pipelines import Pipelines
from pinfold._sync.previews import Previews
from pinfold._sync.sandboxes import Sandboxes
from pinfold._sync.secrets import Secrets
from pinfold._core import call
from pinfold._core.call import Duration
from pinfold._core.settings import settings
from pinfold.types import Health, Isolation, WhoAmI


class Client:
    """A client of one server with one key.

    Close it, or use it in `with`. What it makes (sandboxes, commands, files) shares its
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
        self._http = Http(settings(url, api_key, timeout))
        self.sandboxes = Sandboxes(self._http)
        """Isolated computers."""
        self.images = Images(self._http)
        """What sandboxes boot from."""
        self.templates = Templates(self._http)
        """Named, versioned recipes for sandboxes."""
        self.code = Code(self._http)
        """Code contexts and runs of code."""
        self.objects = Objects(self._http)
        """Blobs that outlive sandboxes."""
        self.builds = Builds(self._http)
        self.pipelines = Pipelines(self._http)
        """Markdown documents that run."""
        self.previews = Previews(self._http)
        """Addresses outside that reach ports inside."""
        self.secrets = Secrets(self._http)
        """Values that sandboxes use and never see."""
        self.network_policies = NetworkPolicies(self._http)
        """Rules that sandboxes follow."""
        self.projects = Projects(self._http)
        """Where things belong."""
        self.keys = Keys(self._http)
        """How callers prove who they are."""
        self.usage = UsageReports(self._http)
        """What was used."""
        self.audit = Audit(self._http)
        """Who did what."""

    @classmethod
    @opens
    def local(
        cls,
        *,
        binary: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> Client:
        """A client of a server on this machine, which is started if none runs.

        A server of this user that runs already is used as it is. Else a private one is started;
        it ends, with its sandboxes, when the last program that uses it has ended.

        Args:
            binary: the program; `PINFOLD_BIN` if absent, else `pinfold` on the PATH.
            data_dir: where the private server keeps its things, and only that one is looked at;
                `pinfold-local` in the XDG data directory if absent.
        """
        server = in_thread(_local.server, binary, data_dir)
        return cls(server.url, server.key)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._http.settings.url

    def command(self, command_id: str) -> Command:
        """One command by its id, also after its end."""
        return find(self._http, command_id)

    def health(self) -> Health:
        """Answers where the server is ready; needs no valid key."""
        return self._http.fetch(call.outside_v1("healthz", read=Health.from_json))

    def isolation(self) -> Isolation:
        """What stands between a sandbox and its host."""
        return self._http.fetch(call.get("isolation", read=Isolation.from_json))

    def whoami(self) -> WhoAmI:
        """Whose key this is."""
        return self._http.fetch(call.get("whoami", read=WhoAmI.from_json))

    def openapi(self) -> dict[str, Any]:
        """The description of the server's API, OpenAPI 3.1."""
        return self._http.fetch(call.get("openapi.json", read=call.anything))

    def close(self) -> None:
        """Closes all connections. Repeating this is harmless."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
