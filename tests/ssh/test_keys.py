"""Who comes in, and for how long."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from world import Box, Pinfold, Way, run, until

DENIED = "Permission denied (publickey)"


def own_key(directory: Path, kind: str = "ed25519") -> Path:
    path = directory / secrets.token_hex(4)
    made = run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "me@home", "-f", str(path)])
    assert made.returncode == 0, made.stderr
    return path


def public(path: Path) -> str:
    return Path(f"{path}.pub").read_text()


def listed(box: Box) -> list[dict[str, Any]]:
    return list(box.pinfold.call("GET", f"{box.path}/ssh-keys")["items"])


def test_the_answer_says_how_to_come_in_and_is_the_only_one_with_the_private_key(box: Box) -> None:
    created = box.key()
    assert created["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert created["gateway"]["user"] == box.id
    way = Way(box, created)
    fingerprint = run(["ssh-keygen", "-lf", str(way.identity)]).stdout.split()[1]
    assert fingerprint == created["key"]["fingerprint"]
    hosts = run(["ssh-keygen", "-lf", str(way.hosts)]).stdout.split()[1]
    assert hosts == created["gateway"]["host_key_fingerprint"]
    assert listed(box) == [created["key"]]
    halves = created["private_key"].splitlines()[1:-1]
    server = box.pinfold.server
    trail = str(box.pinfold.call("GET", "/v1/audit?limit=200"))
    assert created["key"]["id"] in trail
    log = (server.directory / "server.log").read_text()
    database = b"".join(file.read_bytes() for file in server.data.glob("pinfold.db*"))
    # What is looked for would be found: the other half is there.
    assert created["key"]["public_key"].encode() in database
    for secret in halves:
        assert secret not in trail and secret not in log and secret.encode() not in database


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_key_of_the_callers_own_opens_and_is_listed_once(box: Box, kind: str) -> None:
    mine = own_key(box.pinfold.directory, kind)
    created = box.key(public_key=public(mine))
    assert created["private_key"] is None
    assert Way(box, created, mine).ssh("echo in").stdout == "in\n"
    assert box.key(public_key=public(mine))["key"] == created["key"]
    assert listed(box) == [created["key"]]
    assert created["key"]["public_key"] == " ".join(public(mine).split()[:2])


def test_a_kind_of_key_that_is_not_taken_is_refused(box: Box) -> None:
    mine = own_key(box.pinfold.directory, "rsa")
    server = box.pinfold.server
    answer = server.native("POST", f"{box.path}/ssh-keys", json={"public_key": public(mine)})
    assert answer.status_code == 400 and "ed25519" in answer.text
    private = mine.read_text()
    answer = server.native("POST", f"{box.path}/ssh-keys", json={"public_key": private})
    assert answer.status_code == 400
    assert not [line for line in private.splitlines()[1:-1] if line in answer.text]


def test_a_wrong_key_and_a_wrong_user_are_refused_alike(box: Box) -> None:
    wrong = Way(box, box.key(), own_key(box.pinfold.directory))
    refused = wrong.ssh("true")
    assert refused.returncode == 255 and DENIED in refused.stderr
    for user in ["root", "sbx_00000000000000000000000000000000", "x" * 900]:
        box.way.user = user
        refused = box.way.ssh("true")
        assert refused.returncode == 255 and DENIED in refused.stderr, refused.stderr


def test_a_key_opens_its_own_sandbox_and_no_other(pinfold: Pinfold, box: Box) -> None:
    with pinfold.box() as other:
        mine = own_key(pinfold.directory)
        way = Way(box, box.key(public_key=public(mine)), mine)
        way.user = other.id
        refused = way.ssh("true")
        assert refused.returncode == 255 and DENIED in refused.stderr
        other.key(public_key=public(mine))
        other.shell("echo the other > /tmp/which")
        assert way.ssh("cat /tmp/which").stdout == "the other\n", "once it is authorised there too"


def test_a_deleted_key_opens_nothing_and_ends_who_is_in(box: Box) -> None:
    way = box.way
    client = way.begin("echo begun; sleep 1000")
    assert client.stdout is not None and client.stderr is not None
    assert client.stdout.readline() == b"begun\n"
    other = Way(box, box.key())
    bystander = other.begin("cat")
    box.pinfold.call("DELETE", f"{box.path}/ssh-keys/{way.id}")
    assert client.wait(60) == 255
    assert b"no longer opens the sandbox" in client.stderr.read()
    refused = way.ssh("true")
    assert refused.returncode == 255 and DENIED in refused.stderr
    answer = box.pinfold.server.native("DELETE", f"{box.path}/ssh-keys/{way.id}")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "ssh_key_not_found"
    out, _ = bystander.communicate(b"still in", timeout=60)
    assert (bystander.returncode, out) == (0, b"still in"), "another key's connection goes on"


def test_an_expired_key_opens_nothing_and_leaves_who_is_in(box: Box) -> None:
    way = Way(box, box.key(expires_in_ms=10_000))
    client = way.begin("cat")
    until(lambda: any(not command["ended_at"] for command in box.commands()), "the command")
    until(lambda: DENIED in way.ssh("true").stderr, "the key's end")
    out, _ = client.communicate(b"still in", timeout=60)
    assert (client.returncode, out) == (0, b"still in")
    assert listed(box) == []


def test_a_key_ends_with_the_api_key_that_made_it(box: Box) -> None:
    pinfold = box.pinfold
    made = pinfold.call("POST", "/v1/keys", json={"name": "maker", "role": "member"})
    created = pinfold.server.native("POST", f"{box.path}/ssh-keys", made["secret"], json={}).json()
    way = Way(box, created)
    client = way.begin("echo begun; sleep 1000")
    assert client.stdout is not None and client.stderr is not None
    assert client.stdout.readline() == b"begun\n"
    pinfold.call("DELETE", f"/v1/keys/{made['key']['id']}")
    assert client.wait(60) == 255
    assert b"no longer opens the sandbox" in client.stderr.read()
    refused = way.ssh("true")
    assert refused.returncode == 255 and DENIED in refused.stderr


def test_a_login_ends_when_the_api_key_expires_that_made_its_key(box: Box) -> None:
    pinfold = box.pinfold
    wish = {"name": "maker", "role": "member", "expires_in_ms": 10_000}
    made = pinfold.call("POST", "/v1/keys", json=wish)
    created = pinfold.server.native("POST", f"{box.path}/ssh-keys", made["secret"], json={}).json()
    client = Way(box, created).begin("echo begun; sleep 1000")
    assert client.stdout is not None and client.stderr is not None
    assert client.stdout.readline() == b"begun\n"
    assert client.wait(60) == 255
    assert b"no longer opens the sandbox" in client.stderr.read()


def test_a_sandbox_has_a_bound_of_keys(box: Box) -> None:
    for _ in range(32):
        box.key()
    answer = box.pinfold.server.native("POST", f"{box.path}/ssh-keys", json={})
    assert answer.json()["error"]["code"] == "quota_exceeded", answer.text
    assert "SSH keys" in answer.json()["error"]["message"]


def test_a_sandbox_that_does_not_run_says_so(pinfold: Pinfold) -> None:
    with pinfold.box() as box:
        way = box.way
        pinfold.call("POST", f"{box.path}/suspend")
        said = way.ssh("true")
        assert said.returncode == 255 and "suspended" in said.stderr, said.stderr
        pinfold.call("POST", f"{box.path}/resume")
        assert way.ssh("true").returncode == 0
        client = way.begin("echo begun; sleep 1000")
        assert client.stdout is not None and client.stderr is not None
        assert client.stdout.readline() == b"begun\n"
        pinfold.call("POST", f"{box.path}/stop")
        assert client.wait(60) == 255
        assert b"stopped" in client.stderr.read()
        said = way.ssh("true")
        assert said.returncode == 255 and "stopped" in said.stderr, said.stderr
        pinfold.call("POST", f"{box.path}/start")
        assert way.ssh("true").returncode == 0, "its key outlives a stop"
        client = way.begin("cat")
        assert client.stderr is not None
        until(lambda: any(not command["ended_at"] for command in box.commands()), "the command")
        pinfold.call("DELETE", box.path)
        assert client.wait(60) == 255
        assert b"destroyed" in client.stderr.read()
        said = way.ssh("true")
        assert said.returncode == 255 and "destroyed" in said.stderr, said.stderr
        assert listed(box) == []
        answer = pinfold.server.native("POST", f"{box.path}/ssh-keys", json={})
        assert answer.json()["error"]["code"] == "sandbox_gone"


def test_a_suspended_sandbox_keeps_who_is_in(box: Box) -> None:
    client = box.way.begin("cat", text=True, bufsize=1)
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write("one\n")
    assert client.stdout.readline() == "one\n"
    box.pinfold.call("POST", f"{box.path}/suspend")
    client.stdin.write("two\n")
    box.pinfold.call("POST", f"{box.path}/resume")
    assert client.stdout.readline() == "two\n"
    client.stdin.close()
    assert client.wait(60) == 0


def test_logins_are_on_the_audit_trail(box: Box) -> None:
    box.way.ssh("true")
    events = box.pinfold.call("GET", "/v1/audit?limit=100")["items"]
    login = next(event for event in events if event["action"] == "ssh.login" and event["subject"] == box.id)
    assert login["outcome"] == "ok"
    assert login["details"]["ssh_key"] == box.way.id
    assert login["details"]["peer"] == "127.0.0.1"


def test_an_open_connection_keeps_its_sandbox_from_being_idle(pinfold: Pinfold) -> None:
    idle = {"idle_timeout_ms": 3000}
    with pinfold.box(**idle) as held, pinfold.box(**idle) as left:
        client = held.way.begin(options=("-N",))
        until(lambda: held.id in str(logins(pinfold)), "the login")
        left.shell("true")
        until(lambda: left.state() == "destroyed", "the end of an idle sandbox")
        # One that has been made since ends too: what is held has had its time twice.
        with pinfold.box(**idle) as later:
            until(lambda: later.state() == "destroyed", "the end of another")
        assert held.state() == "running"
        client.kill()
        client.communicate()
        until(lambda: held.state() == "destroyed", "its end behind the connection's")


def logins(pinfold: Pinfold) -> list[dict[str, Any]]:
    events = pinfold.call("GET", "/v1/audit?limit=200")["items"]
    return [event for event in events if event["action"] == "ssh.login"]
