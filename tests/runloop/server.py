"""The server of this suite: its key, and where its dialect is."""

import pathlib
from collections.abc import Mapping

from support.server import Server as Started
from support.server import until

KEY = "runloop-suite-bootstrap-key-0123456789"

__all__ = ["KEY", "Server", "until"]


class Server(Started):
    def __init__(
        self, directory: pathlib.Path, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(directory, *options, key=KEY, environment=environment)

    @property
    def base_url(self) -> str:
        return f"{self.url}/runloop"
