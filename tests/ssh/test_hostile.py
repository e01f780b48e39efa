"""Clients that have logged in and mean harm: floods, packets that are too large, input that nobody reads."""

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
)
from world import Box, Pinfold, until

KIB = 1 << 10
MIB = 1 << 20
#: What the gateway says that it takes in one packet, and what a program may leave unread.
PACKET = 32 * KIB
UNREAD = MIB


def is_well(transport: paramiko.Transport) -> None:
    """The connection carries a command."""
    channel = transport.open_session(timeout=120)
    channel.settimeout(120)
    channel.exec_command("echo well")
    assert channel.makefile().read() == b"well\n"
    assert channel.recv_exit_status() == 0


def running(transport: paramiko.Transport, line: str) -> paramiko.Channel:
    """A command that has begun, and whatever comes of it is not waited for."""
    channel = transport.open_session(timeout=120)
    channel.settimeout(120)
    channel.exec_command(f"echo begun; {line}")
    assert channel.recv(6) == b"begun\n"
    return channel


def request(channel: paramiko.Channel, name: str, *fields: object) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(bytes([MSG_CHANNEL_REQUEST]))
    message.add_int(channel.remote_chanid)
    message.add_string(name)
    message.add_boolean(False)
    for field in fields:
        if isinstance(field, bool):
            message.add_boolean(field)
        elif isinstance(field, int):
            message.add_int(field)
        else:
            message.add_string(field)
    return message


def data(channel: paramiko.Channel, content: bytes, stream: int | None = None) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(bytes([MSG_CHANNEL_DATA if stream is None else MSG_CHANNEL_EXTENDED_DATA]))
    message.add_int(channel.remote_chanid)
    if stream is not None:
        message.add_int(stream)
    message.add_string(content)
    return message


def say(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Sends what no client would, whatever the library thinks of it."""
    channel.transport._send_user_message(message)  # noqa: SLF001


#: Requests that can only come before a program begins, or never.
LATE: dict[str, Callable[[paramiko.Channel, int], paramiko.Message]] = {
    "exec": lambda channel, size: request(channel, "exec", b"x" * size),
    "env": lambda channel, size: request(channel, "env", b"A", b"x" * (size - 1)),
    "subsystem": lambda channel, size: request(channel, "subsystem", b"x" * size),
    "signal": lambda channel, size: request(channel, "signal", b"x" * size),
    "x11": lambda channel, size: request(channel, "x11-req", False, b"x" * size, b"", 0),
    "terminal": lambda channel, size: request(channel, "pty-req", b"x" * size, 80, 24, 0, 0, b""),
}
PACKETS = {
    **LATE,
    "data": lambda channel, size: data(channel, b"x" * size),
    "extended": lambda channel, size: data(channel, b"x" * size, stream=1),
}


@pytest.mark.parametrize("kind", PACKETS)
def test_a_packet_that_is_too_large_ends_its_connection_and_one_that_is_not_does_not(
    box: Box, kind: str
) -> None:
    with box.way.library() as other, box.way.library() as transport:
        channel = running(transport, "cat >/dev/null")
        say(channel, PACKETS[kind](channel, PACKET))
        is_well(transport)
        say(channel, PACKETS[kind](channel, PACKET + 1))
        until(lambda: not transport.is_active(), "the connection's end")
        is_well(other)


def test_a_line_as_long_as_the_kernel_takes_is_run(box: Box) -> None:
    with box.way.library() as transport:
        channel = transport.open_session()
        line = "echo done #" + "x" * (100 * KIB)
        channel.exec_command(line)
        assert channel.makefile().read() == b"done\n"


def test_requests_that_nobody_reads_take_no_memory(own: Pinfold) -> None:
    with own.box() as box, box.way.library() as transport:
        channel = running(transport, "exec sleep 1000")
        # As much as may wait, and a little less: behind it, everything waits that is kept at all.
        channel.sendall(bytes(UNREAD - PACKET))
        own.peak_begins()
        before = own.peak()
        for _ in range(500):
            for late in LATE.values():
                say(channel, late(channel, PACKET))
        is_well(transport)
        assert own.peak() - before < 40 * MIB


def test_a_signal_passes_input_by_that_nobody_reads(box: Box) -> None:
    with box.way.library() as transport:
        channel = running(transport, "exec sleep 1000")
        channel.sendall(bytes(UNREAD - PACKET))
        say(channel, request(channel, "signal", b"TERM"))
        assert channel.recv_exit_status() == -1, "no exit code, but a signal"
        assert not [command for command in box.commands() if not command["ended_at"]]


def test_answers_that_nobody_takes_wait_in_the_sandbox(own: Pinfold) -> None:
    with own.box() as box, box.way.library() as transport:
        box.shell("head -c 400M /dev/zero > /tmp/zeros")
        # It takes packets of any size, and at first next to nothing.
        most = (1 << 32) - 1
        channel = transport.open_session(window_size=PACKET, max_packet_size=most)
        channel.invoke_subsystem("sftp")
        sftp = paramiko.SFTPClient(channel)
        file = sftp.open("/tmp/zeros", "rb")
        for n in range(1500):
            read = paramiko.Message()
            read.add_byte(bytes([5]))
            read.add_int(n)
            read.add_string(file.handle)
            read.add_int64(n * 255 * KIB)
            read.add_int(255 * KIB)
            body = read.asbytes()
            say(channel, data(channel, struct.pack(">I", len(body)) + body))
        is_well(transport)
        own.peak_begins()
        before = own.peak()
        silent = threading.Event()
        # Now it may be sent everything at once, and reads nothing of it until then.
        stop = {MSG_CHANNEL_DATA: lambda *_: silent.wait(120)}
        transport._channel_handler_table = {**transport._channel_handler_table, **stop}  # noqa: SLF001
        room = paramiko.Message()
        room.add_byte(bytes([MSG_CHANNEL_WINDOW_ADJUST]))
        room.add_int(channel.remote_chanid)
        room.add_int(most >> 1)
        say(channel, room)
        until(lambda: rests(own.server.pid), "the end of what it does ahead")
        assert own.peak() - before < 60 * MIB
        silent.set()


def rests(pid: int) -> bool:
    """Whether the process has next to nothing to do."""

    def ticks() -> int:
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(stat[11]) + int(stat[12])

    before = ticks()
    time.sleep(1)
    return ticks() - before <= 2


@contextlib.contextmanager
def stuffed(channel: paramiko.Channel) -> Iterator[None]:
    """Meanwhile it is sent as much as goes."""

    def stuff() -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while True:
                channel.sendall(bytes(PACKET))

    thread = threading.Thread(target=stuff)
    thread.start()
    yield
    channel.close()
    thread.join(120)
    assert not thread.is_alive()


def test_a_program_that_reads_nothing_holds_up_other_channels_for_a_moment_only(box: Box) -> None:
    with box.way.library() as transport:
        other = transport.open_session()
        other.settimeout(120)
        other.exec_command("cat")
        stuck = transport.open_session(window_size=PACKET)
        # Its client takes no more output either: what is told of its end finds no room.
        stuck.exec_command("head -c 100000 /dev/zero; exec sleep 1000")
        with stuffed(stuck):
            until(stuck.exit_status_ready, "the end of that channel", seconds=180)
            assert stuck.recv_exit_status() == 255
            other.sendall(b"still in\n")
            assert other.recv(100) == b"still in\n"
        other.shutdown_write()
        assert other.recv_exit_status() == 0
        is_well(transport)


def test_a_goodbye_is_heard_behind_input_that_nobody_reads(box: Box) -> None:
    with box.way.library() as transport:
        channel = running(transport, "exec sleep 1000")
        channel.settimeout(5)
        # Until neither the program nor the gateway takes more.
        with contextlib.suppress(TimeoutError):
            while True:
                channel.sendall(bytes(PACKET))
        assert transport.is_active()
        channel.close()
        until(lambda: not [c for c in box.commands() if not c["ended_at"]], "the command's end")
        is_well(transport)


def test_files_of_one_connection_have_a_bound(box: Box) -> None:
    box.shell("touch /tmp/file")
    with box.way.library() as transport:
        sessions = [paramiko.SFTPClient.from_transport(transport) for _ in range(3)]
        files = []
        with pytest.raises(OSError, match="too many files open"):
            for n in range(100):
                files.append(sessions[n % 3].open("/tmp/file", "rb"))
        assert len(files) == 64
        with pytest.raises(OSError, match="too many files open"):
            sessions[0].listdir("/tmp")
        with box.way.library() as other:
            assert paramiko.SFTPClient.from_transport(other).listdir("/tmp") == ["file"]
        for file in files[:2]:
            file.close()
        assert sessions[1].listdir("/tmp") == ["file"]
        # A session that is gone has nothing open.
        for session in sessions[1:]:
            session.close()
        until(lambda: can_open(sessions[0], 40), "room for more")


def can_open(session: paramiko.SFTPClient, count: int) -> bool:
    with contextlib.ExitStack() as files:
        try:
            for _ in range(count):
                files.enter_context(session.open("/tmp/file", "rb"))
        except OSError:
            return False
        return True


def test_a_client_that_vanishes_without_a_word_is_looked_for(box: Box) -> None:
    with box.way.library() as transport:
        here = transport.sock.getsockname()[1]
        there = box.way.gateway["port"]
        is_well(transport)

        def timers() -> list[str]:
            """Of the server's end, while nothing is on its way: 02 is keep-alive, see proc_net_tcp."""
            lines = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
            ends = (f":{there:04X}", f":{here:04X}")
            return [line[5][:2] for line in lines if (line[1][-5:], line[2][-5:]) == ends]

        until(lambda: timers() == ["02"], "its timer")
