"""What a sandbox with a network policy gets out, against an outside that this suite makes: a network
namespace with a name server of its own and servers that tell whom they were asked for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from outside_world import (
    CLIENT,
    OTHER,
    OWN,
    PRIVATE,
    PUBLIC,
    SECOND,
    change,
    outside,
    policed,
    policy,
    seen,
    tries,
)
from support.server import Server
from world import Pinfold, Sandbox, until


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
            held = sandbox.start(argv=["python3", "-c", HOLD, "allowed.test", "2525"])
            sandbox.says(held, "more")
            change(sandbox, mode="open")
            sandbox.says(held, "reset")
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


def test_a_kept_connection_outlives_the_one_behind_it_and_bodies_of_get_pass(policed: Pinfold) -> None:
    source = CLIENT + """
connection = http.client.HTTPConnection('allowed.test', 80, timeout=60)
def ask(path, **more):
    connection.request('GET', path, **more)
    answer = connection.getresponse()
    print(answer.status, answer.read().decode().split()[-1], flush=True)
for _ in range(5): ask('/closes')
ask('/body', body=iter([b'abc', b'de']), encode_chunked=True, headers={'transfer-encoding': 'chunked'})
ask('/', body=b'of a length')
"""
    with policed.sandbox(**policy("allowed.test")) as sandbox:
        said = sandbox.python(source)
        assert said["stdout"].splitlines() == ["200 0"] * 5 + ["200 5", "200 11"], said


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
    outside: Path, tmp_path_factory: pytest.TempPathFactory
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
    # Whoever reads a body without a length must not take this for its end.
    sandbox.says(held, "reset")
    pinfold.call("DELETE", sandbox.path)
