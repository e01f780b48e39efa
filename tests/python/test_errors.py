"""Every class of error, from real refusals where the server can be made to refuse so."""

import asyncio
import json
import os
import pickle
import re
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from conftest import ROOT
from support.network import answer, scripted

from pinfold import AsyncClient, Client, errors

Connect = Callable[..., Any]


async def test_refusals_have_their_class_code_status_and_request(connect: Connect) -> None:
    key = os.urandom(8).hex()
    async with connect() as client, client.sandboxes.create(idempotency_key=key) as sandbox:
        ended = await sandbox.commands.start("true")
        await ended.wait()
        gone = await client.sandboxes.create()
        await gone.destroy()
        project = await client.projects.create(key, live_sandboxes=0)
        secret = (await client.keys.create("m", "member", project_id=project.id)).secret
        async with connect(key=secret) as member, connect(key="x" * 40) as stranger:
            cases: list[tuple[Any, type[errors.ApiError], str, int]] = [
                (lambda: client.sandboxes.create(vcpu=0),
                 errors.InvalidArgumentError, "invalid_argument", 400),
                (stranger.whoami, errors.UnauthenticatedError, "unauthenticated", 401),
                (lambda: member.keys.create("k", "admin"),
                 errors.PermissionDeniedError, "permission_denied", 403),
                (lambda: client.sandboxes.get("sbx_none"),
                 errors.NotFoundError, "sandbox_not_found", 404),
                (lambda: client.sandboxes.create(name="other", idempotency_key=key),
                 errors.ConflictError, "idempotency_conflict", 409),
                (lambda: ended.write_stdin(b"x"),
                 errors.PreconditionFailedError, "command_ended", 409),
                (lambda: sandbox.files.list("/etc/passwd"),
                 errors.PreconditionFailedError, "not_a_directory", 409),
                (lambda: gone.run("true"), errors.GoneError, "sandbox_gone", 410),
                (lambda: sandbox.run("true", env={"A": "x" * (3 << 20)}),
                 errors.TooLargeError, "body_too_large", 413),
                (lambda: member.sandboxes.create(),
                 errors.QuotaExceededError, "quota_exceeded", 429),
            ]
            for act, kind, code, status in cases:
                with pytest.raises(errors.ApiError) as raised:
                    await act()
                error = raised.value
                assert (type(error), error.code, error.status) == (kind, code, status)
                assert error.request_id.startswith("req_")
                assert error.message and code in str(error)
            with pytest.raises(errors.InvalidArgumentError) as raised:
                await client.sandboxes.create(vcpu=0)
            assert raised.value.details["field"] == "vcpu"


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("rate_limited", 429, errors.RateLimitedError),
        ("internal", 500, errors.InternalServerError),
        ("unsupported", 501, errors.UnsupportedError),
        ("guest_unavailable", 503, errors.UnavailableError),
        ("timeout", 504, errors.DeadlineExceededError),
        ("of_a_newer_server", 409, errors.PreconditionFailedError),
        ("of_a_newer_server", 418, errors.InvalidArgumentError),
        ("of_a_newer_server", 599, errors.InternalServerError),
    ],
)
async def test_refusals_that_a_healthy_server_does_not_give(
    connect: Connect, code: str, status: int, kind: type[errors.ApiError]
) -> None:
    body = json.dumps({"error": {"code": code, "message": "m", "request_id": "req_1", "new": 1}})
    reply = answer(status, body, "retry-after: 3600")
    with scripted(lambda number, head: reply) as (url, heads):
        async with connect(url) as client:
            with pytest.raises(errors.ApiError) as raised:
                await client.whoami()
    error = raised.value
    assert (type(error), error.code, error.status) == (kind, code, status)
    assert (error.request_id, error.retry_after) == ("req_1", 3600.0)
    # A server that asks for a pause that long gets its error reported instead of another try.
    assert len(heads) == 1
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)


FAMILIES = {
    "InvalidArgument": errors.InvalidArgumentError,
    "Unauthenticated": errors.UnauthenticatedError,
    "PermissionDenied": errors.PermissionDeniedError,
    "NotFound": errors.NotFoundError,
    "Conflict": errors.ConflictError,
    "FailedPrecondition": errors.PreconditionFailedError,
    "Gone": errors.GoneError,
    "TooLarge": errors.TooLargeError,
    "QuotaExceeded": errors.QuotaExceededError,
    "RateLimited": errors.RateLimitedError,
    "Unsupported": errors.UnsupportedError,
    "Timeout": errors.DeadlineExceededError,
    "Unavailable": errors.UnavailableError,
    "Internal": errors.InternalServerError,
}


def test_every_code_has_the_family_of_its_kind() -> None:
    model = (ROOT / "crates" / "model" / "src" / "error.rs").read_text()
    kinds = dict(re.findall(r'= "(\w+)" => (\w+),', model))
    assert len(kinds) > 40
    page = (ROOT / "docs" / "errors" / "README.md").read_text()
    statuses = dict(re.findall(r"^\| \[`(\w+)`\]\([^)]*\) \| (\d+) \|", page, re.MULTILINE))
    assert statuses.keys() == kinds.keys()
    for code, kind in kinds.items():
        assert errors.family(code, int(statuses[code])) is FAMILIES[kind], code


async def test_a_server_that_is_not_there(connect: Connect) -> None:
    async with connect("http://127.0.0.1:9") as client:
        with pytest.raises(errors.ConnectionFailedError, match="pinfold serve"):
            await client.health()


async def test_a_server_that_says_nothing(connect: Connect) -> None:
    release = threading.Event()

    def silent(number: int, head: bytes) -> None:
        release.wait(20)

    with scripted(silent) as (url, heads):
        async with connect(url, timeout=0.2) as client:
            with pytest.raises(errors.AnswerTimeoutError):
                await client.templates.set("t", image="host")
            release.set()
    assert len(heads) == 1


async def test_an_answer_that_breaks_off(connect: Connect) -> None:
    with scripted(lambda number, head: answer(200, "{", length=100)) as (url, heads):
        async with connect(url) as client:
            with pytest.raises(errors.BrokenConnectionError):
                await client.whoami()
    assert len(heads) == 4


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", "{}", '{"org_id": 1}', "null", "[" * 100_000, '"\\ud800"']
)
async def test_answers_that_are_none_of_pinfold(connect: Connect, body: str) -> None:
    with scripted(lambda number, head: answer(200, body)) as (url, _):
        async with connect(url) as client:
            with pytest.raises(errors.ProtocolError):
                await client.whoami()


@pytest.mark.parametrize("status", [301, 404, 502])
async def test_errors_of_a_proxy(connect: Connect, status: int) -> None:
    reply = answer(status, "<html>", "location: http://127.0.0.1:9/")
    with scripted(lambda number, head: reply) as (url, _):
        async with connect(url) as client:
            with pytest.raises(errors.ApiError) as raised:
                await client.whoami()
    assert (raised.value.code, raised.value.status) == (f"http_{status}", status)


async def test_only_what_is_safe_is_sent_again(connect: Connect) -> None:
    me = json.dumps({"org_id": "o", "project_id": "p", "role": "owner", "key_id": None})
    with scripted(lambda n, head: None if n < 3 else answer(200, me)) as (url, heads):
        async with connect(url) as client:
            who = await client.whoami()
            assert (str(who.role), len(heads)) == ("owner", 3)
    with scripted(lambda n, head: None) as (url, heads):
        async with connect(url) as client:
            with pytest.raises(errors.BrokenConnectionError):
                await client.keys.create("k", "member")
            assert len(heads) == 1
            with pytest.raises(errors.BrokenConnectionError):
                await client.sandboxes.create()
    keys = {line for head in heads[1:] for line in head.split(b"\n") if b"idempotency" in line}
    assert len(heads) == 5 and len(keys) == 1
    busy = json.dumps({"error": {"code": "unavailable", "message": "", "request_id": "req_1"}})
    told = answer(503, busy, "retry-after: 0")
    with scripted(lambda n, head: told if n < 2 else answer(200, me)) as (url, heads):
        async with connect(url) as client:
            # Refused without effect, and the server says when to come back.
            with pytest.raises(errors.ProtocolError):
                await client.keys.create("k", "member")
    assert len(heads) == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("body", ["", "<html>", '{"error": {"code": "unavailable"}}'])
async def test_a_proxys_answer_does_not_say_that_nothing_was_done(
    connect: Connect, status: int, body: str
) -> None:
    reply = answer(status, body, "retry-after: 0", "x-request-id: proxy-1")
    with scripted(lambda number, head: reply) as (url, heads):
        async with connect(url) as client:
            for once in (
                lambda: client.keys.create("k", "member"),
                lambda: client.templates.remove("t"),
            ):
                heads.clear()
                with pytest.raises(errors.ApiError) as raised:
                    await once()
                assert (raised.value.code, len(heads)) == (f"http_{status}", 1)
            heads.clear()
            with pytest.raises(errors.ApiError):
                await client.sandboxes.create()
            assert len(heads) == 4


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.sandboxes.get(""),
        lambda client: client.sandboxes.get(".."),
        lambda client: client.sandboxes.get("\ud800"),
        lambda client: client.sandboxes.create(ttl=-1),
        lambda client: client.sandboxes.create(ttl=float("nan")),
        lambda client: client.sandboxes.create(vcpu=float("inf")),
        lambda client: client.sandboxes.create(name="\ud800"),
        lambda client: client.sandboxes.create(idempotency_key="a\nb"),
        lambda client: client.sandboxes.create(metadata={"a": b"c"}),
        lambda client: client.usage.project(since=datetime(2020, 1, 1)),
    ],
)
async def test_what_cannot_be_asked_is_not_sent(connect: Connect, act: Any) -> None:
    async with connect("http://127.0.0.1:9") as client:
        with pytest.raises(errors.ConfigurationError):
            await act(client)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:7070", "ftp://x", "http://", "http://a:b@c", "http://x:99999", "unix:/x"]
)
def test_urls_that_are_none(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(errors.ConfigurationError):
            kind(url, "k")


def test_keys_are_wanted_checked_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINFOLD_API_KEY", raising=False)
    for key in (None, "", "a b\nc", "ü"):
        with pytest.raises(errors.ConfigurationError):
            Client("http://127.0.0.1:9", key)
    monkeypatch.setenv("PINFOLD_API_KEY", "s3cret")
    monkeypatch.setenv("PINFOLD_URL", "http://127.0.0.1:9/prefix/")
    with Client() as client:
        assert client.url == "http://127.0.0.1:9/prefix"
        assert "s3cret" not in repr(client) + repr(vars(client)) + repr(client._http.settings)
        with pytest.raises(errors.ConnectionFailedError) as raised:
            client.whoami()
        assert "s3cret" not in repr(raised.value) + str(raised.value)
    with pytest.raises(errors.ConfigurationError, match="closed"):
        client.whoami()


def test_an_async_client_belongs_to_one_loop() -> None:
    client = AsyncClient("http://127.0.0.1:9", "k")

    async def ask() -> None:
        with pytest.raises(errors.ConnectionFailedError):
            await client.whoami()

    asyncio.run(ask())

    async def elsewhere() -> None:
        with pytest.raises(errors.ConfigurationError, match="loop"):
            await client.whoami()

    asyncio.run(elsewhere())
