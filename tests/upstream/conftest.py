"""What every test of `pinfold.upstream` shares: a server of its own, and both clients with one face."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdks" / "python" / "src"))

from pinfold.upstream import AsyncUpstream, Upstream  # noqa: E402

START_SECONDS = 60
STOP_SECONDS = 30


def eventually(holds: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits for a condition; what it answered."""
    deadline = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


class Server:
    """A `pinfold serve` that can be killed and started again on its data and port."""

    def __init__(self, directory: Path) -> None:
        self.binary = os.environ.get("PINFOLD_BIN", str(ROOT / "target" / "debug" / "pinfold"))
        self.key = "sk-" + secrets.token_hex(24)
        self.data = directory / "data"
        self.log = (directory / "log").open("ab")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = self.root + "/upstream"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["serve", "--ephemeral", "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [self.binary, *arguments, "--data-dir", str(self.data)],
            env={**os.environ, "PINFOLD_BOOTSTRAP_KEY": self.key},
            stdout=self.log,
            stderr=self.log,
        )
        eventually(self.answers, START_SECONDS)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.root + "/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)
        self.log.close()

    def pinfold(self, *arguments: str) -> str:
        """Runs the command line against this server."""
        done = subprocess.run(
            [self.binary, *arguments],
            env={**os.environ, "PINFOLD_URL": self.root, "PINFOLD_API_KEY": self.key},
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
            key, url = key or server.key, url or server.url
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
