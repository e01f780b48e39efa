"""Ids of another project where they are no part of the path: in bodies, filters, cursors and headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tenants import Tenants, ask, fake, same
from world import Pinfold, Sandbox

BRIEF = {"image": "host", "memory_mib": 64}


@pytest.fixture(scope="module")
def tenants(pinfold: Pinfold) -> Tenants:
    return Tenants(pinfold)


@pytest.fixture
def theirs(tenants: Tenants) -> Iterator[Sandbox]:
    """The stranger's own sandbox."""
    with tenants.stranger.sandbox() as sandbox:
        yield sandbox


def both(tenants: Tenants, method: str, path: str, real: str, **options: Any) -> httpx.Response:
    """The answer about a thing of the owner, which has to equal that about a thing nobody has."""

    def swap(value: Any, identity: str) -> Any:
        if isinstance(value, dict):
            return {name: swap(inner, identity) for name, inner in value.items()}
        return identity if value == "ID" else value

    other = fake(real)
    answers = [
        ask(tenants.url, method, path, tenants.stranger.key, **swap(options, identity))
        for identity in (real, other)
    ]
    told = [same(answer, {"id": i}) for answer, i in zip(answers, (real, other), strict=True)]
    assert told[0] == told[1]
    assert tenants.mark not in answers[0].text.replace(real, "")
    return answers[0]


@pytest.mark.parametrize(
    ("field", "what"), [("image", "image"), ("template", "template"), ("fork_of", "sandbox_id")]
)
def test_a_sandbox_is_made_of_nothing_of_another_project(tenants: Tenants, field: str, what: str) -> None:
    body = {"memory_mib": 64, field: "ID"}
    by_id = both(tenants, "POST", "/v1/sandboxes", tenants.ids[what], json=body)
    assert by_id.json()["error"]["code"] == f"{what.removesuffix('_id')}_not_found"
    made = ask(tenants.url, "POST", "/v1/sandboxes", tenants.owner.key, json={
        "memory_mib": 64, field: tenants.ids[what]})  # fmt: skip
    assert made.status_code == 201 or made.json()["error"]["code"] == "sandbox_failed", made.text
    if made.is_success:
        tenants.owner.call("DELETE", f"/v1/sandboxes/{made.json()['id']}")


def test_templates_and_pipelines_name_nothing_of_another_project(tenants: Tenants) -> None:
    image = tenants.ids["image"]
    put = both(tenants, "PUT", "/v1/templates/mine", image, json={"image": "ID"})
    run = {"markdown": "```bash\ntrue\n```\n", "sandbox": {"image": "ID"}}
    answer = both(tenants, "POST", "/v1/pipeline-runs", image, json=run)
    for got in (put, answer):
        assert got.json()["error"]["code"] == "image_not_found", got.text


def test_a_template_of_the_same_name_is_another_one(tenants: Tenants) -> None:
    path = f"/v1/templates/{tenants.mark}"
    before = tenants.owner.call("GET", path)
    mine = tenants.stranger.call("PUT", path, json={"image": "host", "env": {"MINE": "1"}})
    assert mine["id"] != before["id"] and mine["version"] == 1
    assert tenants.owner.call("GET", path) == before
    tenants.stranger.call("DELETE", path)
    assert tenants.owner.call("GET", path) == before


def test_code_and_terminals_join_nothing_of_another_project(
    tenants: Tenants, theirs: Sandbox
) -> None:
    context, command = tenants.ids["context_id"], tenants.running
    code = {"code": "1", "context_id": "ID"}
    for path in ("code", "code/runs"):
        answer = both(tenants, "POST", f"{theirs.path}/{path}", context, json=code)
        assert answer.json()["error"]["code"] == "code_context_not_found", answer.text
    headers = {
        "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    answer = both(
        tenants, "GET", f"{theirs.path}/pty", command, params={"command_id": "ID"}, headers=headers
    )
    assert answer.status_code == 404, answer.text


def test_objects_are_taken_from_no_other_project_s_sandbox(tenants: Tenants) -> None:
    sandbox = tenants.ids["sandbox_id"]
    body = {"name": "n", "sandbox_id": "ID", "path": "/tmp/file"}
    answer = both(tenants, "POST", "/v1/objects", sandbox, json=body)
    assert answer.json()["error"]["code"] == "sandbox_not_found", answer.text


@pytest.mark.parametrize("path", ["/v1/objects?sandbox_id={}", "/v1/audit?subject={}"])
def test_filters_find_nothing_of_another_project(tenants: Tenants, path: str) -> None:
    path = path.format(tenants.ids["sandbox_id"])
    answer = ask(tenants.url, "GET", path, tenants.bystander.key)
    assert answer.status_code in (200, 404), answer.text
    assert answer.json().get("items", []) == []


@pytest.mark.parametrize("what", ["sandboxes", "objects", "templates", "images", "pipeline-runs"])
def test_a_cursor_leads_nobody_into_another_project(tenants: Tenants, what: str) -> None:
    for _ in range(2):
        if what == "objects":
            tenants.owner.call("POST", f"/v1/objects/upload?name={tenants.mark}", content=b"x")
        elif what == "templates":
            tenants.owner.call("PUT", f"/v1/templates/{tenants.mark}2", json={"image": "host"})
        elif what == "pipeline-runs":
            run = {"markdown": "```bash\ntrue\n```\n", "sandbox": BRIEF}
            tenants.owner.call("POST", "/v1/pipeline-runs", json=run)
        elif what == "sandboxes":
            made = tenants.owner.call("POST", "/v1/sandboxes", json={**BRIEF, "wait": False})
            tenants.owner.call("DELETE", f"/v1/sandboxes/{made['id']}")
    query = "&include_ended=true" if what == "sandboxes" else ""
    first = tenants.owner.call("GET", f"/v1/{what}?limit=1{query}")
    assert first["next_cursor"], first
    target = f"/v1/{what}?limit=50{query}&cursor={first['next_cursor']}"
    own = tenants.owner.call("GET", target)
    assert own["items"], "the cursor leads its owner on"
    answer = ask(tenants.url, "GET", target, tenants.bystander.key)
    assert answer.status_code in (200, 400), answer.text
    for mark in tenants.marks:
        assert mark not in answer.text


def test_one_idempotency_key_of_two_projects_names_two_things(tenants: Tenants) -> None:
    headers = {"idempotency-key": "one key of two tenants"}
    made = [
        ask(tenants.url, "POST", "/v1/sandboxes", who.key, json=BRIEF, headers=headers).json()
        for who in (tenants.owner, tenants.stranger, tenants.stranger)
    ]
    assert made[0]["id"] != made[1]["id"] == made[2]["id"]
    assert made[0]["project_id"] == tenants.project != made[1]["project_id"]
    for who, sandbox in ((tenants.owner, made[0]), (tenants.stranger, made[1])):
        who.call("DELETE", f"/v1/sandboxes/{sandbox['id']}")


def test_a_preview_opens_with_no_key_of_another_project(tenants: Tenants) -> None:
    """That there is one at this address is no secret: the address is made to be handed on."""
    path = f"/p/{tenants.slug}/"
    foreign = ask(tenants.url, "GET", path, tenants.stranger.key)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "permission_denied")
    for key in (None, "pfk_" + "0" * 40):
        answer = ask(tenants.url, "GET", path, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    owner = ask(tenants.url, "GET", path, tenants.owner.key)
    assert owner.json()["error"]["code"] == "preview_unavailable", "it opens, and nothing listens"
    nowhere = ask(tenants.url, "GET", "/p/aaaaaaaaaaaaaaaa/", tenants.stranger.key)
    assert nowhere.json()["error"]["code"] == "preview_not_found", nowhere.text
