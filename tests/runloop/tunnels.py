"""Reaching tunnels without DNS and TLS: by the Host header, as an operator's proxy hands it on."""

import json
import pathlib
import socket

import httpx
from server import until
from websockets.sync.client import connect

PORT = 8080
DOMAIN = "tunnel.example.org"
# Tells what it saw, and has events and WebSockets.
APPLICATION = pathlib.Path(__file__).parents[2] / "crates/preview/tests/suite/application.py"
HEADER = "x-runloop-tunnel-authorization"


def host(key: str, port: int | str = PORT, domain: str = DOMAIN) -> str:
    return f"{port}-{key}.{domain}"


def ask(server, name: str, path: str = "/x", **options) -> httpx.Response:
    headers = {"host": name, **options.pop("headers", {})}
    method = options.pop("method", "GET")
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.request(method, f"{server.url}{path}", headers=headers, **options)


def bearer(token: str, header: str = HEADER) -> dict[str, str]:
    return {header: f"Bearer {token}"}


def seen(answer: httpx.Response) -> list[list[str]]:
    """The headers that the application got."""
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return answer.json()["headers"]


def open_socket(server, name: str, path: str, **options):
    """A WebSocket to a host that no DNS knows."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    return connect(f"ws://{name}{path}", sock=connection, proxy=None, open_timeout=60, **options)


def raw(server, head: str) -> str:
    """What is answered to a head as it stands, which asks for the end of the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer.decode(errors="replace")


async def serve(sdk, devbox, port: int = PORT) -> None:
    """Has the application listen; returns when it does."""
    await sdk(devbox.file.write, file_path="/tmp/app.py", contents=APPLICATION.read_text())
    await sdk(devbox.cmd.exec_async, command=f"exec python3 /tmp/app.py {port}")
    look = f'python3 -c "import socket; socket.create_connection((\'127.0.0.1\', {port}))"'
    result = await sdk(devbox.cmd.exec, command=f"until {look} 2>/dev/null; do sleep 0.1; done")
    assert result.exit_code == 0


def code(answer: httpx.Response) -> str:
    return json.loads(answer.text)["error"]["code"]


__all__ = ["ask", "bearer", "code", "host", "open_socket", "raw", "seen", "serve", "until"]
