"""An outside of the egress tests' own: a network namespace with name server, web, mail and echo servers,
and what runs inside sandboxes to reach them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Server
from world import Pinfold, Sandbox

HERE = Path(__file__).resolve().parent
NAME = "pfegress"
PUBLIC, OTHER, OWN, PRIVATE = "203.0.113.2", "203.0.113.3", "203.0.113.1", "10.99.0.2"
#: This machine's as well: a second address of the link.
SECOND = "203.0.113.4"

#: Runs inside: one line of JSON for each try.
CLIENT = """
import http.client, json, socket, ssl, sys
def web(address, host, path='/', port=80, method='GET', headers={}):
    connection = http.client.HTTPConnection(address, port, timeout=30)
    connection.request(method, path, headers={'host': host, **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
def tls(address, name, host, port=443):
    context = ssl.create_default_context(); context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    raw = socket.create_connection((address, port), timeout=30)
    secure = context.wrap_socket(raw, server_hostname=name)
    secure.sendall(f'GET / HTTP/1.1\\r\\nhost: {host}\\r\\nconnection: close\\r\\n\\r\\n'.encode())
    data = b''
    while part := secure.recv(65536): data += part
    return data.decode().split('\\r\\n\\r\\n', 1)[1]
def raw(address, port, said=b'', heard=1):
    connection = socket.create_connection((address, port), timeout=30)
    if said: connection.sendall(said)
    data = b''
    while len(data) < heard:
        part = connection.recv(65536)
        if not part: break
        data += part
    return data.decode()
def tried(call, *args, **more):
    try: gave = call(*args, **more)
    except Exception as error: gave = f'{type(error).__name__}: {error}'
    print(json.dumps(gave))
"""


def _run(*line: str) -> None:
    subprocess.run(line, check=True, capture_output=True)


def _remove() -> None:
    for what in ("link", "netns"):
        subprocess.run(["ip", what, "del", NAME], capture_output=True)


def _certificates(directory: Path) -> str:
    """Of the outside's hosts, by an authority in `cert.pem`; with its key, as one file."""
    key, names = ("-newkey", "rsa:2048", "-nodes", "-keyout"), directory / "names"
    names.write_text("subjectAltName=DNS:allowed.test,DNS:*.wild.test")
    ca, ca_key = str(directory / "cert.pem"), str(directory / "ca.key")
    own, request = str(directory / "own.pem"), str(directory / "request")
    _run("openssl", "req", "-x509", "-days", "2", "-subj", "/CN=ca", *key, ca_key, "-out", ca)
    _run("openssl", "req", "-subj", "/CN=outside", *key, own, "-out", request)
    signed = subprocess.run(
        ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key,
         "-CAcreateserial", "-days", "2", "-extfile", str(names)],
        check=True, capture_output=True, text=True,
    )
    with open(own, "a") as file:
        file.write(signed.stdout)
    return own


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where its certificate authority is."""
    directory = tmp_path_factory.mktemp("outside")
    pem = _certificates(directory)
    _remove()
    _run("ip", "netns", "add", NAME)
    _run("ip", "link", "add", NAME, "type", "veth", "peer", "name", "out0", "netns", NAME)
    for own in (OWN, SECOND):
        _run("ip", "addr", "add", f"{own}/24", "dev", NAME)
    _run("ip", "link", "set", NAME, "up")
    inside = ("ip", "netns", "exec", NAME)
    for address in (f"{PUBLIC}/24", f"{OTHER}/24", f"{PRIVATE}/32"):
        _run(*inside, "ip", "addr", "add", address, "dev", "out0")
    _run(*inside, "ip", "link", "set", "out0", "up")
    _run(*inside, "ip", "link", "set", "lo", "up")
    _run("ip", "route", "add", f"{PRIVATE}/32", "dev", NAME)
    servers = subprocess.Popen(
        [*inside, sys.executable, str(HERE / "outside_servers.py"), pem],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert servers.stdout is not None and servers.stdout.readline() == "ready\n"
    yield directory / "cert.pem"
    servers.kill()
    servers.wait()
    _remove()


@pytest.fixture(scope="module")
def policed(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pinfold]:
    server = Server(tmp_path_factory.mktemp("policed"), "--name-server", PUBLIC)
    server.start()
    yield Pinfold(server.url, server.key)
    server.stop()


def policy(*allow: str, deny: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"network": "policy", "network_policy": {"allow": list(allow), "deny": list(deny)}}


def tries(sandbox: Sandbox, *calls: str) -> list[Any]:
    source = CLIENT + "".join(f"tried({call})\n" for call in calls)
    result = sandbox.python(source)
    assert result["command"]["exit_code"] == 0, result
    return [json.loads(line) for line in result["stdout"].splitlines()]


def change(sandbox: Sandbox, *allow: str, mode: str = "policy", deny: tuple[str, ...] = ()) -> Any:
    body: dict[str, Any] = {"mode": mode}
    if mode == "policy":
        body["policy"] = {"allow": list(allow), "deny": list(deny)}
    return sandbox.pinfold.call("PUT", f"{sandbox.path}/network", json=body)


def seen(sandbox: Sandbox) -> Any:
    return sandbox.pinfold.call("GET", f"{sandbox.path}/network")


@pytest.fixture(scope="module")
def trusting(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pinfold]:
    """A server whose machine trusts the outside's certificate."""
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(outside)
    server = Server(tmp_path_factory.mktemp("trusting"), "--name-server", PUBLIC)
    server.start()
    os.environ.pop("SSL_CERT_FILE")
    if before is not None:
        os.environ["SSL_CERT_FILE"] = before
    yield Pinfold(server.url, server.key)
    server.stop()
