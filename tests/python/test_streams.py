"""Streams over networks and servers that fail: byte-identical, whatever happens in between."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.both import client as make_client
from support.network import CuttingProxy
from support.server import Server

from pinfold import End, Output, errors

# Writes to both streams, in text and in bytes that are none.
NOISE = r"""
for i in $(seq 1 {lines}); do
    echo "line $i grün"
    [ $((i % 10)) = 0 ] && printf 'err %d \377\n' $i >&2
    [ $((i % {pause})) = 0 ] && sleep 0.01
done
exit 3
"""


def expected(lines: int) -> tuple[bytes, bytes]:
    """What `NOISE` writes."""
    out = b"".join(f"line {i} grün\n".encode() for i in range(1, lines + 1))
    err = b"".join(b"err %d \xff\n" % i for i in range(10, lines + 1, 10))
    return out, err


async def collected(stream: Any) -> tuple[bytes, bytes, int | None]:
    """Both streams and the exit code; the numbers of the records have no gap."""
    out, err, last, code = [], [], 0, None
    async for record in stream:
        assert record.seq == last + 1
        last = record.seq
        if isinstance(record, Output):
            (out if record.stream == "stdout" else err).append(record.data)
        elif isinstance(record, End):
            code = record.command.exit_code
    return b"".join(out), b"".join(err), code


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_stream_over_a_network_that_cuts_is_byte_identical(
    connect: Callable[..., Any], server: Server, seed: int
) -> None:
    with CuttingProxy(server.url, seed, 600, 9000) as proxy:
        async with connect() as direct, connect(proxy.url) as cut:
            async with direct.sandboxes.create() as sandbox:
                command = await sandbox.commands.start(NOISE.format(lines=3000, pause=100))
                followed = await cut.command(command.id)
                got = await collected(followed.stream())
                assert got == (*expected(3000), 3)
                # The whole of it again, from a journal that is complete.
                assert await collected(followed.stream()) == got
        assert proxy.cuts > 10


async def test_runs_and_reads_over_a_network_that_cuts_come_back(
    connect: Callable[..., Any], server: Server
) -> None:
    with CuttingProxy(server.url, 3, 200, 4000) as proxy:
        async with connect() as direct, connect(proxy.url) as cut:
            async with direct.sandboxes.create() as sandbox:
                far = await _patiently(lambda: cut.sandboxes.get(sandbox.id))
                for number in range(10):
                    run = await far.commands.run(f"echo {number} >> /tmp/runs; seq 50")
                    assert run.stdout.split()[-1] == "50"
                assert await sandbox.files.read_text("/tmp/runs") == "".join(
                    f"{number}\n" for number in range(10)
                )


async def _patiently(act: Callable[[], Any]) -> Any:
    for _ in range(20):
        try:
            return await act()
        except errors.BrokenConnectionError:
            pass
    raise AssertionError("no try went through")


async def test_a_download_that_is_cut_is_an_error_and_leaves_nothing(
    connect: Callable[..., Any], server: Server, tmp_path: Path
) -> None:
    with CuttingProxy(server.url, 4, 100_000, 100_000) as proxy:
        async with connect() as direct, connect(proxy.url) as cut:
            async with direct.sandboxes.create() as sandbox:
                await sandbox.run("mkdir /tmp/d; head -c 5000000 /dev/urandom > /tmp/d/f")
                far = await cut.sandboxes.get(sandbox.id)
                for path, local in (("/tmp/d/f", "file"), ("/tmp/d", "directory")):
                    with pytest.raises(errors.BrokenConnectionError):
                        await far.files.download(path, tmp_path / local)
                assert not [each for each in tmp_path.rglob("*") if each.is_file()]
                # A body that breaks off changes nothing inside either.
                with pytest.raises(ZeroDivisionError):
                    await sandbox.files.write("/tmp/d/f", (1 // 0 for _ in range(1)))
                assert (await sandbox.files.stat("/tmp/d/f")).size_bytes == 5_000_000


async def test_a_hundred_streams_at_once(connect: Callable[..., Any]) -> None:
    async with connect() as client, client.sandboxes.create(pids=2000) as sandbox:
        script = "for i in 1 2 3 4 5; do echo $1 $i; sleep 0.05; done"

        async def one(number: int) -> None:
            command = await sandbox.commands.start(["sh", "-c", script, "sh", str(number)])
            out, err, code = await collected(command.stream())
            assert out == b"".join(b"%d %d\n" % (number, i) for i in range(1, 6))
            assert (err, code) == (b"", 0)

        await asyncio.gather(*(one(number) for number in range(100)))


async def test_a_server_killed_in_the_middle_loses_and_repeats_nothing(
    flavour: str, tmp_path: Path
) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        async with make_client(flavour, server.url, server.key) as client:
            sandbox = await client.sandboxes.create()
            lines = 2000
            command = await sandbox.commands.start(NOISE.format(lines=lines, pause=10))
            streaming = asyncio.ensure_future(collected(command.stream()))
            waiting = asyncio.ensure_future(command.wait())
            running = asyncio.ensure_future(sandbox.run("sleep 2; echo ran >> /tmp/ran; cat /tmp/ran"))
            for _ in range(2):
                await asyncio.sleep(0.6)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            assert await streaming == (*expected(lines), 3)
            assert (await waiting).exit_code == 3
            assert (await running).stdout == "ran\n"
            await sandbox.destroy()
    finally:
        server.stop()


async def test_a_large_file_goes_both_ways(connect: Callable[..., Any], tmp_path: Path) -> None:
    local, back = tmp_path / "large", tmp_path / "back"
    with open(local, "wb") as file:
        for number in range(64):
            file.write(hashlib.sha256(b"%d" % number).digest() * 32768)
    async with connect() as client, client.sandboxes.create() as sandbox:
        await sandbox.files.upload(local, "/tmp/large")
        await sandbox.files.download("/tmp/large", back)
        with open(local, "rb") as first, open(back, "rb") as second:
            digests = [hashlib.file_digest(each, "sha256").hexdigest() for each in (first, second)]
        assert digests[0] == digests[1]
        assert (await sandbox.run("sha256sum < /tmp/large")).stdout.split()[0] == digests[0]
