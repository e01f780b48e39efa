"""Ports inside, forwarded over SSH."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from world import Box, Pinfold, until

PAGE = "served inside\n" * 20000


@pytest.fixture
def web(box: Box) -> Box:
    """A sandbox with a web server on port 8000."""
    box.shell(f"mkdir www; yes 'served inside' | head -n {PAGE.count(chr(10))} > www/page")
    server = "cd www && exec python3 -m http.server 8000 --bind 127.0.0.1"
    box.pinfold.call("POST", f"{box.path}/commands", json={"shell": server})
    until(lambda: "0100007F:1F40" in box.shell("cat /proc/net/tcp"), "the web server")
    return box


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def forwarded(box: Box, inside: str) -> Iterator[int]:
    port = free_port()
    client = box.way.begin(options=("-N", "-L", f"127.0.0.1:{port}:{inside}"))
    try:
        until(lambda: listens(port), "the forwarded port")
        yield port
    finally:
        client.kill()
        client.communicate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_forwarded_port_reaches_a_server_inside(web: Box) -> None:
    with forwarded(web, "localhost:8000") as port:
        with httpx.Client(trust_env=False, timeout=60) as http:
            for _ in range(20):
                assert http.get(f"http://127.0.0.1:{port}/page").text == PAGE
            assert http.get(f"http://127.0.0.1:{port}/none").status_code == 404


def test_standard_input_and_output_can_be_a_port_inside(web: Box) -> None:
    request = b"GET /page HTTP/1.0\r\n\r\n"
    done = web.way.ssh(options=("-W", "localhost:8000"), input=request)
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"200 OK" in head and body == PAGE.encode()


def test_a_port_that_echoes_takes_more_than_all_buffers_hold(box: Box) -> None:
    echo = (
        "import socketserver, sys, shutil\n"
        "class Echo(socketserver.StreamRequestHandler):\n"
        "    def handle(self): shutil.copyfileobj(self.rfile, self.wfile)\n"
        "socketserver.TCPServer(('127.0.0.1', 9000), Echo).serve_forever()\n"
    )
    box.pinfold.call("POST", f"{box.path}/commands", json={"argv": ["python3", "-c", echo]})
    until(lambda: ":2328" in box.shell("cat /proc/net/tcp"), "the echo")
    content = bytes(range(256)) * (100 << 10)
    done = box.way.ssh(options=("-W", "localhost:9000"), input=content)
    assert done.returncode == 0, done.stderr
    assert done.stdout == content


def test_a_port_where_nobody_listens_says_so(box: Box) -> None:
    done = box.way.ssh(options=("-W", "localhost:9"))
    assert done.returncode == 255
    assert "nothing listens on port 9" in done.stderr


@pytest.mark.parametrize("place", ["127.0.0.2:80", "169.254.169.254:80", "example.org:443", "10.0.0.1:22"])
def test_nobody_gets_on_from_a_sandbox(box: Box, place: str) -> None:
    done = box.way.ssh(options=("-W", place))
    assert done.returncode == 255
    assert "only ports of the sandbox itself" in done.stderr


def test_the_servers_own_ports_are_not_the_sandboxs(box: Box) -> None:
    done = box.way.ssh(options=("-W", f"localhost:{box.pinfold.server.port}"))
    assert done.returncode == 255
    assert "nothing listens" in done.stderr


def test_forwarding_ends_with_its_client(web: Box) -> None:
    client = web.way.begin(options=("-W", "localhost:8000"), stderr=subprocess.DEVNULL)

    def held() -> bool:
        return any(line.split()[3] == "01" for line in web.shell("cat /proc/net/tcp").splitlines()[1:])

    until(held, "the connection inside")
    client.kill()
    client.communicate()
    until(lambda: not held(), "its end inside")


def test_a_client_that_has_said_all_may_leave_amid_the_answer(box: Box, pinfold: Pinfold) -> None:
    endless = (
        "import socket, threading\n"
        "def hear(peer):\n"
        "    while peer.recv(1000): pass\n"
        "    open('/tmp/heard', 'w').close()\n"
        "listener = socket.create_server(('127.0.0.1', 9100))\n"
        "peer, _ = listener.accept()\n"
        "threading.Thread(target=hear, args=[peer]).start()\n"
        "while True: peer.sendall(b'x' * 1000)\n"
    )
    box.pinfold.call("POST", f"{box.path}/commands", json={"argv": ["python3", "-c", endless]})
    until(lambda: "0100007F:238C" in box.shell("cat /proc/net/tcp"), "the endless server")
    with box.way.library() as transport:
        inside, here = ("127.0.0.1", 9100), ("127.0.0.1", 1)
        channel = transport.open_channel("direct-tcpip", inside, here, timeout=60)
        channel.sendall(b"all of it")
        channel.shutdown_write()
        assert channel.recv(1000)
        until(lambda: "heard" in box.shell("ls /tmp"), "the end of what was sent")
        channel.close()
        again = transport.open_session(timeout=60)
        again.exec_command("echo well")
        assert again.makefile().read() == b"well\n"
    assert "panicked" not in pinfold.server.log(1 << 20)
