"""What every test of the dialect starts from: one server, either client, a devbox."""

import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.append(str(pathlib.Path(__file__).parents[1] / "python"))

from sdk import Async, Sync  # noqa: E402
from server import KEY, Server  # noqa: E402


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("runloop")).start()
    yield server
    server.stop()


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def sdk(request):
    return request.param()


@pytest.fixture
async def runloop(sdk, server):
    client = sdk.client(bearer_token=KEY, base_url=server.base_url, timeout=60)
    yield client
    await sdk.close(client)


@pytest.fixture
async def devbox(sdk, runloop):
    devbox = await sdk(runloop.devbox.create, name="of-a-test")
    yield devbox
    await sdk(devbox.shutdown)


@pytest.fixture
def refused():
    @contextlib.contextmanager
    def refused(kind, status):
        with pytest.raises(kind) as caught:
            yield caught
        assert caught.value.status_code == status
        assert caught.value.body["code"] == status and caught.value.body["message"]

    return refused
