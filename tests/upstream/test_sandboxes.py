"""Sandboxes: what is made, refused, enforced and left behind."""

import json
import time
from typing import Any

import httpx
import pytest

from pinfold.upstream import AuthError, SandboxError, TimeoutError, Upstream, UpstreamError


def test_a_sandbox_is_an_empty_place_of_root(sandbox: Any) -> None:
    probe = "id -u; pwd; ls -A; echo $HOME; python3 -c 'print(chr(8364))'; test -w /tmp && echo tmp"
    result = sandbox.exec(["bash", "-c", probe])
    assert result.stdout.split("\n") == ["0", "/workspace", "/root", "€", "tmp", ""]
    assert result.stderr == ""


@pytest.mark.parametrize("image", ["python:3.12", "python", "nodejs"])
def test_known_names_boot(client: Any, image: str) -> None:
    with client.sandbox(image, vcpu=1, memory_mib=128) as sandbox:
        assert sandbox.exec(["true"]).exit_code == 0


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"vcpu": 0}, 400),
        ({"vcpu": 5}, 400),
        ({"vcpu": "2"}, 400),
        ({"memory_mib": 127}, 400),
        ({"memory_mib": 2049}, 400),
        ({"image": "No Such Image"}, 404),
        ({"image": ""}, 404),
        ({"image": 7}, 400),
    ],
)
def test_what_is_outside_the_bounds_is_refused(
    client: Any, options: dict[str, Any], status: int
) -> None:
    with pytest.raises(SandboxError) as refused:
        client.sandbox(**options)
    assert refused.value.status_code == status
    assert str(refused.value)


def test_too_little_time_raises_and_leaves_nothing(client: Any) -> None:
    before = client.usage().raw["live_sandboxes"]
    with pytest.raises(TimeoutError) as late:
        client.sandbox(ready_timeout=0.001)
    assert late.value.status_code is None
    assert client.usage().raw["live_sandboxes"] == before


def test_after_destroy_everything_is_refused(client: Any) -> None:
    sandbox = client.sandbox()
    sandbox.destroy()
    sandbox.destroy()
    for call in (
        lambda: sandbox.exec(["true"]),
        lambda: sandbox.exec(["true"], stream=True),
        lambda: sandbox.read_file("a"),
        lambda: sandbox.write_file("a", "b"),
    ):
        with pytest.raises(SandboxError):
            call()


def test_the_block_destroys_and_passes_its_exception_on(client: Any) -> None:
    with pytest.raises(ZeroDivisionError), client.sandbox() as sandbox:
        raise ZeroDivisionError
    with pytest.raises(SandboxError):
        sandbox.exec(["true"])


def test_memory_and_processors_are_enforced(client: Any) -> None:
    with client.sandbox(memory_mib=128, vcpu=1) as sandbox:
        result = sandbox.exec(["python3", "-c", "b = bytearray(300 << 20); print(len(b))"])
        assert result.exit_code != 0 and result.stdout == ""
        burn = "import time; e = time.time() + 2\nwhile time.time() < e: pass\n"
        both = (
            "import multiprocessing as m, resource as r, time\n"
            f"def f(): exec({burn!r})\n"
            "p = [m.Process(target=f) for _ in range(2)]; s = time.time()\n"
            "[x.start() for x in p]; [x.join() for x in p]\n"
            "u = r.getrusage(r.RUSAGE_CHILDREN); print((u.ru_utime + u.ru_stime) / (time.time() - s))"
        )
        assert float(sandbox.exec(["python3", "-c", both]).stdout) < 1.3


def test_faults_of_key_and_address_are_ours(connect: Any, server: Any) -> None:
    with pytest.raises(AuthError):
        connect(key=" ")
    with pytest.raises(AuthError) as refused:
        connect(key="sk-wrong").usage()
    assert refused.value.status_code == 401
    with pytest.raises(UpstreamError) as nobody:
        connect(url="http://127.0.0.1:1").usage()
    assert nobody.value.status_code is None
    assert connect(url=server.dialect + "/").usage().total_sessions >= 0


def test_a_closed_client_says_so(connect: Any, server: Any) -> None:
    client = connect()
    sandbox = client.sandbox()
    client.close()
    client.close()
    for call in (client.usage, client.sandbox, lambda: sandbox.exec(["true"])):
        with pytest.raises(UpstreamError):
            call()
    url = f"{server.dialect}/v1/sandboxes/{sandbox.sandbox_id}"
    headers = {"Authorization": f"Bearer {server.key}"}
    assert httpx.delete(url, headers=headers, trust_env=False).status_code == 204


def test_another_account_sees_nothing(client: Any, connect: Any, server: Any) -> None:
    project = json.loads(server.pinfold("projects", "create", f"p{time.time_ns()}", "--json"))
    key = server.pinfold("keys", "create", "--role", "member", "--project", project["id"])
    other = connect(key=key.split()[-1])
    assert other.usage().total_sessions == 0
    with client.sandbox() as sandbox:
        url = f"{server.dialect}/v1/sandboxes/{sandbox.sandbox_id}"
        headers = {"Authorization": f"Bearer {key.split()[-1]}"}
        for method in ("GET", "DELETE"):
            assert httpx.request(method, url, headers=headers, trust_env=False).status_code == 404


def test_no_repr_shows_the_key(server: Any) -> None:
    with Upstream(server.key, base_url=server.dialect) as client:
        assert server.key not in repr(client) + repr(client._transport.settings)


def test_usage_counts_and_never_falls(client: Any) -> None:
    before = client.usage()
    last = before.total_vcpu_seconds
    for _ in range(3):
        with client.sandbox(vcpu=2) as sandbox:
            sandbox.exec(["sleep", "0.2"])
            for _ in range(5):
                now = client.usage().total_vcpu_seconds
                assert now >= last
                last = now
    after = client.usage()
    assert after.total_sessions == before.total_sessions + 3
    assert after.total_vcpu_seconds >= before.total_vcpu_seconds + 3 * 0.4
