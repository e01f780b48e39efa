"""What every test of the SSH gateway starts from: one server, a sandbox, a key, a real `ssh`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.append(str(TESTS / "python"))

from support.server import Server  # noqa: E402
from world import Box, Pinfold  # noqa: E402


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not kill it."""
    server = Server(tmp_path_factory.mktemp("ssh"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def pinfold(server: Server, tmp_path: Path) -> Pinfold:
    return Pinfold(server, tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Pinfold]:
    """A server that a test may kill, and whose memory nobody else takes."""
    server = Server(tmp_path / "own")
    server.start()
    yield Pinfold(server, tmp_path)
    server.stop()


@pytest.fixture
def box(pinfold: Pinfold) -> Iterator[Box]:
    """A sandbox that a key opens."""
    with pinfold.box() as box:
        yield box
