"""What a sandbox with a network policy gets out, against an outside that this suite makes: a network
namespace with a name server of its own and servers that tell whom they were asked for."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Server
from world import Pinfold, Sandbox, until

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
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
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
    yield
    servers.kill()
    servers.wait()
    _remove()


@pytest.fixture(scope="module")
def policed(outside: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pinfold]:
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


def test_names_that_are_allowed_work_and_others_do_not_exist(policed: Pinfold) -> None:
    with policed.sandbox(**policy("allowed.test", "*.wild.test:80")) as sandbox:
        got = tries(
            sandbox,
            "web, 'allowed.test', 'allowed.test', '/x'",
            "web, 'b.a.wild.test', 'b.a.wild.test'",
            "tls, 'allowed.test', 'allowed.test', 'allowed.test'",
            "raw, 'allowed.test', 7, b'echo', 4",
            "raw, 'allowed.test', 2525, b'', 18",
            "web, 'wild.test', 'wild.test'",
            "web, 'other.test', 'other.test'",
            "web, 'nowhere.test', 'nowhere.test'",
            "raw, 'a.wild.test', 7, b'echo', 4",
        )
        assert got[0] == [200, f"GET /x host=allowed.test at={PUBLIC} 0\n"]
        assert got[1][0] == 200
        assert got[2] == f"GET / host=allowed.test at={PUBLIC} 0\n"
        assert got[3] == "echo"
        assert got[4].startswith("220 speaks first")
        assert all("gaierror" in one for one in got[5:8]), got[5:8]
        assert "ConnectionResetError" in got[8], "a port that the rule does not name"
        network = seen(sandbox)
        assert network["connections"] == 5 and network["refused"] == 1
        assert network["questions_refused"] >= 3 and network["bytes_in"] > 100
        refused = {(one["host"], one["port"]) for one in network["last_refused"]}
        assert {("other.test", None), ("a.wild.test", 7)} <= refused


def test_an_address_is_no_name_and_a_forged_host_or_server_name_leads_nowhere(
    policed: Pinfold,
) -> None:
    with policed.sandbox(**policy("allowed.test", "rebind.test")) as sandbox:
        address = sandbox.shell("getent ahostsv4 allowed.test").split()[0]
        assert address.startswith("198.1"), "one of ours, that stands for the name"
        got = tries(
            sandbox,
            f"web, '{PUBLIC}', 'allowed.test'",
            f"web, '{OTHER}', 'allowed.test'",
            f"tls, '{OTHER}', 'allowed.test', 'allowed.test'",
            f"raw, '{PUBLIC}', 7, b'echo', 4",
            "web, 'allowed.test', 'other.test'",
            "web, 'allowed.test', '203.0.113.3'",
            "web, 'allowed.test', 'allowed.test', 'http://other.test/'",
            "web, 'allowed.test', 'other.test:443', 'other.test:443', method='CONNECT'",
            "tls, 'allowed.test', 'other.test', 'other.test'",
            "raw, 'allowed.test', 80, b'GET / HTTP/1.1\\r\\nhost: allowed.test\\r\\nhost: other.test\\r\\n\\r\\n', 12",
            "raw, 'allowed.test', 80, b'GET / HTTP/1.1\\r\\nhost: allowed.test\\r\\n\\r\\nGET / HTTP/1.1\\r\\nhost: other.test\\r\\n\\r\\n', 300",
            "raw, 'allowed.test', 80, b'\\r\\nGET / HTTP/1.1\\r\\nhost: other.test\\r\\n\\r\\n', 12",
            "raw, 'allowed.test', 80, b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n', 12",
            # An address of ours that stands for nothing, with the name of somebody who may.
            "web, '198.19.255.200', 'other.test'",
            "raw, '198.19.255.200', 7, b'echo', 4",
            "web, '198.19.255.200', 'allowed.test'",
        )
        assert got[0][0] == 403 and "no rule allows it" in got[0][1]
        assert got[1][0] == 403
        assert "SSL" in got[2] or "Reset" in got[2]
        assert "ConnectionResetError" in got[3]
        for forged in got[4:8]:
            assert forged[0] == 403, forged
        assert "SSL" in got[8] or "Reset" in got[8]
        assert got[9].startswith("HTTP/1.1 403"), got[9]
        assert got[10].startswith("HTTP/1.1 200") and "HTTP/1.1 403" in got[10], got[10]
        assert got[11].startswith("HTTP/1.1 403"), "empty lines hide no request"
        assert got[12].startswith("HTTP/1.1 403"), "nor do frames"
        assert got[13][0] == 403
        assert "ConnectionResetError" in got[14]
        # A name that is allowed goes to where it is, whatever address carried it.
        assert got[15] == [200, f"GET / host=allowed.test at={PUBLIC} 0\n"]


def test_names_that_lead_inwards_are_refused_whatever_the_rules_say(policed: Pinfold) -> None:
    inward = ("inward", "unspecified", "metadata", "own", "second", "private")
    with policed.sandbox(**policy("*", "0.0.0.0/0:1-65535", deny=("10.0.0.0/8",))) as sandbox:
        got = tries(sandbox, *(f"web, '{name}.test', '{name}.test'" for name in inward))
        for name, one in zip(inward, got, strict=True):
            assert one[0] == 403, (name, one)
        port = int(policed.url.rsplit(":", 1)[1])
        for address in (OWN, SECOND, "169.254.169.254"):
            [one] = tries(sandbox, f"web, '{address}', 'x.test', port={port}")
            assert one[0] == 403, (address, one)
        [mixed] = tries(sandbox, "web, 'mixed.test', 'mixed.test'")
        assert mixed[0] == 200 and f"at={PUBLIC}" in mixed[1]
    with policed.sandbox(**policy("private.test", "rebind.test")) as sandbox:
        [private] = tries(sandbox, "web, 'private.test', 'private.test'")
        assert private[0] == 403 and "private network" in private[1]
        change(sandbox, "private.test", f"{PRIVATE}:80", "rebind.test")
        [private] = tries(sandbox, "web, 'private.test', 'private.test'")
        assert private[0] == 200
        # The name moves to this machine after it was first asked for.
        last = [tries(sandbox, "web, 'rebind.test', 'rebind.test'")[0] for _ in range(4)]
        assert last[-1][0] == 403 and "this machine" in last[-1][1], last


def test_addresses_and_networks_are_allowed_and_denied_by_port(policed: Pinfold) -> None:
    rules = policy("203.0.113.0/24:1-1000", deny=(f"{OTHER}", "other.test"))
    with policed.sandbox(**rules) as sandbox:
        got = tries(
            sandbox,
            f"raw, '{PUBLIC}', 7, b'echo', 4",
            f"web, '{PUBLIC}', 'anybody.test'",
            f"raw, '{PUBLIC}', 2525, b'', 18",
            f"raw, '{OTHER}', 7, b'echo', 4",
            f"tls, '{PUBLIC}', 'other.test', 'other.test'",
            "web, 'allowed.test', 'allowed.test'",
        )
        assert got[0] == "echo" and got[1][0] == 200
        assert "Reset" in got[2] and "Reset" in got[3]
        assert "SSL" in got[4] or "Reset" in got[4], "a name that is denied"
        assert "gaierror" in got[5], "no name is allowed"


HOLD = CLIENT + """
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
print(connection.recv(100).decode().strip() if sys.argv[2] == '2525' else 'open', flush=True)
connection.sendall(b'more\\n')
print(connection.recv(100).decode().strip(), flush=True)
try: print('got', connection.recv(100), flush=True)
except ConnectionResetError: print('reset', flush=True)
"""


def test_a_change_holds_at_once_and_cuts_what_it_denies(policed: Pinfold) -> None:
    with policed.sandbox(**policy("allowed.test", "other.test")) as sandbox:
        hold = {"argv": ["python3", "-c", HOLD]}
        mail = sandbox.start(argv=[*hold["argv"], "allowed.test", "2525"])
        echo = sandbox.start(argv=[*hold["argv"], "other.test", "7"])
        for one in (mail, echo):
            sandbox.says(one, "more")
        change(sandbox, "other.test")
        sandbox.says(mail, "reset")
        assert "reset" not in sandbox.output(echo)
        assert "gaierror" in tries(sandbox, "web, 'allowed.test', 'allowed.test'")[0]
        assert tries(sandbox, "web, 'other.test', 'other.test'")[0][0] == 200
        change(sandbox, "allowed.test")
        sandbox.says(echo, "reset")
        assert tries(sandbox, "web, 'allowed.test', 'allowed.test'")[0][0] == 200
        assert seen(sandbox)["refused"] >= 2


def test_the_mode_of_a_running_sandbox_changes_and_changes_back(policed: Pinfold) -> None:
    with policed.sandbox() as sandbox:
        literal = f"raw, '{PUBLIC}', 7, b'echo', 4"
        assert "unreachable" in tries(sandbox, literal)[0]
        for _ in range(2):
            change(sandbox, "allowed.test")
            assert "198.18.0.2" in sandbox.shell("cat /etc/resolv.conf")
            assert tries(sandbox, "raw, 'allowed.test', 7, b'echo', 4", literal)[0] == "echo"
            change(sandbox, mode="open")
            assert tries(sandbox, literal) == ["echo"]
            assert seen(sandbox)["mode"] == "open"
            change(sandbox, mode="none")
            assert "unreachable" in tries(sandbox, literal)[0]
        bad = sandbox.pinfold.http.put(
            f"{sandbox.path}/network", json={"mode": "open", "policy": {"allow": ["a.test"]}}
        )
        assert bad.status_code == 400 and "network_policy" in bad.text
        bad = sandbox.pinfold.http.put(
            f"{sandbox.path}/network", json={"mode": "policy", "policy": {"allow": ["https://a/"]}}
        )
        assert bad.status_code == 400 and "example.com" in bad.text
        sandbox.is_well()


def test_large_bodies_pass_both_ways_and_upgraded_connections_go_on(policed: Pinfold) -> None:
    source = CLIENT + """
body = b'x' * (30 << 20)
connection = http.client.HTTPConnection('allowed.test', 80, timeout=60)
connection.request('POST', '/big', body=body)
print(connection.getresponse().read().decode().split()[-1])
raw = socket.create_connection(('allowed.test', 7), timeout=60)
import threading
threading.Thread(target=lambda: (raw.sendall(body), raw.shutdown(socket.SHUT_WR))).start()
total = 0
while part := raw.recv(1 << 20): total += len(part)
print(total)
up = socket.create_connection(('allowed.test', 80), timeout=60)
up.sendall(b'GET / HTTP/1.1\\r\\nhost: allowed.test\\r\\nconnection: upgrade\\r\\nupgrade: echo\\r\\n\\r\\n')
reader = up.makefile('rb')
while reader.readline().strip(): pass
up.sendall(b'after the upgrade\\n')
print(reader.readline().decode(), end='', flush=True)
print('cut' if not up.recv(10) else 'more', flush=True)
"""
    with policed.sandbox(**policy("allowed.test")) as sandbox:
        command = sandbox.start(argv=["python3", "-c", source])
        sandbox.says(command, "after the upgrade")
        assert sandbox.output(command).split("\n")[:2] == [str(30 << 20)] * 2
        change(sandbox)
        assert sandbox.ended(command)["exit_code"] is not None
        assert "more" not in sandbox.output(command)
        network = seen(sandbox)
        assert network["bytes_out"] > 60 << 20 and network["bytes_in"] > 30 << 20


def test_datagrams_do_not_get_out_and_neighbours_are_not_reached(policed: Pinfold) -> None:
    with policed.sandbox(**policy("*", "0.0.0.0/0")) as one, policed.sandbox(**policy("*")) as two:
        server = two.start(
            argv=["python3", "-m", "http.server", "8000", "--bind", "0.0.0.0"]
        )
        until(lambda: "200" in two.shell(
            "python3 -c \"import urllib.request as u;print(u.urlopen('http://127.0.0.1:8000').status)\""
            " 2>/dev/null || echo no"), "the neighbour's server")
        for address in ("198.18.0.1", "10.213.0.2"):
            [got] = tries(one, f"web, '{address}', 'x.test', port=8000")
            assert "200" not in str(got)[:6], (address, got)
        sent = one.python(
            f"import socket; s=socket.socket(2,2); s.sendto(b'x', ('{PUBLIC}', 53000))"
        )
        assert sent["command"]["exit_code"] != 0, "a datagram to anybody but a name server"
        assert two.pinfold.call("GET", f"/v1/commands/{server}")["state"] == "running"


def test_floods_of_connections_and_questions_stay_the_sandboxs_own_trouble(
    policed: Pinfold,
) -> None:
    flood = CLIENT + """
held = []
for number in range(900):
    try: held.append(socket.create_connection(('allowed.test', 7), timeout=5))
    except OSError: break
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(5000):
    asker.sendto(bytes([number % 256]) * 40, ('198.18.0.2', 53))
print('flooded', len(held), flush=True)
import time; time.sleep(600)
"""
    with policed.sandbox(**policy("*")) as one, policed.sandbox(**policy("allowed.test")) as two:
        command = one.start(argv=["python3", "-c", flood])
        done = threading.Event()
        assert tries(two, "raw, 'allowed.test', 7, b'echo', 4") == ["echo"]
        one.says(command, "flooded")
        done.set()
        assert tries(two, "raw, 'allowed.test', 7, b'echo', 4") == ["echo"]
        two.is_well()


def test_a_policy_outlives_a_killed_server(
    outside: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = Server(tmp_path_factory.mktemp("killed"), "--name-server", PUBLIC)
    server.start()
    try:
        _outlive(server)
    finally:
        if not server.alive:
            server.start()
        server.stop()


def _outlive(server: Server) -> None:
    pinfold = Pinfold(server.url, server.key)
    made = pinfold.call("POST", "/v1/sandboxes", json=policy("allowed.test"))
    sandbox = Sandbox(pinfold, made["id"])
    assert tries(sandbox, "raw, 'allowed.test', 7, b'echo', 4") == ["echo"]
    held = sandbox.start(argv=["python3", "-c", HOLD, "allowed.test", "2525"])
    sandbox.says(held, "more")
    server.kill()
    server.start()
    pinfold = Pinfold(server.url, server.key)
    sandbox = Sandbox(pinfold, made["id"])
    got = tries(
        sandbox,
        "raw, 'allowed.test', 7, b'echo', 4",
        f"raw, '{PUBLIC}', 7, b'echo', 4",
        "web, 'other.test', 'other.test'",
    )
    assert got[0] == "echo" and "Reset" in got[1] and "gaierror" in got[2]
    assert "reset" in sandbox.output(held) or "got b''" in sandbox.output(held)
    pinfold.call("DELETE", sandbox.path)


@pytest.fixture(scope="module")
def trusting(outside: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pinfold]:
    """A server whose machine trusts the outside's certificate."""
    pem = next(Path(tmp_path_factory.getbasetemp()).glob("outside*/cert.pem"))
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = str(pem)
    server = Server(tmp_path_factory.mktemp("trusting"), "--name-server", PUBLIC)
    server.start()
    os.environ.pop("SSL_CERT_FILE")
    if before is not None:
        os.environ["SSL_CERT_FILE"] = before
    yield Pinfold(server.url, server.key)
    server.stop()


VALUE = "s3cr3t-that-nobody-inside-sees"

#: As any program would: the certificates are those that its environment names.
ASK = """
import http.client, json, ssl, sys
def ask(host, path='/', headers={}, named=None, port=443, method='GET'):
    context = ssl.create_default_context()
    connection = http.client.HTTPSConnection(host, port, timeout=30, context=context)
    connection.request(method, path, headers={**({'host': named} if named else {}), **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
def tried(call, *args, **more):
    try: gave = call(*args, **more)
    except Exception as error: gave = f'{type(error).__name__}: {error}'
    print(json.dumps(gave))
"""


def asked(sandbox: Sandbox, *calls: str) -> list[Any]:
    result = sandbox.python(ASK + "".join(f"tried(ask, {call})\n" for call in calls))
    assert result["command"]["exit_code"] == 0, result
    assert VALUE not in result["stdout"] and VALUE not in result["stderr"]
    return [json.loads(line) for line in result["stdout"].splitlines()]


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_credential_is_added_on_the_way_out_and_is_nowhere_inside(trusting: Pinfold) -> None:
    trusting.call("PUT", "/v1/secrets/token", json={"value": VALUE})
    bound = {"credentials": [{"secret": "token", "host": "allowed.test"}]}
    rules = policy("allowed.test", "*.wild.test", "other.test")
    with trusting.sandbox(**rules, **bound) as sandbox:
        got = asked(
            sandbox,
            "'allowed.test', '/seen'",
            "'allowed.test', '/seen', {'authorization': 'Bearer mine'}",
            "'allowed.test', '/seen', {}, 'other.test'",
            "'other.test', '/seen'",
        )
        expected = digest_of(f"Bearer {VALUE}")
        assert got[0] == [200, f"authorization={expected}\n"]
        assert got[1] == [200, f"authorization={expected}\n"], "in place of its own"
        assert got[2][0] == 403, "a request to somebody else in a connection to this one"
        assert "CERTIFICATE_VERIFY_FAILED" in got[3], "nobody opens that connection for us"
        plain = tries(sandbox, "web, 'allowed.test', 'allowed.test', '/seen'")
        assert plain == [[200, "authorization=none\n"]], "only where it is bound to: port 443"
        [clear] = tries(sandbox, "web, 'allowed.test', 'allowed.test', '/seen', port=443")
        assert clear[0] == 502 and "TLS only" in clear[1], "not in clear text to whoever listens"
        [traced] = asked(sandbox, "'allowed.test', '/seen', method='TRACE'")
        assert traced[0] == 403, traced
        looked = sandbox.shell(
            "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; "
            f"grep -rlF {VALUE} /etc /root /tmp /var /run /workspace 2>/dev/null || true"
        )
        assert VALUE not in looked and "/etc/pinfold/certificates.pem" in looked
        # Replaced and deleted while it runs.
        trusting.call("PUT", "/v1/secrets/token", json={"value": VALUE + "2"})
        assert asked(sandbox, "'allowed.test', '/seen'")[0][1].strip().endswith(
            digest_of(f"Bearer {VALUE}2")
        )
        trusting.call("DELETE", "/v1/secrets/token")
        status, words = asked(sandbox, "'allowed.test', '/seen'")[0]
        assert status == 502 and "does not exist" in words and VALUE not in words


def test_a_credential_does_not_follow_forged_names_redirects_or_false_certificates(
    trusting: Pinfold, policed: Pinfold
) -> None:
    for pinfold in (trusting, policed):
        pinfold.call("PUT", "/v1/secrets/bound", json={"value": VALUE})
    bound = {"credentials": [{"secret": "bound", "host": "*.wild.test"}]}
    rules = policy("*.wild.test", "wild.test", "other.test", "0.0.0.0/0")
    with trusting.sandbox(**rules, **bound) as sandbox:
        got = asked(
            sandbox,
            "'a.wild.test', '/seen'",
            "'wild.test', '/seen'",
            "'a.wild.test', '/redirect'",
        )
        assert got[0] == [200, f"authorization={digest_of(f'Bearer {VALUE}')}\n"]
        assert "CERTIFICATE_VERIFY_FAILED" in got[1], "the name itself is not below it"
        assert got[2][0] == 302, "the program follows by itself, to where no credential goes"
        # To an address, under the bound name: nobody there is asked with the secret.
        [forged] = tries(sandbox, f"tls, '{OTHER}', 'a.wild.test', 'a.wild.test'")
        assert VALUE not in str(forged) and digest_of(f"Bearer {VALUE}") not in str(forged)
        # A proxy that the sandbox names is but another place.
        proxied = sandbox.run(
            argv=["python3", "-c", "import urllib.request as u; print(u.urlopen('https://a.wild.test/seen').read())"],
            env={"https_proxy": f"http://{OTHER}:7"},
        )
        assert proxied["command"]["exit_code"] != 0
        assert digest_of(f"Bearer {VALUE}") not in proxied["stdout"]
    # A server whose machine does not trust the outside hands nothing out to it.
    with policed.sandbox(**rules, **bound) as sandbox:
        status, words = asked(sandbox, "'a.wild.test', '/seen'")[0]
        assert status == 502 and VALUE not in words, words


def test_credentials_need_a_policy_and_a_secret(policed: Pinfold) -> None:
    policed.call("PUT", "/v1/secrets/there", json={"value": "x"})
    for wishes, code in (
        ({"credentials": [{"secret": "there", "host": "a.test"}]}, "invalid"),
        ({"network": "open", "credentials": [{"secret": "there", "host": "a.test"}]}, "invalid"),
        ({**policy("*"), "credentials": [{"secret": "none", "host": "a.test"}]}, "secret_not_found"),
    ):
        answer = policed.http.post("/v1/sandboxes", json=wishes)
        assert answer.status_code in (400, 404) and code in answer.text, answer.text
