"""SSH keys of a devbox, used by OpenSSH's own client."""

import pathlib
import shutil
import subprocess

import pytest
from runloop_api_client import BadRequestError
from server import KEY, Server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("ssh")).start()
    yield server
    server.stop()


async def test_a_key_opens_its_devbox_over_ssh(sdk, gateway, tmp_path):
    assert shutil.which("ssh"), "the test needs OpenSSH's client"
    runloop = sdk.client(bearer_token=KEY, base_url=gateway.base_url)
    devbox = await sdk(runloop.devbox.create)
    key = await sdk(devbox.net.create_ssh_key)
    assert key.id == devbox.id
    file = pathlib.Path(tmp_path / "key")
    file.write_text(key.ssh_private_key)
    file.chmod(0o600)
    host, port = key.url.rsplit(":", 1)
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    command = ["ssh", "-i", str(file), "-p", port, *options, f"{key.ssh_user}@{host}", "whoami; pwd"]
    done = await sdk(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "user\n/home/user\n"), done.stderr
    await sdk(devbox.shutdown)
    with pytest.raises(BadRequestError):
        await sdk(devbox.net.create_ssh_key)
    await sdk(runloop.close if sdk.name == "sync" else runloop.aclose)
