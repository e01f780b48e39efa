"""A real server of the program under test, in a directory of its own."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import httpx

KEY = "crownest-suite-bootstrap-key-0123456789"
PATIENCE = 60


class Server:
    def __init__(self, directory: pathlib.Path, port: int = 0) -> None:
        self.directory = directory
        self.port = port
        self.process: subprocess.Popen | None = None
        self.url = ""

    def start(self) -> "Server":
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PINFOLD_BOOTSTRAP_KEY": KEY}
        log = open(self.directory.parent / f"{self.directory.name}.log", "ab")
        self.process = subprocess.Popen(
            [
                os.environ["PINFOLD_BIN"],
                "serve",
                "--ephemeral",
                "--data-dir",
                str(self.directory),
                "--listen",
                f"127.0.0.1:{self.port}",
            ],
            env=environment,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.url = until(self._announced, "the server announces its address")
        self.port = int(self.url.rsplit(":", 1)[1])
        until(self._healthy, "the server is healthy")
        return self

    @property
    def base_url(self) -> str:
        return f"{self.url}/crownest"

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(PATIENCE) == 0
            self.process = None

    def kill(self) -> None:
        """As the kernel would when memory runs out: nothing is said, nothing is cleaned up."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None

    def native(self, method: str, path: str, key: str = KEY, **options) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, **options)

    def _announced(self) -> str | None:
        assert self.process.poll() is None, "the server ended early; see its log"
        try:
            notice = json.loads((self.directory / "server.lock").read_text())
        except (OSError, ValueError):
            return None
        return notice.get("url") if notice.get("pid") == self.process.pid else None

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False


def until(found, what: str):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
