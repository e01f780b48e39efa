"""Secrets: whoever looks, at whatever the server says or writes, finds no value."""

from __future__ import annotations

import base64
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.server import Server
from world import Pinfold

HOST = {"secret": "TOKEN", "host": "api.example.com"}


class Watched(Pinfold):
    """Keeps all that was answered."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.heard: list[bytes] = []
        self.http.event_hooks = {"response": [self._hear]}

    def _hear(self, answer: httpx.Response) -> None:
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.heard += [head.encode(), answer.read()]

    def put(self, name: str, value: Any) -> httpx.Response:
        return self.http.put(f"/v1/secrets/{name}", json={"value": value})


@pytest.fixture
def loud(tmp_path: Path) -> Iterator[Server]:
    """A server of its own that logs all it can."""
    server = Server(tmp_path, environment={"PINFOLD_LOG": "trace"}).start()
    yield server
    server.stop()


def forms(value: str) -> list[bytes]:
    """How a value could be written down."""
    plain = value.encode()
    return [plain, plain.hex().encode(), base64.b64encode(plain)[:-4], plain[: len(plain) // 2]]


def files(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below, but those of the image and of sandboxes, which know nothing of secrets."""
    for path in directory.rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_size < 64 << 20:
            yield path, path.read_bytes()


def test_no_answer_log_or_file_has_a_value(loud: Server, tmp_path: Path) -> None:
    pinfold = Watched(loud.url, loud.key)
    values = [secrets.token_hex(24) for _ in range(4)]
    first, second, deleted, refused = values
    assert pinfold.put("TOKEN", first).is_success
    assert pinfold.put("TOKEN", second).is_success
    assert pinfold.put("GONE", deleted).is_success
    pinfold.call("DELETE", "/v1/secrets/GONE")
    for body in (f"{refused}\0", [refused], {"a": refused}, refused * 1000):
        assert pinfold.put("TOKEN", body).status_code == 400
    raw = pinfold.http.put(
        "/v1/secrets/TOKEN", content=f'"{refused}"', headers={"content-type": "application/json"}
    )
    assert raw.status_code == 400
    for path in ("secrets", "secrets/TOKEN", "secrets/GONE", "audit", "usage", "openapi.json"):
        pinfold.http.get(f"/v1/{path}")
    for network in ("none", "open"):
        wish = {"network": network, "credentials": [HOST], "wait": False}
        assert not pinfold.http.post("/v1/sandboxes", json=wish).is_success
    with pinfold.sandbox() as sandbox:
        told = sandbox.shell("env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'")
    assert "PATH=" in told
    pinfold.http.get("/metrics")

    said = loud.log(last_bytes=1 << 30).encode()
    assert b"DEBUG" in said, "it does not log all it can"
    loud.kill()
    seen = {str(path): content for path, content in files(tmp_path)}
    assert any(path.endswith("pinfold.db-wal") for path in seen), sorted(seen)
    everything = {**seen, "answers": b"\n".join(pinfold.heard), "inside": told.encode()}
    for where, content in everything.items():
        for value in values:
            for form in forms(value):
                assert form not in content, f"{where} has {form!r}"
    loud.start()
    assert pinfold.call("GET", "/v1/secrets/TOKEN")["name"] == "TOKEN"


def test_the_key_is_its_owners_and_is_in_no_other_file(loud: Server, tmp_path: Path) -> None:
    pinfold = Watched(loud.url, loud.key)
    assert pinfold.put("TOKEN", "a value").is_success
    path = loud.data / "secrets.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text().strip()
    loud.kill()
    for where, content in files(tmp_path):
        if where != path:
            assert key.encode() not in content and bytes.fromhex(key) not in content, where
    loud.start()


def test_without_its_key_a_server_serves_all_else_and_loses_nothing(loud: Server) -> None:
    pinfold = Watched(loud.url, loud.key)
    before = pinfold.put("TOKEN", "a value").json()
    path = loud.data / "secrets.key"
    key = path.read_bytes()
    for wrong in (None, b"0" * 64, b"nonsense"):
        loud.kill()
        path.unlink(missing_ok=True)
        if wrong is not None:
            path.write_bytes(wrong)
        loud.start()
        answer = pinfold.put("TOKEN", "another")
        assert answer.status_code == 503, answer.text
        error = answer.json()["error"]
        assert error["code"] == "secrets_locked"
        assert "secrets.key" in error["message"], error
        assert key.decode().strip() not in answer.text + loud.log(last_bytes=1 << 30)
        assert pinfold.call("GET", "/v1/secrets")["items"] == [before]
        with pinfold.sandbox() as sandbox:
            sandbox.is_well()
        assert (path.read_bytes() if path.exists() else None) == wrong
    loud.kill()
    path.write_bytes(key)
    loud.start()
    assert pinfold.put("TOKEN", "another").is_success


def test_another_project_finds_and_uses_nothing(pinfold: Pinfold) -> None:
    mine, theirs = (
        Watched(pinfold.url, pinfold.member(pinfold.call("POST", "/v1/projects", json=body)["id"])["secret"])
        for body in ({"name": secrets.token_hex(6)}, {"name": secrets.token_hex(6)})
    )
    value = secrets.token_hex(24)
    assert mine.put("TOKEN", value).is_success
    for method in ("GET", "DELETE"):
        assert theirs.http.request(method, "/v1/secrets/TOKEN").status_code == 404
    wish = {"wait": False, "credentials": [HOST]}
    answer = theirs.http.post("/v1/sandboxes", json=wish)
    assert answer.json()["error"]["code"] == "secret_not_found", answer.text
    assert theirs.call("GET", "/v1/secrets")["items"] == []
    assert theirs.put("TOKEN", "another").is_success
    assert len(mine.call("GET", "/v1/secrets")["items"]) == 1
    assert value.encode() not in b"\n".join(theirs.heard + mine.heard)
