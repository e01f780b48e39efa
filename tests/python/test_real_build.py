"""A real Dockerfile of several stages that installs packages, on a root filesystem of this test's own.

It needs the distribution's packages: without `mmdebstrap` or a way to them it says so and is skipped.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from support.server import Server

from pinfold import Client

DOCKERFILE = """
ARG BASE=real-base:1
FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev zlib1g-dev
WORKDIR /src
COPY <<'EOF' main.c
#include <stdio.h>
#include <zlib.h>
int main(void) { printf("zlib %s\\n", zlibVersion()); return 0; }
EOF
RUN gcc -O1 -o app main.c -lz

FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends zlib1g
COPY --from=build --chmod=755 /src/app /usr/local/bin/app
RUN useradd -m somebody
USER somebody
WORKDIR /home/somebody
ENTRYPOINT ["app"]
"""


@pytest.fixture(scope="module")
def root_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Debian, as its own mirror gives it."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("NOT TESTED: a real build; there is no mmdebstrap on this machine")
    tar = tmp_path_factory.mktemp("root") / "root.tar"
    made = subprocess.run(
        ["mmdebstrap", "--variant=minbase", "bookworm", str(tar)],
        capture_output=True, text=True, timeout=600,
    )
    if made.returncode != 0:
        pytest.skip(f"NOT TESTED: a real build; no way to packages: {made.stderr[-300:]}")
    return tar


def test_a_real_dockerfile_installs_packages_and_is_cached(server: Server, root_tar: Path) -> None:
    with Client(server.url, server.key) as client:
        client.images.import_tar("real-base:1", root_tar)
        build = client.builds.wait(client.builds.create("real:1", DOCKERFILE).id)
        assert build.ok, build.failure
        again = client.builds.wait(client.builds.create("real:1", DOCKERFILE).id)
        froms = sum(step.text.startswith("FROM") for step in again.steps)
        assert again.ok and again.cached_count == again.step_count - froms
        with client.sandboxes.create(image="real:1") as sandbox:
            shown = sandbox.run("app; id -un; pwd")
            assert shown.stdout.startswith("zlib 1.")
            assert shown.stdout.splitlines()[1:] == ["somebody", "/home/somebody"]
