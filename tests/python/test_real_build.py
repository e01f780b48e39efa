"""A real Dockerfile of several stages that installs packages, on a root filesystem of this test's own.

It needs the distribution's packages: without `mmdebstrap` or a way to them it says so and is skipped.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from support.server import Server

from pinfold import Client, errors

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
RUN useradd -m somebody && rm /etc/issue
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


def test_a_built_image_leaves_as_an_oci_layout_and_comes_back(
    server: Server, root_tar: Path, tmp_path: Path
) -> None:
    with Client(server.url, server.key) as client:
        client.images.import_tar("real-base:1", root_tar)
        build = client.builds.wait(client.builds.create("real:1", DOCKERFILE).id)
        assert build.ok, build.failure
        told: list[int] = []
        with client.images.export("real:1", progress=told.append) as layout:
            layout.save(tmp_path / "by-client.tar")
        written = server.cli("images", "export", "real:1", "--output", tmp_path / "by-cli.tar")
        assert written.returncode == 0, written.stderr
        assert told[-1] == (tmp_path / "by-client.tar").stat().st_size
        assert (tmp_path / "by-cli.tar").read_bytes() == (tmp_path / "by-client.tar").read_bytes()
        refused = server.cli("images", "export", "real:1", "--output", tmp_path / "by-cli.tar")
        assert refused.returncode != 0 and "--force" in refused.stderr

        copy = client.images.import_tar("real-copy:1", tmp_path / "by-client.tar", select="real:1")
        assert copy.config == client.images.get("real:1").config
        with client.sandboxes.create(image="real-copy:1") as sandbox:
            shown = sandbox.run("app; id -un; pwd; cat /etc/issue; cat /etc/hostname")
            assert shown.stdout.startswith("zlib 1.")
            assert shown.stdout.splitlines()[1:3] == ["somebody", "/home/somebody"]
            assert "/etc/issue" in shown.stderr, "a removal is part of a layer"
            assert shown.stdout.splitlines()[3] == sandbox.facts.hostname


def test_an_image_over_the_machines_own_system_is_not_exported(server: Server) -> None:
    with Client(server.url, server.key) as client:
        with pytest.raises(errors.InvalidArgumentError, match="host"):
            client.images.export("host")
