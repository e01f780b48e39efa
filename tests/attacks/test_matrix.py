"""Every operation of the served document for every kind of caller. What is of another project is
neither seen nor changed, and told apart from nothing by nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from matrix import NATIVE, Case, Stranger
from tenants import Tenants, ask, same
from world import Pinfold, until

METHODS = {"get", "put", "post", "patch", "delete", "head", "options", "trace"}


@pytest.fixture(scope="module")
def tenants(pinfold: Pinfold) -> Tenants:
    return Tenants(pinfold)


@pytest.fixture(scope="module")
def no_keys(pinfold: Pinfold) -> dict[str, str | None]:
    """What opens nothing, by what it is."""
    revoked = pinfold.member()
    assert ask(pinfold.url, "GET", "/v1/whoami", revoked["secret"]).status_code == 200
    pinfold.call("DELETE", f"/v1/keys/{revoked['key']['id']}")
    expired = pinfold.member(expires_in_ms=1)["secret"]
    until(lambda: ask(pinfold.url, "GET", "/v1/whoami", expired).status_code == 401, "its end")
    return {
        "none": None,
        "short": "x",
        "wrong": "pfk_" + "0" * 40,
        "revoked": revoked["secret"],
        "expired": expired,
        "nearly right": pinfold.key[:-1] + "z",
    }


def operations(pinfold: Pinfold) -> list[str]:
    document = pinfold.call("GET", "/v1/openapi.json")
    return [
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS
    ]


def cases(pinfold: Pinfold) -> Iterator[tuple[str, str, Case]]:
    for operation in operations(pinfold):
        method, path = operation.split(" ")
        yield method, path, NATIVE[operation]


def call(url: str, method: str, path: str, case: Case, key: str | None, **names: str) -> httpx.Response:
    return ask(url, method, path.format(**names), key, **case.options())


def test_every_operation_of_the_document_has_its_entry(pinfold: Pinfold) -> None:
    assert sorted(operations(pinfold)) == sorted(NATIVE)


def test_without_a_valid_key_nothing_is_told(
    pinfold: Pinfold, tenants: Tenants, no_keys: dict[str, str | None]
) -> None:
    for method, path, case in cases(pinfold):
        for name, key in no_keys.items():
            answers = [
                call(pinfold.url, method, path, case, key, **ids)
                for ids in (tenants.ids, tenants.fakes())
            ]
            where = f"{method} {path} with a key that is {name}: {answers[0].text[:200]}"
            if case.stranger is Stranger.PUBLIC:
                assert answers[0].status_code == 200, where
            elif case.stranger is Stranger.SIGNED:
                # The real one was made for reading; one that was changed is worth nothing.
                assert answers[0].status_code == (200 if method == "GET" else 403), where
                assert answers[1].json()["error"]["code"] == "link_invalid", where
            else:
                assert answers[0].status_code == 401, where
                assert answers[0].json()["error"]["code"] == "unauthenticated", where
                assert same(answers[0], tenants.ids) == same(answers[1], tenants.fakes()), where


def test_things_of_another_project_are_like_things_that_do_not_exist(
    pinfold: Pinfold, tenants: Tenants
) -> None:
    before = snapshot(pinfold, tenants)
    for method, path, case in cases(pinfold):
        if case.stranger is not Stranger.HIDDEN:
            continue
        real, fake = (
            call(pinfold.url, method, path, case, tenants.stranger.key, **ids)
            for ids in (tenants.ids, tenants.fakes())
        )
        where = f"{method} {path}: {real.text[:300]}"
        assert real.status_code == 404, where
        assert tenants.mark not in real.text, where
        assert same(real, tenants.ids) == same(fake, tenants.fakes()), where
    for method, path in [("POST", "signal"), ("POST", "cancel"), ("POST", "stdin/close")]:
        body = {"signal": {"signal": "KILL"}, "cancel": {"mode": "force"}}.get(path)
        target = f"/v1/commands/{tenants.running}/{path}"
        answer = ask(pinfold.url, method, target, tenants.stranger.key, json=body)
        assert answer.status_code == 404, f"{target}: {answer.text}"
    assert snapshot(pinfold, tenants) == before


def test_lists_show_a_member_nothing_of_another_project(
    pinfold: Pinfold, tenants: Tenants
) -> None:
    for method, path, case in cases(pinfold):
        if case.stranger is not Stranger.OWN:
            continue
        answer = call(pinfold.url, method, path, case, tenants.bystander.key, template="mine", secret="mine")
        assert answer.is_success, f"{method} {path}: {answer.text}"
        for mark in tenants.marks:
            assert mark not in answer.text, f"{method} {path} shows {mark}"
    for path in ("sandboxes", "objects", "templates", "images", "projects"):
        shown = ask(pinfold.url, "GET", f"/v1/{path}", tenants.owner.key).text
        assert tenants.mark in shown, f"its owner does not see it either: {path}"


def test_what_admins_do_no_member_does_not_even_in_its_own_project(
    pinfold: Pinfold, tenants: Tenants
) -> None:
    before = snapshot(pinfold, tenants)
    for method, path, case in cases(pinfold):
        if case.stranger is not Stranger.ADMINS:
            continue
        for who in (tenants.stranger, tenants.owner):
            real, fake = (
                call(pinfold.url, method, path, case, who.key, **ids)
                for ids in (tenants.ids, tenants.fakes())
            )
            where = f"{method} {path}: {real.text[:300]}"
            assert real.status_code == 403, where
            assert real.json()["error"]["code"] == "permission_denied", where
            assert same(real, tenants.ids) == same(fake, tenants.fakes()), where
    assert snapshot(pinfold, tenants) == before


def test_what_strangers_do_not_find_is_there_for_its_owner(
    pinfold: Pinfold, tenants: Tenants
) -> None:
    """Otherwise all those answers could come from anything. Last, since it removes things."""

    def order(entry: tuple[str, str, Case]) -> tuple[bool, int]:
        method, path, _ = entry
        return method == "DELETE", -path.count("/")

    for method, path, case in sorted(cases(pinfold), key=order):
        if case.stranger is not Stranger.HIDDEN or (method, path.count("/")) == ("DELETE", 3):
            continue
        answer = call(pinfold.url, method, path, case, tenants.owner.key, **tenants.ids)
        code = answer.json().get("error", {}).get("code", "") if answer.status_code >= 400 else ""
        gone = code.endswith("_not_found") and not code.startswith("file")
        assert not gone and answer.status_code < 500, f"{method} {path}: {answer.text}"


def snapshot(pinfold: Pinfold, tenants: Tenants) -> dict[str, Any]:
    """What its owner reads of each of its things."""
    seen = {}
    for method, path, case in cases(pinfold):
        endless = path.endswith(("/watch", "/pty"))
        if method != "GET" or case.stranger is not Stranger.HIDDEN or endless:
            continue
        answer = call(pinfold.url, method, path, case, tenants.owner.key, **tenants.ids)
        # A pull was its administrator's; what it brought is the project's.
        assert answer.is_success, f"GET {path}: {answer.text}"
        if not path.endswith("/usage"):
            body = same(answer, {})["body"]
            if isinstance(body, dict):
                body.pop("last_active_at", None)
            seen[path] = body
    running = pinfold.call("GET", f"/v1/commands/{tenants.running}")
    assert running["state"] == "running", running
    seen["key"] = pinfold.call("GET", "/v1/keys?limit=500")["items"]
    seen["key"] = [key for key in seen["key"] if key["id"] == tenants.ids["key_id"]]
    for key in seen["key"]:
        key.pop("last_used_at")
    seen["running"] = running["id"]
    return seen
