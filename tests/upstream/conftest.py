"""What every test of `pinfold.upstream` shares: a server of its own, and both clients with one face."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdks" / "python" / "src"))
sys.path.append(str(ROOT / "tests" / "python"))

from support.server import Server as Started  # noqa: E402
from support.server import until  # noqa: E402

from pinfold.upstream import AsyncUpstream, Upstream  # noqa: E402


def eventually(holds: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits for a condition; what it answered."""
    return until(holds, seconds=seconds)


class Server(Started):
    """A `pinfold serve` with its dialect."""

    @property
    def dialect(self) -> str:
        """The base URL of the dialect."""
        return f"{self.url}/upstream"

    def pinfold(self, *arguments: str) -> str:
        """Runs the command line against this server."""
        done = subprocess.run(
            [self.binary, *arguments],
            env={**os.environ, "PINFOLD_URL": self.url, "PINFOLD_API_KEY": self.key},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return done.stdout.strip()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    for template in ("python:3.12", "python", "nodejs"):
        server.pinfold("templates", "set", template, "--image", "host")
    yield server
    server.stop()


class Loop:
    """An event loop in a thread of its own, for tests that have none."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(120)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Blocking:
    """An object of the async client with the face of the sync one."""

    def __init__(self, inner: Any, loop: Loop) -> None:
        self.__dict__.update(_inner=inner, _loop=loop)

    def _wrapped(self, value: Any) -> Any:
        shown = type(value).__module__.startswith("pinfold.upstream._async")
        return Blocking(value, self._loop) if shown else value

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return self._wrapped(value)

        def call(*arguments: Any, **named: Any) -> Any:
            async def made() -> Any:
                answer = value(*arguments, **named)
                return await answer if hasattr(answer, "__await__") else answer

            return self._wrapped(self._loop.wait(made()))

        return call

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> str:
        async def line() -> tuple[bool, str]:
            try:
                return True, await self._inner.__aiter__().__anext__()
            except StopAsyncIteration:
                return False, ""

        more, text = self._loop.wait(line())
        if not more:
            raise StopIteration
        return str(text)

    def __enter__(self) -> Any:
        return self._wrapped(self._loop.wait(self._inner.__aenter__()))

    def __exit__(self, *fault: Any) -> None:
        self._loop.wait(self._inner.__aexit__(*fault))


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes clients of the server, or of another, each test with both kinds."""
    loop = Loop()
    made: list[Any] = []

    def connect(key: str | None = None, url: str | None = None, **options: Any) -> Any:
        kind = Upstream if request.param == "sync" else AsyncUpstream
        if key is None or url is None:
            server = request.getfixturevalue("server")
            key, url = key or server.key, url or server.dialect
        client: Any = kind(key, base_url=url, **options)
        made.append(client if kind is Upstream else Blocking(client, loop))
        return made[-1]

    yield connect
    for client in made:
        client.close()
    loop.close()


@pytest.fixture
def client(connect: Callable[..., Any]) -> Any:
    return connect()


@pytest.fixture
def sandbox(client: Any) -> Iterator[Any]:
    sandbox = client.sandbox()
    yield sandbox
    sandbox.destroy()
