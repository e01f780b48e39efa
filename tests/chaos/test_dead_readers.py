"""Readers that stand still: they hold up neither commands, nor each other, nor the server's end."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from urllib.parse import urlsplit

from outside import forget_peak, memory_kib, until
from reader import Reader
from support.server import Server
from wire import Caller

LINES = 3_000_000
#: What the command writes is 23 MB. Held in memory for each of the dead readers it would be several
#: times the bound.
DEAD_READERS = 12
WAYS = ("stream", "output?follow=true")
MEMORY_BOUND_KIB = 64 << 10


def dead_reader(caller: Caller, path: str) -> socket.socket:
    """Asks and never reads."""
    parts = urlsplit(caller.url)
    # As little as the kernel allows is taken on this side.
    ours = socket.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ours.connect((parts.hostname, parts.port))
    head = f"GET {path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {caller.key}\r\n\r\n"
    ours.sendall(head.encode())
    return ours


def unfinished_requests(caller: Caller, box: str) -> list[socket.socket]:
    """Callers that stop in the middle of their head, or of their body."""
    parts = urlsplit(caller.url)
    head = (
        f"POST /v1/sandboxes/{box}/run HTTP/1.1\r\nhost: here\r\n"
        f"authorization: Bearer {caller.key}\r\ncontent-type: application/json\r\n"
        "content-length: 100\r\n\r\n"
    ).encode()
    opened = []
    for sent in range(0, len(head) + 14, 10):
        ours = socket.create_connection((parts.hostname, parts.port))
        ours.sendall((head + b'{"shell": "ec')[:sent])
        opened.append(ours)
    return opened


def test_readers_that_stand_still_hold_up_nobody_and_cost_the_server_no_memory(
    server: Server, caller: Caller
) -> None:
    """Twelve sockets are never read, and one reader stops in the middle until all others are done.

    The one that stopped then reads on, and another begins anew; both get every byte. The server keeps
    to a bound of memory meanwhile, destroys the sandbox under the dead readers, and ends when it is
    asked to, though they never let go, nor callers whose requests never came to an end.

    Seen to fail: with an unbounded queue between a journal and its event streams, which grew the server
    by 168 MB; with a server that waited for its connections for an hour before it ended.
    """
    box = caller.create()
    line = f"while ! test -e go; do sleep 0.05; done; seq 1 {LINES}; exit 3"
    command = caller.start(box, "sh", "-c", line)
    expected = hashlib.sha256(b"".join(b"%d\n" % n for n in range(1, LINES + 1))).hexdigest()
    stopped, go_on = threading.Event(), threading.Event()

    def stop(_: int) -> None:
        stopped.set()
        go_on.wait()

    with contextlib.ExitStack() as sockets:
        for number in range(DEAD_READERS):
            path = f"/v1/commands/{command}/{WAYS[number % 2]}"
            sockets.enter_context(dead_reader(caller, path))
        for unfinished in unfinished_requests(caller, box):
            sockets.enter_context(unfinished)
        slow = Reader(lambda: caller, command, stop).start()
        quick = Reader(lambda: caller, command).start()
        before = memory_kib(server.pid, "VmRSS")
        forget_peak(server.pid)
        assert caller.sh(box, "touch go; echo here")["stdout"] == "here\n"
        until(stopped.is_set, "the slow one has got something")
        quick.join()
        assert caller.ended(command)["exit_code"] == 3
        grown = memory_kib(server.pid, "VmHWM") - before
        print(f"the server grew by {grown} KiB")
        assert grown < MEMORY_BOUND_KIB
        assert slow.end is None and slow.last < quick.last
        go_on.set()
        for reader in (quick, slow.join()):
            assert hashlib.sha256(reader.stdout).hexdigest() == expected
        caller.destroy(box)
        assert hashlib.sha256(caller.output(command, "stdout")).hexdigest() == expected
        server.stop()
    server.start()
