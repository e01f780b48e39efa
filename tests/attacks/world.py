"""A real server as root, sandboxes in it, and probes that run inside them."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

INSIDE = Path(__file__).resolve().parent / "inside"
PATIENCE = 120
#: What every sandbox of these tests has; bombs need bounds.
SMALL = {"memory_mib": 256, "disk_mib": 64, "pids": 64}

Found = TypeVar("Found")


class Pinfold:
    """The native API with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self.http = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            timeout=PATIENCE,
            trust_env=False,
        )

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The body of an answer that has to be good."""
        answer = self.http.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    @contextlib.contextmanager
    def sandbox(self, **wishes: Any) -> Iterator[Sandbox]:
        made = self.call("POST", "/v1/sandboxes", json={**SMALL, **wishes})
        sandbox = Sandbox(self, made["id"])
        try:
            yield sandbox
        finally:
            self.call("DELETE", f"/v1/sandboxes/{sandbox.id}")

    def member(self, project: str | None = None, **wishes: Any) -> dict[str, Any]:
        body = {"name": secrets.token_hex(4), "role": "member", "project_id": project, **wishes}
        return dict(self.call("POST", "/v1/keys", json=body))


class Sandbox:
    """One of them, from outside."""

    def __init__(self, pinfold: Pinfold, identity: str) -> None:
        self.pinfold = pinfold
        self.id = identity
        self.path = f"/v1/sandboxes/{identity}"

    def run(self, **command: Any) -> dict[str, Any]:
        """Runs to its end."""
        return dict(self.pinfold.call("POST", f"{self.path}/run", json=command))

    def shell(self, line: str, **command: Any) -> str:
        """The output of a line that has to succeed."""
        result = self.run(shell=line, **command)
        assert result["command"]["exit_code"] == 0, result
        return str(result["stdout"])

    def python(self, source: str, **command: Any) -> dict[str, Any]:
        return self.run(argv=["python3", "-c", source], **command)

    def probe(self, name: str, **command: Any) -> dict[str, Any]:
        """What the attempts of `inside/NAME.py` gave."""
        source = (INSIDE / "base.py").read_text() + (INSIDE / f"{name}.py").read_text()
        result = self.run(argv=["python3", "-"], stdin_data=source, **command)
        assert result["command"]["exit_code"] == 0, result["stderr"]
        return dict(json.loads(result["stdout"]))

    def start(self, **command: Any) -> str:
        """The id of a command that goes on."""
        return str(self.pinfold.call("POST", f"{self.path}/commands", json=command)["id"])

    def output(self, command: str) -> str:
        answer = self.pinfold.http.get(f"/v1/commands/{command}/output")
        assert answer.is_success, answer.text
        return answer.text

    def says(self, command: str, word: str) -> None:
        """Waits until a command has printed `word`."""
        until(lambda: word in self.output(command), f"{word!r} of {command}")

    def ended(self, command: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            now = self.pinfold.call("GET", f"/v1/commands/{command}/wait")
            return now if now["ended_at"] else None

        return until(look, f"the end of {command}")

    def is_well(self) -> None:
        """Starts programs and works on files as if nothing had happened."""
        assert self.shell("echo well") == "well\n"
        self.put("/tmp/well", b"well")
        assert self.get("/tmp/well").content == b"well"

    def put(self, path: str, content: bytes) -> httpx.Response:
        return self.pinfold.http.put(f"{self.path}/files", params={"path": path}, content=content)

    def get(self, path: str) -> httpx.Response:
        return self.pinfold.http.get(f"{self.path}/files", params={"path": path})


def until(found: Callable[[], Found | None], what: str) -> Found:
    """Waits for a condition."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE} s: {what}")
