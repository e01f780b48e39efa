"""A real server of the program under test, and the ways in which a real MCP client reaches it."""

import contextlib
import secrets

import httpx
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from support.server import Server as Started
from support.server import until

__all__ = ["HTTP", "WAYS", "Server", "call", "connected", "refused", "text_of", "until"]

#: For requests by hand. A refusal may come before a body was read, which ends its connection: each
#: request has its own.
HTTP = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
#: How clients come: by which transport, and with the newest protocol or with those that have sessions.
WAYS = ["stdio", "stdio-legacy", "http", "http-legacy"]


class Server(Started):
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
