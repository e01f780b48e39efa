"""A real server on a free port with a directory of its own: the one starter of all Python suites."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

START_SECONDS = 60.0
STOP_SECONDS = 60.0

T = TypeVar("T")


class Server:
    """`pinfold serve --ephemeral`: its sandboxes end with it."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        key: str | None = None,
        environment: Mapping[str, str] | None = None,
        ssh: str = "127.0.0.1:0",
    ) -> None:
        self.directory = directory
        self.options = ("--ssh-listen", ssh, *options)
        self.environment = dict(environment or {})
        self.key = key or secrets.token_hex(20)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._listen = "127.0.0.1:0"

    def start(self) -> Self:
        """Starts it, again on the same port, and waits until it is ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self.directory / "data" / "server.lock"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PINFOLD_")}
        with open(self.directory / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    self.binary,
                    *("--data-dir", str(self.directory / "data")),
                    *("serve", "--ephemeral", "--listen", self._listen),
                    *self.options,
                ],
                # Tests stay on this machine; those of pulling name the registry that they start.
                env={
                    **environment,
                    "PINFOLD_BOOTSTRAP_KEY": self.key,
                    "PINFOLD_PULL": "never",
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready(lock):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        self._listen = self.url.removeprefix("http://")
        return self

    def _ready(self, lock: Path) -> bool:
        try:
            notice = json.loads(lock.read_text())
            if notice["pid"] != self.pid:
                return False
            self.url = notice["url"] or ""
            return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
        except (OSError, ValueError, httpx.HTTPError):
            return False

    @property
    def pid(self) -> int:
        """Of the server that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As an operator would; all sandboxes end. Harmless where it does not run."""
        if self._process is None or not self.alive:
            return
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(STOP_SECONDS) == 0, self.log()

    @property
    def binary(self) -> str:
        """The program under test."""
        return os.environ["PINFOLD_BIN"]

    @property
    def port(self) -> int:
        """Where it listens; the same after every start."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directory / "data"

    def native(self, method: str, path: str, key: str | None = None, **options: Any) -> httpx.Response:
        """A request to the native API, over a connection of its own."""
        headers = {"authorization": f"Bearer {key or self.key}"}
        options = {"timeout": 60, "trust_env": False, **options}
        return httpx.request(method, f"{self.url}{path}", headers=headers, **options)

    def cli(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs the command line with the server's own key."""
        env = {**os.environ, "PINFOLD_URL": self.url, "PINFOLD_API_KEY": self.key}
        command = [self.binary, *map(str, args)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)

    def log(self, last_bytes: int = 4000) -> str:
        """What it said last."""
        said = (self.directory / "server.log").read_bytes()
        return said[-last_bytes:].decode(errors="replace")


def until(found: Callable[[], T], what: str = "it comes to pass", seconds: float = 60.0) -> T:
    """Waits for a condition; what it answered."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return value
