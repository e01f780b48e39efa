"""The gateway itself: its key, its crashes, and clients that mean it harm."""

import contextlib
import re
import socket
import stat
from pathlib import Path

import pytest
from support.server import Server
from world import Box, Pinfold, Way, run, until

SILENT = 200


def connected(box: Box) -> socket.socket:
    gateway = box.way.gateway
    return socket.create_connection((gateway["host"], gateway["port"]), timeout=60)


def is_well(box: Box) -> None:
    done = box.way.ssh("echo well")
    assert done.stdout == "well\n", done.stderr


def test_a_killed_server_comes_back_with_its_key_and_its_keys(own: Pinfold) -> None:
    with own.box() as box:
        way = box.way
        client = way.begin("echo begun; sleep 1000")
        assert client.stdout is not None
        assert client.stdout.readline() == b"begun\n"
        own.server.kill()
        assert client.wait(60) == 255
        own.server.start()
        until(lambda: "sleep" not in box.shell("cat /proc/[0-9]*/comm"), "the end of what nobody waits for")
        after = box.key()
        assert after["gateway"]["host_key"] == way.gateway["host_key"]
        # It listens on a port of its own each time; the key, the user and the private half stay.
        again = Way(box, after, way.identity)
        assert again.ssh("echo again").stdout == "again\n"


def test_the_host_key_is_its_owners(own: Pinfold) -> None:
    path = own.server.data / "ssh_host_ed25519_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    log = (own.server.directory / "server.log").read_text()
    lines = path.read_text().splitlines()[1:-1]
    assert lines and not [line for line in lines if line in log]


def test_a_server_without_a_gateway_says_so(tmp_path: Path) -> None:
    server = Server(tmp_path / "none", ssh="none")
    server.start()
    try:
        pinfold = Pinfold(server, tmp_path)
        made = pinfold.call("POST", "/v1/sandboxes", json={"memory_mib": 256})
        answer = server.native("POST", f"/v1/sandboxes/{made['id']}/ssh-keys", json={})
        assert answer.json()["error"]["code"] == "unsupported"
        assert "--ssh-listen" in answer.text
    finally:
        server.stop()


def test_a_stopping_server_tells_who_is_in(own: Pinfold) -> None:
    with own.box() as box:
        client = box.way.begin("echo begun; sleep 1000")
        assert client.stdout is not None and client.stderr is not None
        assert client.stdout.readline() == b"begun\n"
        own.server.stop()
        assert client.wait(60) == 255
        assert b"shutting down" in client.stderr.read()
        own.server.start()


def test_silent_clients_keep_nobody_out(box: Box) -> None:
    crowd = [connected(box) for _ in range(SILENT)]
    is_well(box)
    for n, silent in enumerate(crowd):
        # Some say who they are and then nothing more.
        if n % 2:
            with contextlib.suppress(OSError):
                silent.sendall(b"SSH-2.0-silent\r\n")
    is_well(box)
    for silent in crowd:
        silent.close()
    is_well(box)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-1.5-old\r\n",
        b"\0" * 100_000,
        b"A" * 1_000_000,
        b"SSH-2.0-x\r\n" + b"\xff" * 1_000_000,
        b"SSH-2.0-x\r\n" + b"\0\0\0\x0c\x0a\x14" + b"\0" * 10,
        b"SSH-2.0-x\r\n" + b"\x7f\xff\xff\xff",
        b"\r\n" * 100_000,
    ],
    ids=range(8),
)
def test_what_is_no_ssh_ends_and_harms_nobody(box: Box, said: bytes) -> None:
    with connected(box) as client:
        with contextlib.suppress(OSError):
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    is_well(box)


def test_many_wrong_keys_in_a_row_are_cut_off(box: Box) -> None:
    line = box.way.command("true")
    for n in range(12):
        path = box.pinfold.directory / f"wrong{n}"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)])
        line[1:1] = ["-i", str(path)]
    refused = run(line)
    assert refused.returncode == 255
    assert "Too many authentication" in refused.stderr or "Permission denied" in refused.stderr
    is_well(box)


def test_a_sandbox_has_a_bound_of_connections(box: Box) -> None:
    # Those beyond the bound are told, and end.
    clients = [box.way.begin(options=("-N",)) for _ in range(40)]

    def full() -> bool:
        return "too many SSH connections" in box.way.ssh("true").stderr

    until(full, "the bound")
    with box.pinfold.box() as other:
        is_well(other)
    for client in clients:
        client.kill()
        client.communicate()
    until(lambda: box.way.ssh("true").returncode == 0, "room again")


def test_channels_of_one_connection_have_a_bound(box: Box) -> None:
    control = box.pinfold.directory / "c"
    client = box.way.begin(options=("-o", f"ControlPath={control}", "-o", "ControlMaster=yes", "-N"))
    until(control.exists, "the connection")
    shared = ("-o", f"ControlPath={control}", "-o", "ControlMaster=no")
    # Those beyond the bound make connections of their own.
    running = [box.way.begin("cat", options=shared) for _ in range(40)]

    def full() -> bool:
        return "session request failed" in box.way.ssh("true", options=shared).stderr

    until(full, "the bound")
    for command in running:
        out, _ = command.communicate(b"x", timeout=60)
        assert out == b"x"
    until(lambda: box.way.ssh("true", options=shared).returncode == 0, "room again")
    client.kill()
    client.communicate()


def test_the_log_has_no_word_of_what_goes_through(own: Pinfold) -> None:
    with own.box() as box:
        box.way.ssh("echo hunter2", input="hunter3\n", options=("-o", "SetEnv=A=hunter4"))
        log = (own.server.directory / "server.log").read_text()
    assert not re.search("hunter[234]", log), log
