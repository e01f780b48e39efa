"""A real server of the program under test, and the ways in which a real MCP client reaches it."""

import contextlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import time

import httpx
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

PATIENCE = 60
#: For requests by hand. A refusal may come before a body was read, which ends its connection: each
#: request has its own.
HTTP = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
#: How clients come: by which transport, and with the newest protocol or with those that have sessions.
WAYS = ["stdio", "stdio-legacy", "http", "http-legacy"]


class Server:
    def __init__(self, directory: pathlib.Path, *options: str) -> None:
        self.directory = directory
        self.options = options
        self.key = "sk-" + secrets.token_hex(24)
        self.port = 0
        self.process: subprocess.Popen | None = None
        self.url = ""

    @property
    def binary(self) -> str:
        return os.environ["PINFOLD_BIN"]

    def start(self) -> "Server":
        self.directory.mkdir(parents=True, exist_ok=True)
        listen = f"127.0.0.1:{self.port}"
        arguments = ["serve", "--ephemeral", "--data-dir", str(self.directory), "--listen", listen]
        with open(self.directory.parent / f"{self.directory.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, *arguments, *self.options],
                env={**os.environ, "PINFOLD_BOOTSTRAP_KEY": self.key},
                stdout=log,
                stderr=log,
            )
        self.url = until(self._announced, "the server announces its address")
        self.port = int(self.url.rsplit(":", 1)[1])
        until(self._healthy, "the server is healthy")
        return self

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

    def native(self, method: str, path: str, key: str | None = None, **options) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return HTTP.request(method, f"{self.url}{path}", headers=headers, **options)

    def another_key(self, project: str | None = None) -> dict:
        body = {"role": "member", "name": secrets.token_hex(4)}
        if project is not None:
            body["project_id"] = project
        answer = self.native("POST", "/v1/keys", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def another_project(self) -> str:
        answer = self.native("POST", "/v1/projects", json={"name": secrets.token_hex(4)})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def command(self, command_id: str) -> dict:
        return self.native("GET", f"/v1/commands/{command_id}").json()

    def _announced(self) -> str | None:
        assert self.process.poll() is None, "the server ended early; see its log"
        try:
            notice = json.loads((self.directory / "server.lock").read_text())
        except (OSError, ValueError):
            return None
        return notice.get("url") if notice.get("pid") == self.process.pid else None

    def _healthy(self) -> bool:
        try:
            return HTTP.get(f"{self.url}/healthz").status_code == 200
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


@contextlib.asynccontextmanager
async def connected(server: Server, way: str = "http", key: str | None = None):
    """A client of the `mcp` package, at its high level."""
    mode = "legacy" if way.endswith("-legacy") else "auto"
    key = key or server.key
    if way.startswith("stdio"):
        environment = {"PINFOLD_URL": server.url, "PINFOLD_API_KEY": key}
        transport = StdioServerParameters(command=server.binary, args=["mcp"], env=environment)
        async with Client(transport, mode=mode) as client:
            yield client
        return
    async with http_client(key) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def http_client(key: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=300))


def text_of(result) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


async def call(client, name: str, /, progress_callback=None, **arguments):
    """The facts of a call that has to succeed."""
    result = await client.call_tool(name, arguments, progress_callback=progress_callback)
    assert not result.is_error, text_of(result)
    return result.structured_content


async def refused(client, name: str, code: str, /, **arguments) -> str:
    """The words of a call that has to fail, in the way in which tools fail."""
    result = await client.call_tool(name, arguments)
    assert result.is_error, result
    error = result.meta["pinfold/error"]
    assert error["code"] == code, error
    words = text_of(result)
    assert words.endswith(f"({code})") and len(words) > len(code) + 10, words
    return words
