"""What the vendor's guide builds out of a distribution's packages, as it is printed, over a root
filesystem of this test's own that stands for `ubuntu:22.04`.

It needs packages: without `mmdebstrap` or a way to them, also from a sandbox, it says so and is skipped.
"""

import shutil
import subprocess

import pytest
from runloop_api_client import NotFoundError, RunloopSDK
from server import KEY, Server

# What the guide takes for granted of the image, and how this machine trusts where packages come from.
PACKAGES = "ca-certificates,python3-pip"
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
ANYWHERE = '''echo "[global]\nbreak-system-packages = true" > "$1/etc/pip.conf"'''


@pytest.fixture(scope="module")
def root_tar(tmp_path_factory):
    if shutil.which("mmdebstrap") is None:
        pytest.skip("NOT TESTED: the guide's builds; there is no mmdebstrap on this machine")
    tar = tmp_path_factory.mktemp("root") / "root.tar"
    made = subprocess.run(
        [
            *("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}"),
            *(f"--customize-hook=cp {TRUSTED} $1{TRUSTED}", f"--customize-hook={ANYWHERE}"),
            *("bookworm", str(tar)),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    if made.returncode != 0:
        pytest.skip(f"NOT TESTED: the guide's builds; no way to packages: {made.stderr[-300:]}")
    return tar


@pytest.fixture(scope="module")
def server(root_tar, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("packages")).start()
    for command in (
        ("images", "import", "ubuntu:22.04", root_tar),
        ("templates", "set", "base", "--image", "ubuntu:22.04", "--network", "open"),
    ):
        done = server.cli(*command)
        assert done.returncode == 0, done.stderr
    yield server
    server.stop()


@pytest.fixture
def runloop(server):
    with RunloopSDK(bearer_token=KEY, base_url=server.base_url, timeout=60) as runloop:
        yield runloop


@pytest.fixture
def packages(runloop):
    """A machine may let itself reach packages, and nothing behind it."""
    root = {"user_parameters": {"username": "root", "uid": 0}}
    with runloop.devbox.create(name="reaches-packages", launch_parameters=root) as devbox:
        line = "apt-get update -qq && pip download -q --no-deps -d /tmp/pip numpy"
        tried = devbox.cmd.exec(command=f"({line}) 2>&1")
        if tried.exit_code != 0:
            pytest.skip(f"NOT TESTED: a sandbox reaches no packages: {tried.stdout()[-300:]}")


def test_the_quickstart_builds_upon_its_image(runloop):
    blueprint = runloop.blueprint.create(
        name="my-blueprint",
        dockerfile="FROM ubuntu:22.04\nRUN echo 'Hello' > /hello.txt\n",
    )
    devbox = blueprint.create_devbox(name="dev-from-blueprint")
    assert devbox.cmd.exec(command="cat /hello.txt").stdout() == "Hello\n"
    devbox.shutdown()


def test_a_blueprint_installs_packages_and_is_deleted_before_its_devbox(runloop, packages):
    blueprint = runloop.blueprint.create(
        name="my-blueprint",
        dockerfile="FROM ubuntu:22.04\nRUN apt-get update && apt-get install -y python3\n",
        system_setup_commands=["pip install numpy pandas"],
    )
    blueprint = runloop.blueprint.from_id(blueprint_id=blueprint.id)
    assert blueprint.id in [one.id for one in runloop.blueprint.list()]
    assert blueprint.get_info().status == "build_complete"
    lines = [line.message for line in blueprint.logs().logs]
    assert any(line.startswith("Successfully installed numpy") for line in lines)
    devbox = blueprint.create_devbox(name="devbox-from-blueprint")
    blueprint.delete()
    with pytest.raises(NotFoundError):
        blueprint.create_devbox()
    line = "python3 -c 'import numpy, pandas; print(pandas.Series(numpy.ones(3)).sum())'"
    assert devbox.cmd.exec(command=line).stdout() == "3.0\n"
    devbox.shutdown()

    again = runloop.blueprint.create(
        name="my-blueprint",
        dockerfile="FROM ubuntu:22.04\nRUN apt-get update && apt-get install -y python3\n",
        system_setup_commands=["pip install numpy pandas"],
    )
    lines = [line.message for line in again.logs().logs]
    assert lines[-2:] == ["pip install numpy pandas", "taken from the cache"]
