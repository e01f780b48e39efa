"""Streams and clients that are closed, lost, inherited by a fork, or left by their event loop."""

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PACKAGE
from support.network import CuttingProxy, scripted
from support.server import Server

from pinfold import AsyncClient, errors

Connect = Callable[..., Any]
# The beginning of an answer whose end only the end of its connection tells.
ENDLESS = b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\nthe beginning"


async def reached(seen: list[int]) -> None:
    """Waits until something has come."""
    while not seen:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("closes", ["the stream", "the client"])
async def test_closing_wakes_whoever_reads(connect: Connect, closes: str) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        command = await sandbox.commands.start("echo said; sleep 1000")
        other, seen = connect(), list[int]()
        output = await (await other.command(command.id)).output(follow=True, progress=seen.append)
        reading = asyncio.ensure_future(_read(output))
        await reached(seen)
        await (output if closes == "the stream" else other).aclose()
        with pytest.raises(errors.BrokenConnectionError, match="closed"):
            await reading
        # What was closed in the middle is never taken for the end.
        with pytest.raises(errors.BrokenConnectionError, match="closed"):
            await output.read()
        await other.aclose()


async def _read(output: Any) -> Any:
    return await output.read()


@pytest.mark.parametrize("waits", ["run", "stream", "wait"])
async def test_a_client_that_is_closed_lets_nobody_wait(connect: Connect, waits: str) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        command = await sandbox.commands.start("sleep 1000")
        other = connect()
        far, followed = await other.sandboxes.get(sandbox.id), await other.command(command.id)

        async def wait() -> Any:
            if waits == "run":
                return await far.run("touch /tmp/began; sleep 1000")
            return await (followed.wait() if waits == "wait" else _collected(followed.stream()))

        waiting = asyncio.ensure_future(wait())
        if waits == "run":
            while not await sandbox.files.exists("/tmp/began"):
                await asyncio.sleep(0.01)
        else:
            # Where the request has not been sent yet, it never is.
            await asyncio.sleep(0.1)
        await other.aclose()
        with pytest.raises((errors.ConfigurationError, errors.BrokenConnectionError)):
            await waiting


async def _collected(stream: Any) -> list[Any]:
    return [record async for record in stream]


@pytest.mark.parametrize("closes", ["the stream", "the client"])
async def test_an_end_that_closing_makes_is_no_end(connect: Connect, closes: str) -> None:
    holding = threading.Event()
    with scripted(lambda number, head: ENDLESS, holding) as (url, _):
        try:
            client, seen = connect(url), list[int]()
            body = await client.objects.stream("obj_1", progress=seen.append)
            reading = asyncio.ensure_future(_read(body))
            await reached(seen)
            await (body if closes == "the stream" else client).aclose()
            with pytest.raises(errors.BrokenConnectionError, match="closed"):
                await reading
            await client.aclose()
        finally:
            holding.set()


def established(url: str) -> int:
    """Connections of this machine to a port."""
    port = f":{int(url.rsplit(':', 1)[1]):04X}"
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(port) and line[3] == "01" for line in lines)


async def test_streams_that_are_lost_give_their_connections_back(
    connect: Connect, server: Server
) -> None:
    with CuttingProxy(server.url, 1, 1 << 40, 1 << 40) as proxy:
        async with connect() as direct, direct.sandboxes.create() as sandbox:
            started = await sandbox.commands.start("echo said; sleep 1000")
            await sandbox.files.mkdir("/tmp/w")
            async with connect(proxy.url) as client:
                command = await client.command(started.id)
                files = (await client.sandboxes.get(sandbox.id)).files
                for _ in range(10):
                    await command.output(follow=True)
                    await files.watch("/tmp/w")
                    async for _ in command.stream():
                        break
                gc.collect()
                await client.whoami()
                while established(proxy.url) > 2:
                    await asyncio.sleep(0.02)


FORKS = """
import os, sys
from pinfold import Client, errors

client = Client(sys.argv[1], sys.argv[2])
sandbox = client.sandboxes.create()
command = sandbox.commands.start("cat", open_stdin=True)
command.write_stdin("one\\n")
lost, kept, records = (command.output(follow=True), command.output(follow=True), command.stream())
assert (next(lost), next(kept), next(records).data) == (b"one\\n", b"one\\n", b"one\\n")

def whole(stream):
    return b"".join(piece for piece in stream)

child = os.fork()
if child == 0:
    # What is lost, closed and left here is the parent's: it ends nothing there.
    try:
        kept.read()
    except errors.BrokenConnectionError as error:
        assert "forked" in str(error)
    del lost
    kept.close()
    assert next(records).data == b"two\\n"
    for number in range(40):
        assert sandbox.run(["echo", str(number)]).stdout == f"{number}\\n"
    client.close()
    sys.exit(0)

command.write_stdin("two\\n")
for number in range(40):
    assert sandbox.run(["echo", str(number)]).stdout == f"{number}\\n"
assert os.waitpid(child, 0)[1] == 0
command.write_stdin("three\\n")
command.close_stdin()
assert whole(lost) == whole(kept) == b"two\\nthree\\n"
assert b"".join(each.data for each in records if hasattr(each, "data")) == b"two\\nthree\\n"
sandbox.destroy()
print("whole")
"""

FORKS_UPSTREAM = """
import os, sys
from pinfold.upstream import Upstream, UpstreamError

client = Upstream(sys.argv[2], base_url=sys.argv[1] + "/upstream")
sandbox = client.sandbox("host")
told = sandbox.exec(["sh", "-c", "echo one; until [ -e go ]; do sleep 0.05; done; echo two"], stream=True)
lines = iter(told)
assert next(lines) == "one"
child = os.fork()
if child == 0:
    try:
        next(lines)
    except UpstreamError as error:
        assert "forked" in str(error)
    told.close()
    del told, lines
    for number in range(40):
        assert sandbox.exec(["echo", str(number)]).stdout == f"{number}\\n"
    client.close()
    sys.exit(0)
for number in range(40):
    assert sandbox.exec(["echo", str(number)]).stdout == f"{number}\\n"
assert os.waitpid(child, 0)[1] == 0
sandbox.write_file("go", "")
assert list(lines) == ["two"] and told.exit_code == 0
sandbox.destroy()
print("whole")
"""


@pytest.mark.parametrize("program", [FORKS, FORKS_UPSTREAM], ids=["native", "upstream"])
def test_a_fork_has_connections_of_its_own_and_ends_none_of_its_parents(
    server: Server, program: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, server.url, server.key],
        env={"PYTHONPATH": str(PACKAGE / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("whole\n", 0), done.stderr


def test_a_client_may_be_closed_behind_its_loop_or_beside_it(server: Server) -> None:
    client = AsyncClient(server.url, server.key)
    asyncio.run(_ask(client))
    asyncio.run(client.aclose())
    beside = AsyncClient(server.url, server.key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(_ask(beside), loop).result(30)
        asyncio.run(beside.aclose())
        with pytest.raises(errors.ConfigurationError, match="closed"):
            asyncio.run_coroutine_threadsafe(_ask(beside), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ask(client: AsyncClient) -> None:
    assert (await client.whoami()).role == "admin"


async def test_a_stream_that_ended_spares_the_connection_it_had(connect: Connect) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        await sandbox.files.write("/tmp/f", b"content")
        ended = []
        for _ in range(10):
            stream = await sandbox.files.stream("/tmp/f")
            assert await stream.read() == b"content"
            ended.append(stream)
        # Once only where its connection breaks, and the connection is one that streams had.
        await sandbox.files.write("/tmp/g", b"x")
        while ended:
            stream = ended.pop()
            await stream.aclose()
            assert await stream.read() == b""
            del stream
            gc.collect()
            await sandbox.files.move("/tmp/g", "/tmp/h", overwrite=True)
            await sandbox.files.move("/tmp/h", "/tmp/g")
