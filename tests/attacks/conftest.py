"""One server for all attacks; each test has sandboxes of its own."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "python"))

from support.server import Server  # noqa: E402
from world import Pinfold, Sandbox  # noqa: E402


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    assert os.geteuid() == 0, "the isolation under attack is that of a server that runs as root"
    # Members may pull here; the only registries that are named are on this machine.
    server = Server(tmp_path_factory.mktemp("server"), "--pull", "missing")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def pinfold(server: Server) -> Pinfold:
    """With the admin's key."""
    return Pinfold(server.url, server.key)


@pytest.fixture
def sandbox(pinfold: Pinfold) -> Iterator[Sandbox]:
    with pinfold.sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def neighbour(pinfold: Pinfold) -> Iterator[Sandbox]:
    """Another tenant's, which must not notice anything."""
    with pinfold.sandbox() as neighbour:
        yield neighbour
        neighbour.is_well()
