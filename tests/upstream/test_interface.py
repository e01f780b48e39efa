"""The interface as it is documented: names, signatures, defaults, errors."""

import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from fakes import CLOSE, Asked, fake, works

import pinfold.upstream
from pinfold.upstream import (
    AsyncUpstream,
    AuthError,
    ExecResult,
    QuotaError,
    RunResult,
    Sandbox,
    SandboxError,
    StreamingExecResult,
    TimeoutError,
    Upstream,
    UpstreamError,
    Usage,
)
from pinfold.upstream._async.sandbox import AsyncSandbox
from pinfold.upstream._async.stream import AsyncStreamingExecResult

NAMES = (
    "Upstream AsyncUpstream Sandbox ExecResult StreamingExecResult RunResult Usage UpstreamError "
    "AuthError QuotaError SandboxError TimeoutError"
).split()


def test_the_module_exports_what_is_documented() -> None:
    assert sorted(pinfold.upstream.__all__) == sorted(NAMES)


SIGNATURES = {
    "__init__": "(self, api_key: 'str', *, base_url: 'str | None' = None, timeout: 'float' = 30.0)",
    "sandbox": "(self, image: 'str' = 'python:3.12', *, vcpu: 'int' = 2, memory_mib: 'int' = 512, "
    "ready_timeout: 'float' = 30.0)",
    "run": "(self, markdown: 'str', *, poll_interval: 'float' = 1.0, timeout: 'float' = 300.0)",
    "usage": "(self)",
    "close": "(self)",
    "exec": "(self, command: 'list[str]', *, stream: 'bool' = False)",
    "write_file": "(self, path: 'str', content: 'str | bytes')",
    "read_file": "(self, path: 'str', *, binary: 'bool' = False)",
    "destroy": "(self)",
}


@pytest.mark.parametrize(
    "pair", [(Upstream, AsyncUpstream), (Sandbox, AsyncSandbox), (StreamingExecResult, AsyncStreamingExecResult)]
)
def test_both_clients_have_the_documented_signatures(pair: tuple[type, type]) -> None:
    sync, twin = pair
    public = [name for name in vars(sync) if not name.startswith("_")]
    assert public == [name for name in vars(twin) if not name.startswith("_")]
    for name in ["__init__", *public]:
        one, other = vars(sync)[name], vars(twin)[name]
        if not inspect.isfunction(one):
            continue
        shown = str(inspect.signature(one)).split(" -> ")[0]
        assert shown == str(inspect.signature(other)).split(" -> ")[0].replace("Async", "")
        if sync is not StreamingExecResult and not (sync is Sandbox and name == "__init__"):
            assert shown == SIGNATURES[name], name
        plain = name in ("__init__", "sandbox")
        assert inspect.iscoroutinefunction(other) is not plain, name
        assert one.__doc__ or name == "__init__", name


def test_results_are_frozen_values() -> None:
    for value in (ExecResult(0, "a", "b"), RunResult(1, "failed", 2, 1, {}), Usage(1, 2.5, {})):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, 9)
        assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("kind", [AuthError, QuotaError, SandboxError, TimeoutError, UpstreamError])
def test_errors_are_siblings_with_one_constructor(kind: type[UpstreamError]) -> None:
    assert kind.__bases__ == ((UpstreamError,) if kind is not UpstreamError else (Exception,))
    assert (str(kind()), kind().status_code) == ("", None)
    error = kind("why", 418)
    assert (str(error), error.status_code) == ("why", 418)
    assert (str(kind(message="x", status_code=1)), kind("x", status_code=1).status_code) == ("x", 1)
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.status_code) == ("why", 418)


KINDS = {
    **{status: AuthError for status in (401, 403)},
    429: QuotaError,
    **{status: SandboxError for status in (400, 404, 405, 408, 409, 410, 413, 418, 451)},
    **{status: UpstreamError for status in (500, 501, 502, 503, 504, 599, 301)},
}
BODIES = ['{"error": {"code": "c", "message": "the reason"}}', "<html>", "", "[]", '{"error": 1}']


@pytest.mark.parametrize("status", KINDS)
@pytest.mark.parametrize("body", BODIES)
def test_the_status_alone_decides_the_error(
    connect: Callable[..., Any], status: int, body: str
) -> None:
    refused: list[str] = []

    def handle(asked: Asked) -> None:
        if refused and asked.path.endswith(refused[0]):
            asked.answer(status, body, location="http://127.0.0.1:9/")
        else:
            works(asked)

    with fake(handle) as seen:
        client = connect("sk-x", seen.url)
        sandbox = client.sandbox()
        calls: list[tuple[str, Callable[[], Any]]] = [
            ("/sandboxes", client.sandbox),
            ("/exec", lambda: sandbox.exec(["true"])),
            ("/exec", lambda: sandbox.exec(["true"], stream=True)),
            ("/files?path=a", lambda: sandbox.read_file("a")),
            ("/files?path=a", lambda: sandbox.write_file("a", "b")),
            ("/runs", lambda: client.run("x")),
            ("/usage", client.usage),
        ]
        for ending, call in calls:
            refused[:] = [ending]
            before = len(seen.asked)
            with pytest.raises(UpstreamError) as raised:
                call()
            assert type(raised.value) is KINDS[status], ending
            assert raised.value.status_code == status
            assert str(raised.value).endswith("the reason") or body != BODIES[0] and str(raised.value)
            # What was answered is not asked again.
            assert len(seen.asked) == before + 1, ending


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", "null", "[" * 100_000, '{"status": 1}'])
def test_answers_that_are_none_are_errors_of_the_base_class(
    connect: Callable[..., Any], body: str
) -> None:
    def handle(asked: Asked) -> None:
        if "/files" in asked.path or asked.method == "DELETE":
            works(asked)
        else:
            asked.answer(200, body)

    with fake(handle) as seen:
        client = connect("sk-x", seen.url)
        for call in (client.usage, client.sandbox, lambda: client.run("x", timeout=5)):
            with pytest.raises(UpstreamError) as raised:
                call()
            assert type(raised.value) is UpstreamError and raised.value.status_code is None


def test_connections_are_kept_and_a_dead_one_is_replaced(connect: Callable[..., Any]) -> None:
    drop: list[bool] = []

    def handle(asked: Asked) -> Any:
        works(asked)
        return CLOSE if drop else None

    with fake(handle) as seen:
        client = connect("sk-x", seen.url)
        for _ in range(5):
            client.usage()
        assert seen.connections == 1
        drop.append(True)
        for _ in range(5):
            client.usage()
        assert 2 <= seen.connections <= 6


@pytest.mark.parametrize("stream", [False, True])
def test_a_new_connection_that_breaks_is_an_error_and_nothing_runs_twice(
    connect: Callable[..., Any], stream: bool
) -> None:
    def handle(asked: Asked) -> Any:
        return CLOSE if asked.path.endswith("/exec") else works(asked) or CLOSE

    with fake(handle) as seen:
        sandbox = connect("sk-x", seen.url).sandbox()
        with pytest.raises(UpstreamError) as raised:
            sandbox.exec(["true"], stream=stream)
        assert type(raised.value) is UpstreamError and raised.value.status_code is None
        keys = {each.headers["idempotency-key"] for each in seen.asked if each.path.endswith("/exec")}
        # However often the request went out, it was one and the same to the server.
        assert len(keys) == 1


def test_requests_carry_the_key_and_the_prefix_of_the_address(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake(works) as seen:
        for address in (seen.url + "/some/prefix", seen.url + "/some/prefix/"):
            connect(" sk-x\n", address).usage()
        monkeypatch.setenv("UPSTREAM_BASE_URL", seen.url + "/other")
        with Upstream("sk-x") as client:
            client.usage()
    assert [each.path for each in seen.asked] == ["/some/prefix/v1/usage"] * 2 + ["/other/v1/usage"]
    assert {each.headers["authorization"] for each in seen.asked} == {"Bearer sk-x"}


@pytest.mark.parametrize("key", ["", "  ", None, "a\nb", "ü"])
def test_a_key_that_is_none_is_refused(connect: Callable[..., Any], key: Any) -> None:
    for kind in (Upstream, AsyncUpstream):
        with pytest.raises(AuthError):
            kind(key, base_url="http://127.0.0.1:9")


@pytest.mark.parametrize("address", ["nothing", "ftp://x", "http://", "http://[", "127.0.0.1:1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    for kind in (Upstream, AsyncUpstream):
        with pytest.raises(UpstreamError):
            kind("sk-x", base_url=address)


def test_nobody_shows_the_key_or_a_password(connect: Callable[..., Any]) -> None:
    for kind in (Upstream, AsyncUpstream):
        client = kind("sk-secret", base_url="http://user:hidden@127.0.0.1:9/x")
        shown = repr(client) + repr(client._transport.settings) + repr(vars(client))
        assert "sk-secret" not in shown and "hidden" not in repr(client)


def test_a_proxy_of_the_environment_is_used(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake(works) as seen:
        monkeypatch.setenv("http_proxy", seen.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert connect("sk-x", "http://upstream.test/u").usage().total_sessions == 1
    assert seen.asked[0].path == "http://upstream.test/u/v1/usage"
