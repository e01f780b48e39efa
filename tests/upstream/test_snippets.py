"""Programs as they are printed, in the vendor's page and in our guide."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Server

from pinfold.upstream import AsyncUpstream, Upstream

GUIDE = ROOT / "docs" / "guide" / "upstream.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose `python:3.12` has a `python`, as the registry's has and this machine may not."""
    server = Server(tmp_path_factory.mktemp("server")).start()
    try:
        box = server.pinfold("sandbox", "create")
        link = "mkdir -p /opt/python && ln -s /usr/bin/python3 /opt/python/python"
        server.pinfold("sandbox", "exec", box, "--", "sh", "-c", link)
        server.pinfold("sandbox", "snapshot", box, "--name", "with-python:1")
        path = "PATH=/opt/python:/usr/local/bin:/usr/bin:/bin"
        image = ("--image", "with-python:1", "--env", path)
        server.pinfold("templates", "set", "python:3.12", *image)
        yield server
    finally:
        server.stop()


def test_the_vendors_sync_snippet_runs(server: Any) -> None:
    client = Upstream(api_key=server.key, base_url=server.dialect)
    with client.sandbox(image="python:3.12", vcpu=2, memory_mib=512) as sb:
        result = sb.exec(["python", "-c", "print('hello')"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "hello\n", "")
    client.close()


def test_the_vendors_async_snippet_runs(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_BASE_URL", server.dialect)

    async def main() -> int:
        async with AsyncUpstream(api_key=server.key) as client:
            usage = await client.usage()
            sandbox = await client.sandbox()
            try:
                assert (await sandbox.exec(["true"])).exit_code == 0
            finally:
                await sandbox.destroy()
        return usage.total_sessions

    assert asyncio.run(main()) >= 0


BLOCKS = re.findall(r"```python\n(.*?)```", Path(GUIDE).read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["sync", "async"])
def test_the_programs_of_the_guide_run(
    server: Any, capsys: pytest.CaptureFixture[str], block: str
) -> None:
    told = block.replace('"..."', repr(server.key))
    exec(told.replace("http://127.0.0.1:7070/upstream", server.dialect), {})
    assert capsys.readouterr().out.split()
