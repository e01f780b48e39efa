"""What every test of the dialect starts from: one server, either client, a sandbox."""

import contextlib
import sys
import pathlib

import pytest
from crownest import CrowNestApiError

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.append(str(pathlib.Path(__file__).parents[1] / "python"))

from sdk import Async, Sync  # noqa: E402
from server import KEY, Server  # noqa: E402


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("crownest")).start()
    yield server
    server.stop()


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def sdk(request):
    return request.param()


@pytest.fixture
async def client(sdk, server):
    client = sdk.client(api_key=KEY, base_url=server.base_url, timeout=60)
    yield client
    await sdk.close(client)


@pytest.fixture
async def sandbox(sdk, client):
    sandbox = await sdk(client.sandboxes.create, template="base")
    yield sandbox
    await sdk(client.sandboxes.kill, sandbox.id)


@contextlib.contextmanager
def refused(code: str, status: int, field: str | None = None):
    with pytest.raises(CrowNestApiError) as caught:
        yield caught
    error = caught.value
    assert (error.code, error.status) == (code, status), (error.code, error.status, str(error))
    assert str(error), "an error says what is wrong"
    if field is not None:
        assert error.details["field"] == field


@pytest.fixture
def fails():
    return refused
