"""Streams of a command: live, resumed, cut, of any text."""

import asyncio
import random

import pytest
from proxy import Proxy
from server import KEY, Server

pytestmark = pytest.mark.anyio


async def collected(sdk, client, command, **options):
    return [event async for event in sdk.each(client.commands.stream_logs, command, **options)]


def text(events, stream="stdout"):
    return "".join(e["data"] for e in events if e["type"] == "log" and e["stream"] == stream)


async def test_events_have_their_fields_and_come_as_they_are_written(sdk, client, sandbox):
    line = "echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three; exit 2"
    command = await sdk(client.commands.start, sandbox.id, line)
    seen = []
    async for event in sdk.each(client.commands.stream_logs, command["id"]):
        seen.append(event)
        if event["type"] == "log" and event["data"] == "one\n":
            running = await sdk(client.commands.get, command["id"])
            assert running["status"] == "running"
    logs = [event for event in seen if event["type"] == "log"]
    assert [(e["stream"], e["data"]) for e in logs] == [
        ("stdout", "one\n"),
        ("stderr", "two\n"),
        ("stdout", "three\n"),
    ]
    for event in logs:
        assert set(event) == {"type", "createdAt", "data", "seq", "stream"}
    assert seen[-1]["type"] == "terminal" and set(seen[-1]) == {"type", "createdAt", "command"}
    assert seen[-1]["command"] == await sdk(client.commands.get, command["id"])
    assert seen[-1]["command"]["exitCode"] == 2


async def test_a_finished_command_is_replayed_from_any_number(sdk, client, sandbox):
    line = "for i in $(seq 30); do echo line $i; sleep 0.002; done"
    result = await sdk(client.commands.run, sandbox.id, line)
    whole = await collected(sdk, client, result["id"])
    assert text(whole) == result["stdout"]
    logs = [event for event in whole if event["type"] == "log"]
    for event in logs[:: max(1, len(logs) // 7)]:
        rest = await collected(sdk, client, result["id"], after_seq=event["seq"])
        assert rest == whole[whole.index(event) + 1 :]
    last = await collected(sdk, client, result["id"], after_seq=logs[-1]["seq"])
    assert [event["type"] for event in last] == ["terminal"]
    beyond = await collected(sdk, client, result["id"], after_seq=10**9)
    assert [event["type"] for event in beyond] == ["terminal"]
    once = await collected(sdk, client, result["id"], reconnect=False)
    assert once == whole


async def test_leaving_a_stream_leaves_the_command(sdk, client, sandbox):
    command = await sdk(client.commands.start, sandbox.id, "echo a; sleep 1; echo b")
    async for event in sdk.each(client.commands.stream_logs, command["id"]):
        if event["type"] == "log":
            break
    events = await collected(sdk, client, command["id"])
    assert text(events) == "a\nb\n" and events[-1]["command"]["exitCode"] == 0


async def test_silence_is_broken_by_heartbeats(sdk, client, sandbox):
    command = await sdk(client.commands.start, sandbox.id, "sleep 6.5")
    events = await collected(sdk, client, command["id"])
    beats = [event for event in events if event["type"] == "heartbeat"]
    assert beats and set(beats[0]) == {"type", "createdAt"}
    assert events[-1]["type"] == "terminal"


ODD = "a\u0085b\u2028c\u2029d\u000be\u001cf\u00e9\u20ac\U0001f600\u200b\r\n\x00\x1b[31m\"\\"


async def test_every_character_survives_the_framing(sdk, client, sandbox, server):
    await sdk(client.files.write, sandbox.id, "odd", ODD)
    result = await sdk(client.commands.run, sandbox.id, "cat odd; cat odd >&2")
    assert result["stdout"] == ODD and result["stderr"] == ODD
    events = await collected(sdk, client, result["id"])
    assert text(events) == ODD and text(events, "stderr") == ODD
    path = f"/crownest/v1/commands/{result['id']}/stream"
    raw = server.native("GET", path)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.content.isascii() and b"\r" not in raw.content


async def test_characters_cut_by_the_pipe_are_whole_in_logs_and_streams(sdk, client, sandbox):
    program = (
        "import os,time\n"
        "for piece in [b'\\xf0', b'\\x9f\\x98', b'\\x80!', b'\\xe2\\x82', b'\\xac', b'\\xc3']:\n"
        "    os.write(1, piece); os.write(2, b'.'); time.sleep(0.02)\n"
    )
    await sdk(client.files.write, sandbox.id, "cut.py", program)
    command = await sdk(client.commands.start, sandbox.id, "python3 cut.py")
    live = await collected(sdk, client, command["id"])
    wanted = "\U0001f600!\u20ac\ufffd"
    assert text(live) == wanted
    logs, after = [], 0
    while page := await sdk(client.commands.logs, command["id"], after_seq=after, limit=1):
        logs += page
        after = page[-1]["seq"]
    assert "".join(c["data"] for c in logs if c["stream"] == "stdout") == wanted
    # From each number on: exactly the rest.
    for event in [event for event in live if event["type"] == "log"]:
        rest = await collected(sdk, client, command["id"], after_seq=event["seq"])
        assert rest == live[live.index(event) + 1 :]


async def test_a_stream_cut_anywhere_is_taken_up_without_gap_or_repeat(sdk, server, sandbox):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    # The SDK gives up after five breaks without a whole event; one may hold 64 KiB of output. All
    # of it is more than the first four connections may bring together.
    ranges = [(200, 30_000), (200, 30_000), (150_000, 300_000)] * 4
    cuts = [dice.randrange(*span) for span in ranges] + [None] * 1000
    proxy = Proxy(server.port, cuts)
    quiet = sdk.client(api_key=KEY, base_url=server.base_url, timeout=60)
    rough = sdk.client(api_key=KEY, base_url=f"{proxy.url}/crownest", timeout=60)
    fill = "x" * 300
    line = f"for i in $(seq 3000); do echo \"line $i ü😀 {fill}\"; [ $((i % 50)) = 0 ] && sleep 0.01; done"
    command = await sdk(quiet.commands.start, sandbox.id, line)
    events = await collected(sdk, rough, command["id"])
    seqs = [event["seq"] for event in events if event["type"] == "log"]
    assert seqs == sorted(set(seqs))
    assert text(events) == "".join(f"line {n} ü😀 {fill}\n" for n in range(1, 3001))
    assert events[-1]["command"]["exitCode"] == 0
    assert proxy.connections > 3
    proxy.close()
    await sdk.close(quiet)
    await sdk.close(rough)


async def test_a_server_killed_in_the_middle_of_a_stream_is_not_noticed(sdk, tmp_path):
    server = Server(tmp_path).start()
    try:
        client = sdk.client(api_key=KEY, base_url=server.base_url, timeout=60)
        sandbox = await sdk(client.sandboxes.create)
        line = "for i in $(seq 60); do echo line $i; sleep 0.1; done; exit 9"
        command = await sdk(client.commands.start, sandbox.id, line, env={"SECRET": "kept"})
        seen, killed = [], False
        async for event in sdk.each(client.commands.stream_logs, command["id"]):
            seen.append(event)
            if not killed and len(seen) == 8:
                killed = True
                server.kill()
                server.start()
        assert text(seen) == "".join(f"line {n}\n" for n in range(1, 61))
        seqs = [event["seq"] for event in seen if event["type"] == "log"]
        assert seqs == sorted(set(seqs))
        ended = seen[-1]["command"]
        assert (ended["status"], ended["exitCode"]) == ("exited", 9)
        assert ended == await sdk(client.commands.get, command["id"])
        found = await sdk(client.sandboxes.get, sandbox.id)
        assert found.status == "idle"
        await sdk.close(client)
    finally:
        server.stop()


async def test_errors_of_streams_are_json_and_end_it_at_once(sdk, client, sandbox, fails):
    with fails("not_found", 404):
        await collected(sdk, client, "cmd_0")
    result = await sdk(client.commands.run, sandbox.id, "true")
    with fails("invalid_request", 400, "afterSeq"):
        await collected(sdk, client, result["id"], after_seq=-1)


async def test_twenty_followers_see_the_same(sdk, client, sandbox):
    command = await sdk(client.commands.start, sandbox.id, "seq 2000; sleep 0.2; seq 2000")
    runs = await asyncio.gather(*(collected(sdk, client, command["id"]) for _ in range(20)))
    numbers = "".join(f"{n}\n" for n in range(1, 2001))
    for events in runs:
        assert text(events) == numbers * 2
        assert events[-1] == runs[0][-1]
