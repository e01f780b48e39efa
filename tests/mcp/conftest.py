"""What every test of the MCP server starts from: one server, each way to it, a sandbox."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.append(str(pathlib.Path(__file__).parents[1] / "python"))

from world import WAYS, Server  # noqa: E402


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mcp")).start()
    yield server
    server.stop()


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def sandbox(server):
    answer = server.native("POST", "/v1/sandboxes", json={})
    assert answer.status_code == 201, answer.text
    identity = answer.json()["id"]
    yield identity
    server.native("DELETE", f"/v1/sandboxes/{identity}")
