"""Connections notice a peer that is gone, and go through the proxies that the environment names."""

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from httpx._utils import get_environment_proxies
from support.network import answer, scripted

from pinfold import AsyncClient, Client, errors
from pinfold._async.pty import open_pty
from pinfold._core import call
from pinfold._core.connections import environment_proxies
from pinfold._sync.pty import open_pty as open_sync_pty

ME = json.dumps({"org_id": "o", "project_id": "p", "role": "owner", "key_id": None})
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without proxies of whoever runs the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def reply(number: int, head: bytes) -> bytes:
    return answer(200, ME)


def kept_alive(body: Any) -> list[int]:
    """How the kernel watches the connection of an answer."""
    connection = body._response.extensions["network_stream"].get_extra_info("socket")
    asked = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    ]
    return [connection.getsockopt(*each) for each in asked]


@pytest.mark.parametrize("through_a_proxy", [False, True])
async def test_the_kernel_asks_after_silent_peers(
    through_a_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = call.get("whoami", read=call.anything)
    with scripted(reply) as (url, _):
        if through_a_proxy:
            monkeypatch.setenv("http_proxy", url)
            url = "http://pinfold.test"
        with Client(url, "k") as client:
            response = client._http.open(request)
            assert kept_alive(response) == [1, 30, 10, 3]
            response.close()
        async with AsyncClient(url, "k") as another:
            answered = await another._http.open(request)
            assert kept_alive(answered) == [1, 30, 10, 3]
            await answered.aclose()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_used(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with scripted(reply) as (url, heads):
        monkeypatch.setenv(variable, url.replace("//", "//user:pass@"))
        async with connect("http://pinfold.test/below") as client:
            assert (await client.whoami()).org_id == "o"
    assert heads[0].startswith(b"GET http://pinfold.test/below/v1/whoami ")
    assert b"proxy-authorization: Basic dXNlcjpwYXNz" in heads[0].replace(b"Proxy-A", b"proxy-a")


@pytest.mark.parametrize("excepted", ["127.0.0.0/8, pinfold.test", "*", "test", "http://pinfold.test"])
async def test_hosts_that_are_excepted_are_asked_directly(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, excepted: str
) -> None:
    with scripted(reply) as (url, heads):
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("NO_PROXY", excepted)
        async with connect("http://pinfold.test:1") as client:
            with pytest.raises(errors.ConnectionFailedError):
                await client.whoami()
    assert heads == []


async def test_no_proxy_stands_between_this_machine_and_itself(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with scripted(reply) as (url, heads):
        async with connect(url) as client:
            await client.whoami()
    assert len(heads) == 1


async def test_a_terminal_follows_no_redirect() -> None:
    request = call.get("x", read=call.nothing)
    with scripted(lambda number, head: None) as (elsewhere, told):
        away = f"location: {elsewhere.replace('http', 'ws')}/x"
        with scripted(lambda number, head: answer(307, "", away)) as (url, heads):
            with Client(url, "k") as client, pytest.raises(errors.ApiError, match="307"):
                open_sync_pty(client._http, request)
            async with AsyncClient(url, "k") as another:
                with pytest.raises(errors.ApiError, match="307"):
                    await open_pty(another._http, request)
            with pytest.raises(errors.ConfigurationError, match="closed"):
                open_sync_pty(client._http, request)
    assert (len(heads), told) == (2, [])


@pytest.mark.parametrize("proxy", ["gopher://x", "socks5://x"])
def test_a_proxy_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    for kind in (Client, AsyncClient):
        with pytest.raises(errors.ConfigurationError, match="of the environment"):
            kind("http://pinfold.test", "k")


@pytest.mark.parametrize(
    "told",
    [
        {"HTTP_PROXY": "p:1"},
        {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "socks5://p:2"},
        {"ALL_PROXY": "p", "NO_PROXY": "localhost,.a.test,b.test,10.0.0.0/8,::1,https://c.test, "},
        {"ALL_PROXY": "p", "NO_PROXY": "a,*"},
    ],
)
def test_proxies_are_those_of_httpx(monkeypatch: pytest.MonkeyPatch, told: dict[str, str]) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert environment_proxies() == get_environment_proxies()
