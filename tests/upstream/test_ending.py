"""Who stops waiting leaves nothing behind: timeouts, interrupts, cancelled tasks, lost objects."""

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import eventually
from fakes import CLOSE, Asked, fake, works

from pinfold.upstream import AsyncUpstream, SandboxError, TimeoutError, Upstream, UpstreamError

SLEEPS = ["bash", "-c", "sleep 5309 & sleep 5309"]


@pytest.fixture
def plain(server: Any) -> Iterator[Upstream]:
    """The sync client, for looking on."""
    with Upstream(server.key, base_url=server.dialect) as client:
        yield client


def sleeps(sandbox: Any) -> bool:
    return bool(sandbox.exec(["pgrep", "-f", "sleep 5309"]).exit_code == 0)


def live(client: Any) -> int:
    return int(client.usage().raw["live_sandboxes"])


def interrupted(call: Callable[[], Any], when: Callable[[], Any]) -> None:
    """Ctrl-C amid a call, once a condition holds."""

    def interrupt() -> None:
        eventually(when, 20)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    # What a shell starts in the background ignores Ctrl-C, and so would this process.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)


def cancelled(server: Any, call: Callable[[AsyncUpstream], Awaitable[Any]], when: Callable[[], Any]) -> None:
    """A task that is cancelled amid a call, once a condition holds."""

    async def main() -> None:
        async with AsyncUpstream(server.key, base_url=server.dialect) as client:
            task = asyncio.ensure_future(call(client))
            await asyncio.to_thread(eventually, when, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_ctrl_c_amid_an_exec_kills_the_command(plain: Upstream, server: Any) -> None:
    with plain.sandbox() as sandbox, Upstream(server.key, base_url=server.dialect) as other:
        interrupted(
            lambda: type(sandbox)(other._transport, sandbox.sandbox_id).exec(SLEEPS),
            lambda: sleeps(sandbox),
        )
        eventually(lambda: not sleeps(sandbox), 5)


def test_a_cancelled_exec_kills_the_command(plain: Upstream, server: Any) -> None:
    with plain.sandbox() as sandbox:

        async def run(client: AsyncUpstream) -> None:
            from pinfold.upstream._async.sandbox import AsyncSandbox

            await AsyncSandbox(client._transport, sandbox.sandbox_id).exec(SLEEPS)

        cancelled(server, run, lambda: sleeps(sandbox))
        eventually(lambda: not sleeps(sandbox), 5)


LONG = "```bash\nsleep 5309\n```\n"


def test_ctrl_c_amid_a_run_cancels_it(plain: Upstream, server: Any) -> None:
    before = live(plain)
    with Upstream(server.key, base_url=server.dialect) as client:
        interrupted(lambda: client.run(LONG, poll_interval=0.1), lambda: live(plain) > before)
    eventually(lambda: live(plain) == before)


def test_a_cancelled_run_is_cancelled_on_the_server(plain: Upstream, server: Any) -> None:
    before = live(plain)
    cancelled(server, lambda client: client.run(LONG, poll_interval=0.1), lambda: live(plain) > before)
    eventually(lambda: live(plain) == before)


def test_a_run_past_its_timeout_is_cancelled_also_where_polls_are_far_apart(client: Any) -> None:
    before, began = live(client), time.monotonic()
    with pytest.raises(TimeoutError) as late:
        client.run(LONG, poll_interval=60, timeout=1.5)
    assert late.value.status_code is None and time.monotonic() - began < 10
    eventually(lambda: live(client) == before)


@pytest.mark.parametrize("silent", ["POST", "GET"])
def test_a_run_keeps_to_its_timeout_where_the_server_is_silent(
    connect: Callable[..., Any], silent: str
) -> None:
    release = threading.Event()

    def handle(asked: Asked) -> Any:
        first = sum(each.method == silent for each in seen.asked) == 1
        if asked.method == silent and (first or silent == "GET"):
            release.wait(20)
            return CLOSE
        return works(asked)

    with fake(handle) as seen:
        client, began = connect("sk-x", seen.url), time.monotonic()
        with pytest.raises(TimeoutError):
            client.run("x", timeout=1.0)
        assert time.monotonic() - began < 10
        # The same request told the run's number, and the run was cancelled.
        eventually(lambda: seen.count("POST", "/runs/7/cancel") == 1)
        release.set()


def test_a_sandbox_that_nobody_learned_of_is_deleted(connect: Callable[..., Any]) -> None:
    release = threading.Event()

    def handle(asked: Asked) -> Any:
        if seen.count("POST", "/sandboxes") == 1 and asked.method == "POST":
            release.wait(20)
            return CLOSE
        return works(asked)

    with fake(handle) as seen:
        with pytest.raises(TimeoutError):
            connect("sk-x", seen.url).sandbox(ready_timeout=1.0)
        release.set()
        eventually(lambda: seen.count("DELETE", "/sandboxes/sb-1") == 1)
        keys = {each.headers["idempotency-key"] for each in seen.asked if each.method == "POST"}
        assert len(keys) == 1


def test_a_cancelled_opening_leaves_no_sandbox() -> None:
    def handle(asked: Asked) -> None:
        if asked.method == "GET":
            asked.answer(200, {"sandbox_id": "sb-1", "status": "creating"})
        else:
            works(asked)

    with fake(handle) as seen:

        async def opened() -> None:
            async with AsyncUpstream("sk-x", base_url=seen.url) as client:

                async def enter() -> None:
                    async with client.sandbox():
                        raise AssertionError("never ready")

                task = asyncio.ensure_future(enter())
                await asyncio.to_thread(eventually, lambda: seen.count("GET", "/sb-1") > 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await asyncio.to_thread(eventually, lambda: seen.count("DELETE", "/sb-1") == 1)

        asyncio.run(opened())


def test_a_block_that_is_cancelled_destroys_its_sandbox(plain: Upstream, server: Any) -> None:
    before = live(plain)

    async def block(client: AsyncUpstream) -> None:
        async with client.sandbox() as sandbox:
            await sandbox.exec(["sleep", "600"])

    cancelled(server, block, lambda: live(plain) > before)
    eventually(lambda: live(plain) == before)


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_a_sandbox_that_will_never_be_ready_is_an_error(
    connect: Callable[..., Any], status: str
) -> None:
    def handle(asked: Asked) -> None:
        if asked.method == "GET":
            error = {"code": "sandbox_failed", "message": "why it failed"}
            asked.answer(200, {"sandbox_id": "sb-1", "status": status, "error": error})
        else:
            works(asked)

    with fake(handle) as seen:
        with pytest.raises(SandboxError) as raised:
            connect("sk-x", seen.url).sandbox()
        assert (status == "failed") == (str(raised.value) == "why it failed")
        assert seen.count("DELETE", "/sandboxes/sb-1") == 1


def test_every_exchange_is_bounded_by_the_timeout(connect: Callable[..., Any]) -> None:
    release = threading.Event()

    def drip(asked: Asked) -> Any:
        asked.write(b"HTTP/1.1 200 x\r\ncontent-length: 1000\r\n\r\n")
        while not release.wait(0.2):
            asked.write(b" ")
        return CLOSE

    with fake(drip) as seen:
        client, began = connect("sk-x", seen.url, timeout=1.0), time.monotonic()
        with pytest.raises(TimeoutError) as late:
            client.usage()
        assert late.value.status_code is None and time.monotonic() - began < 5
        release.set()


# --- Streams ---------------------------------------------------------------------------------------


def test_a_finalizer_waits_for_no_lock(plain: Upstream) -> None:
    """The garbage collector runs where it likes: also where this thread holds the library's lock."""
    with plain.sandbox() as sandbox:
        for in_a_cycle in (False, True):
            result = sandbox.exec([*SLEEPS[:2], "echo a; " + SLEEPS[2]], stream=True)
            assert next(result.stdout) == "a"
            if in_a_cycle:
                result.itself = result  # type: ignore[attr-defined]
            pool: Any = plain._transport._home.client()._transport._pool  # type: ignore[attr-defined]
            with pool._optional_thread_lock:
                del result
                gc.collect()
            eventually(lambda: not sleeps(sandbox), 5)


def test_close_waits_for_no_lock_either(plain: Upstream) -> None:
    with plain.sandbox() as sandbox:
        result = sandbox.exec([*SLEEPS[:2], "echo a; " + SLEEPS[2]], stream=True)
        assert next(result.stdout) == "a"
        pool: Any = plain._transport._home.client()._transport._pool  # type: ignore[attr-defined]
        with pool._optional_thread_lock:
            result.close()
        eventually(lambda: not sleeps(sandbox), 5)
        assert list(result) == [] and result.exit_code is None


def test_lost_and_closed_streams_leave_no_descriptor(client: Any, sandbox: Any) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    sandbox.exec(["true"])
    before = descriptors()
    for number in range(20):
        result = sandbox.exec(["bash", "-c", "echo a; exec sleep 600"], stream=True)
        assert next(result.stdout) == "a"
        if number % 2:
            result.close()
        del result
    gc.collect()
    sandbox.exec(["true"])
    eventually(lambda: descriptors() <= before + 3)
    transport = getattr(client, "_inner", client)._transport
    assert not transport._streams and not transport._lost


def test_a_stream_that_ended_spares_the_connection_it_had(connect: Callable[..., Any]) -> None:
    """Losing an old stream must not hang up on whoever has its connection by now."""
    ended = (b'event: exit\ndata: {"exit_code": 0, "duration_ms": 1}\n\n',)

    def handle(asked: Asked) -> None:
        if b'"stream"' in asked.body:
            asked.events(*ended)
            asked.write(b"0\r\n\r\n")
        else:
            works(asked)

    with fake(handle) as seen:
        sandbox = connect("sk-x", seen.url).sandbox()
        results = []
        for _ in range(10):
            result = sandbox.exec(["true"], stream=True)
            assert list(result) == [] and result.exit_code == 0
            results.append(result)
            assert sandbox.exec(["true"]).stdout == "out"
        posts = seen.count("POST", "/exec")
        while results:
            results.pop()
            gc.collect()
            assert sandbox.exec(["true"]).stdout == "out"
        assert seen.count("POST", "/exec") == posts + 10


def test_closing_the_client_ends_its_streams(connect: Callable[..., Any], sandbox: Any) -> None:
    other = connect()
    mine = type(getattr(sandbox, "_inner", sandbox))
    twin = mine(getattr(other, "_inner", other)._transport, sandbox.sandbox_id)
    if hasattr(sandbox, "_inner"):
        from conftest import Blocking

        twin = Blocking(twin, sandbox._loop)
    result = twin.exec([*SLEEPS[:2], "echo a; " + SLEEPS[2]], stream=True)
    assert next(result.stdout if mine.__name__ == "Sandbox" else result) == "a"
    other.close()
    eventually(lambda: not sleeps(sandbox), 5)


def test_silence_is_no_fault_and_the_timeout_bounds_the_start_only(connect: Callable[..., Any]) -> None:
    with connect(timeout=1.0).sandbox() as sandbox:
        result = sandbox.exec(["bash", "-c", "sleep 2.5; echo late"], stream=True)
        assert list(result) == ["late"] and result.exit_code == 0


BROKEN = [
    (b'event: stdout\ndata: {"text": "a\\nb"}\n\n',),
    (b'event: stdout\ndata: {"text": "a\\nb"}\n\n', b"event: exit\ndata: {}\n\n"),
    (b'event: stdout\ndata: {"text": "a\\nb"}\n\n', b"event: exit\ndata: nothing\n\n"),
    (b'event: stdout\ndata: {"text": "a\\nb"}\n\n', b'event: stdout\ndata: {"text": 1}\n\n'),
]


@pytest.mark.parametrize("pieces", BROKEN)
@pytest.mark.parametrize("proper_end", [False, True])
def test_a_stream_that_breaks_raises_behind_its_last_line(
    connect: Callable[..., Any], pieces: tuple[bytes, ...], proper_end: bool
) -> None:
    def handle(asked: Asked) -> Any:
        if not asked.path.endswith("/exec"):
            return works(asked)
        asked.events(*pieces)
        if proper_end:
            asked.write(b"0\r\n\r\n")
        return CLOSE

    with fake(handle) as seen:
        result = connect("sk-x", seen.url).sandbox().exec(["true"], stream=True)
        lines = []
        with pytest.raises(UpstreamError) as raised:
            for line in result:
                lines.append(line)
        assert lines == ["a", "b"] and type(raised.value) is UpstreamError
        assert result.exit_code is None
        # Raised once; what is iterated further is empty.
        assert list(result) == []


def test_pieces_are_joined_and_other_events_skipped(connect: Callable[..., Any]) -> None:
    text = 'é€\\u2028\\r\\n😀x\\n\\n'
    stream = (
        ": ping\n\nevent: stderr\ndata: {\"text\": \"no\"}\n\nid: 1\r\nevent: stdout\r\n"
        f'data: {{"text": "{text}"}}\r\n\r\nevent: of_later\ndata: {{}}\n\n'
        'event: stdout\ndata: {"text": "end"}\n\nevent: exit\ndata: {"exit_code": 3, "duration_ms": 1}\n\n'
    ).encode()

    def handle(asked: Asked) -> None:
        if asked.path.endswith("/exec"):
            asked.events(*(stream[n : n + 1] for n in range(len(stream))))
            asked.write(b"0\r\n\r\n")
        else:
            works(asked)

    with fake(handle) as seen:
        result = connect("sk-x", seen.url).sandbox().exec(["true"], stream=True)
        assert list(result) == ["é€\u2028\r", "😀x", "", "end"]
        assert result.exit_code == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(410, SandboxError), (413, SandboxError), (500, UpstreamError), (0, UpstreamError)]
)
def test_an_error_amid_a_stream_is_that_of_its_status(
    connect: Callable[..., Any], status: int, kind: type[UpstreamError]
) -> None:
    told = b'event: error\ndata: {"code": "c", "message": "why", "status": %d}\n\n' % status

    def handle(asked: Asked) -> None:
        if asked.path.endswith("/exec"):
            asked.events(told)
            asked.write(b"0\r\n\r\n")
        else:
            works(asked)

    with fake(handle) as seen:
        result = connect("sk-x", seen.url).sandbox().exec(["true"], stream=True)
        with pytest.raises(UpstreamError, match="why") as raised:
            list(result)
        assert type(raised.value) is kind and raised.value.status_code == (status or None)


def test_a_raw_caller_that_hangs_up_ends_its_command(plain: Upstream, server: Any) -> None:
    """Not only this SDK: the contract says so of every connection, streamed or not."""
    with plain.sandbox() as sandbox:
        parts = urlsplit(server.dialect)
        for stream in (b"false", b"true"):
            body = b'{"command": ["bash", "-c", "sleep 5309 & sleep 5309"], "stream": %s}' % stream
            head = (
                f"POST {parts.path}/v1/sandboxes/{sandbox.sandbox_id}/exec HTTP/1.1\r\nhost: x\r\n"
                f"authorization: Bearer {server.key}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            with socket.create_connection((parts.hostname, parts.port)) as connection:
                connection.sendall(head.encode() + body)
                eventually(lambda: sleeps(sandbox))
            eventually(lambda: not sleeps(sandbox), 5)


def test_leaving_a_block_with_an_open_stream_and_no_reader_is_prompt(client: Any) -> None:
    with client.sandbox() as sandbox:
        result = sandbox.exec(["yes"], stream=True)
        time.sleep(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert result.exit_code is None
    with pytest.raises(SandboxError):
        sandbox.exec(["true"])


def test_many_tasks_share_one_async_client_and_none_blocks_the_loop(server: Any) -> None:
    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        async with AsyncUpstream(server.key, base_url=server.dialect) as client:
            ticking = asyncio.ensure_future(tick())
            async with client.sandbox(vcpu=4) as sandbox:
                command = ["bash", "-c", "sleep 1; echo $0"]
                done = await asyncio.gather(*(sandbox.exec([*command, str(n)]) for n in range(20)))
                assert [each.stdout for each in done] == [f"{n}\n" for n in range(20)]
            ticking.cancel()
        assert ticks > 30

    asyncio.run(main())


CUTS = [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 x\r\ncontent-length: 9\r\n\r\n{", b"\x00\xff\r\n\r\n"]


@pytest.mark.parametrize("begun", CUTS)
def test_nothing_of_the_http_library_escapes_a_cut_connection(
    connect: Callable[..., Any], begun: bytes
) -> None:
    def handle(asked: Asked) -> Any:
        asked.write(begun)
        return CLOSE

    with fake(handle) as seen:
        with pytest.raises(UpstreamError) as raised:
            connect("sk-x", seen.url).usage()
        assert type(raised.value) is UpstreamError and raised.value.status_code is None
