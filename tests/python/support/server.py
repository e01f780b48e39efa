"""A real server on a free port with a directory of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

import httpx

START_SECONDS = 60.0


class Server:
    """`pinfold serve --ephemeral`: its sandboxes end with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = secrets.token_hex(20)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._listen = "127.0.0.1:0"

    def start(self) -> None:
        """Starts it, again on the same port, and waits until it is ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self.directory / "data" / "server.lock"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PINFOLD_")}
        with open(self.directory / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    os.environ["PINFOLD_BIN"],
                    *("--data-dir", str(self.directory / "data")),
                    *("serve", "--ephemeral", "--listen", self._listen),
                ],
                env={**environment, "PINFOLD_BOOTSTRAP_KEY": self.key},
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
        """As an operator would; all sandboxes end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0, self.log()

    def log(self) -> str:
        """What it said."""
        return (self.directory / "server.log").read_text(errors="replace")[-4000:]
