"""A real server, and things in it that calls can name."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "python"))
sys.path.insert(0, str(TESTS.parent / "sdks" / "python" / "src"))

from support.server import Server  # noqa: E402
from world import World  # noqa: E402


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server and what is in it."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    world = World(server.url, server.key)
    yield world
    world.close()
    server.stop()


@pytest.fixture(scope="session")
def api(world: World) -> schemathesis.schemas.BaseSchema:
    """The document as the server serves it."""
    return schemathesis.openapi.from_url(f"{world.url}/v1/openapi.json")
