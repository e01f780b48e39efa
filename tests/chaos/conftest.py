"""What every test of this suite starts from: a seed that is told, and a server that may be killed.

`PINFOLD_CHAOS_SEED` repeats what a failed run told; `PINFOLD_CHAOS_ROUNDS` is how often the server is
killed under load: 4 times unless told, 20 for the whole proof.
"""

import os
import random
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "python"))

from outside import Outside  # noqa: E402
from support.server import Server  # noqa: E402
from wire import Caller  # noqa: E402


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """All of a test's chances. The seed is shown with a failure."""
    seed = os.environ.get("PINFOLD_CHAOS_SEED") or secrets.token_hex(4)
    print(f"PINFOLD_CHAOS_SEED={seed}")
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def rounds() -> int:
    """How often something is killed."""
    return int(os.environ.get("PINFOLD_CHAOS_ROUNDS", "4"))


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """One that a test may kill and start again. Behind it nothing may be left.

    A test can say how many sandboxes it keeps booted for nobody yet.
    """
    warm = getattr(request, "param", 0)
    server = Server(tmp_path, "--warm-sandboxes", str(warm))
    server.start()
    yield server
    if not server.alive:
        server.start()
    server.stop()
    outside = Outside(tmp_path / "data")
    outside.check_nothing_left()


@pytest.fixture
def caller(server: Server) -> Caller:
    """An admin; the port stays the same whenever the server is started again."""
    return Caller(server.url, server.key)


@pytest.fixture
def outside(server: Server) -> Outside:
    """The machine's view."""
    return Outside(server.directory / "data")
