"""The dialects' routes, as their sources list them, and the tools of MCP: for every kind of caller."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from matrix import Case, admins, hidden, own
from tenants import Tenants, ask, fake, same
from world import Pinfold

DIALECTS = Path(__file__).resolve().parents[2] / "crates" / "dialects" / "src"
TMP, FILE = {"path": "/workspace"}, {"path": "/workspace/file"}
S, C = "/crownest/v1/sandboxes/{sandbox}", "/crownest/v1/commands/{command}"
U = "/upstream/v1/sandboxes/{upstream}"
SIGNED = Case(own().stranger)

FACADES: dict[str, Case] = {
    "GET /crownest/v1/sandboxes": own(),
    "POST /crownest/v1/sandboxes": own({}),
    f"GET {S}": hidden(),
    f"DELETE {S}": hidden(),
    f"POST {S}/extend": hidden({"ttlMs": 60000}),
    f"POST {S}/commands/run": hidden({"command": "true"}),
    f"POST {S}/commands/start": hidden({"command": "true"}),
    f"GET {C}": hidden(),
    f"POST {C}/cancel": hidden({}),
    f"GET {C}/logs": hidden(),
    f"GET {C}/stream": hidden(),
    f"GET {S}/files": hidden(query=TMP),
    f"PUT {S}/files": hidden({"path": "/workspace/x", "content": "x", "encoding": "utf8"}),
    f"DELETE {S}/files": hidden(query=FILE),
    f"GET {S}/files/read": hidden(query=FILE),
    f"GET {S}/files/stat": hidden(query=FILE),
    f"POST {S}/files/mkdir": hidden({"path": "/workspace/d"}),
    f"POST {S}/files/move": hidden({"from": "/workspace/a", "to": "/workspace/b"}),
    f"GET {S}/files/download": hidden(query=FILE),
    f"POST {S}/files/download-url": hidden({"path": "/workspace/file"}),
    f"GET {S}/code/contexts": hidden(),
    f"POST {S}/code/contexts": hidden({"language": "python"}),
    f"GET {S}/code/contexts/{{context}}": hidden(),
    f"DELETE {S}/code/contexts/{{context}}": hidden(),
    f"POST {S}/code/runs": hidden({"code": "1", "language": "python"}),
    f"POST {S}/code/runs/stream": hidden({"code": "1", "language": "python"}),
    f"GET {S}/artifacts": hidden(),
    f"POST {S}/artifacts": hidden({"path": "/workspace/file", "name": "n"}),
    "GET /crownest/v1/artifacts/{artifact}": hidden(),
    "DELETE /crownest/v1/artifacts/{artifact}": hidden(),
    "GET /crownest/v1/artifacts/{artifact}/download": hidden(),
    "POST /crownest/v1/artifacts/{artifact}/download-url": hidden({}),
    f"GET {S}/previews": hidden(),
    f"POST {S}/previews": hidden({"port": 8000}),
    "GET /crownest/v1/previews/{preview}": hidden(),
    "DELETE /crownest/v1/previews/{preview}": hidden(),
    "GET /crownest/v1/projects": own(),
    "POST /crownest/v1/projects": admins({"name": "n"}),
    "GET /crownest/v1/api-keys": admins(),
    "GET /crownest/v1/api-keys/{key}": admins(),
    "DELETE /crownest/v1/api-keys/{key}": admins(),
    "GET /crownest/v1/usage": own(),
    "GET /crownest/v1/signed/{token}": SIGNED,
    "POST /upstream/v1/sandboxes": own({}),
    "GET /upstream/v1/sandboxes": own(),
    f"GET {U}": hidden(),
    f"DELETE {U}": hidden(),
    f"POST {U}/exec": hidden({"command": ["true"]}),
    f"GET {U}/files": hidden(query=FILE),
    f"PUT {U}/files": hidden(query={"path": "/tmp/x"}, content=b"x"),
    "POST /upstream/v1/runs": own(),
    "GET /upstream/v1/runs/{run}": hidden(),
    "POST /upstream/v1/runs/{run}/cancel": hidden(),
    "GET /upstream/v1/usage": own(),
}
ID = {"sandbox_id": "ID"}
TOOLS: dict[str, dict[str, Any] | None] = {
    "create_sandbox": None,
    "list_sandboxes": None,
    "list_images": None,
    "snapshot_sandbox": ID,
    "get_sandbox": ID,
    "extend_sandbox": {**ID, "ttl_minutes": 5},
    "destroy_sandbox": ID,
    "run_command": {**ID, "command": "true"},
    "start_command": {**ID, "command": "true"},
    "list_commands": ID,
    "read_output": {"command_id": "COMMAND"},
    "cancel_command": {"command_id": "COMMAND"},
    "read_file": {**ID, "path": "/workspace/file"},
    "write_file": {**ID, "path": "/workspace/x", "content": "x"},
    "list_directory": {**ID, "path": "/workspace"},
    "run_code": {**ID, "code": "1"},
    "restart_code": {"context_id": "CONTEXT"},
    "expose_port": {**ID, "port": 8000},
    "close_port": {"preview_id": "PREVIEW"},
}


def routes(facade: str, source: str) -> list[str]:
    """What a source file routes, by its own words."""
    text = re.sub(r"\s+", " ", (DIALECTS / source).read_text())
    found = []
    for piece in text.split(".route(")[1:]:
        path = re.search(r'"(/[^"]+)"', piece)
        assert path, piece
        for method in re.findall(r"\b(get|post|put|delete|patch|any)\(", piece.split(".merge")[0]):
            # Each facade has ids of its own form.
            named = path.group(1).replace("{sandbox}", "{upstream}" if facade == "upstream" else "{sandbox}")
            found.append(f"{method.upper()} /{facade}{named}")
    return found


@pytest.fixture(scope="module")
def tenants(pinfold: Pinfold) -> Tenants:
    tenants = Tenants(pinfold)
    path = f"/crownest/v1/sandboxes/{tenants.ids['sandbox_id']}/artifacts"
    made = tenants.owner.call("POST", path, json={"path": "/workspace/file", "name": "n"})
    tenants.ids["artifact"] = re.findall(r"art_\w+", json.dumps(made))[0]
    return tenants


def names(ids: dict[str, str]) -> dict[str, str]:
    """By what the facades call them."""
    return {
        "sandbox": ids["sandbox_id"],
        "upstream": "sb-" + ids["sandbox_id"].split("_", 1)[1],
        "command": ids["command_id"],
        "context": ids["context_id"],
        "artifact": ids["artifact"],
        "preview": ids["preview_id"],
        "key": ids["key_id"],
        "run": ids["pipeline_run_id"],
        "token": ids["token"],
    }


def test_every_route_of_the_facades_has_its_entry() -> None:
    listed = routes("crownest", "crownest/routes.rs") + routes("upstream", "upstream.rs")
    assert sorted(listed) == sorted(FACADES)


def test_facades_hide_what_is_of_another_project(pinfold: Pinfold, tenants: Tenants) -> None:
    real, other = names(tenants.ids), names(tenants.fakes())
    for route, case in FACADES.items():
        method, path = route.split(" ")
        for key in (None, "pfk_" + "0" * 40):
            answer = ask(pinfold.url, method, path.format(**other), key, **case.options())
            assert answer.status_code == (403 if case is SIGNED else 401), f"{route} {answer.text}"
        if case is SIGNED or "{" not in path:
            continue
        told = []
        for ids in (real, other):
            target = path.format(**ids)
            answer = ask(pinfold.url, method, target, tenants.stranger.key, **case.options())
            told.append(same(answer, ids))
            assert answer.status_code == (403 if case.stranger is admins().stranger else 404), (
                f"{route} {answer.text}"
            )
            assert tenants.mark not in answer.text
        assert told[0] == told[1], route
    for path in ("crownest/v1/sandboxes", "crownest/v1/projects", "upstream/v1/sandboxes"):
        answer = ask(pinfold.url, "GET", f"/{path}", tenants.bystander.key)
        assert answer.is_success and not any(mark in answer.text for mark in tenants.marks), path
        shown = ask(pinfold.url, "GET", f"/{path}", tenants.owner.key).text
        assert tenants.ids["sandbox_id"][4:] in shown or tenants.mark in shown, path


def test_what_strangers_do_not_find_there_is_there_for_its_owner(
    pinfold: Pinfold, tenants: Tenants
) -> None:
    for route, case in FACADES.items():
        method, path = route.split(" ")
        if method != "GET" or "{" not in path or case.stranger is not hidden().stranger:
            continue
        target = path.format(**names(tenants.ids))
        answer = ask(pinfold.url, method, target, tenants.owner.key, **case.options())
        assert answer.is_success, f"{route} {answer.text}"


def rpc(url: str, key: str | None, session: str | None, method: str, **params: Any) -> httpx.Response:
    headers = {"accept": "application/json, text/event-stream"}
    if session:
        headers |= {"mcp-session-id": session, "mcp-protocol-version": "2025-11-25"}
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if not method.startswith("notifications/"):
        message["id"] = 1
    return ask(url, "POST", "/mcp", key, json=message, headers=headers)


def result(answer: httpx.Response) -> dict[str, Any]:
    lines = [line[5:] for line in answer.text.splitlines() if line.startswith("data:")]
    return dict(json.loads(next(line for line in lines if line.strip()))["result"])


def begin(url: str, key: str | None) -> httpx.Response:
    return rpc(url, key, None, "initialize", protocolVersion="2025-11-25", capabilities={},
               clientInfo={"name": "attack", "version": "1"})  # fmt: skip


def test_every_tool_hides_what_is_of_another_project(pinfold: Pinfold, tenants: Tenants) -> None:
    for key in (None, "pfk_" + "0" * 40):
        assert begin(pinfold.url, key).status_code == 401
    key = tenants.stranger.key
    session = begin(pinfold.url, key).headers["mcp-session-id"]
    rpc(pinfold.url, key, session, "notifications/initialized")
    # A session of another key is like one that does not exist.
    for wrong in (session, fake(session)):
        assert rpc(pinfold.url, tenants.owner.key, wrong, "tools/list").status_code == 404
    listed = {tool["name"] for tool in result(rpc(pinfold.url, key, session, "tools/list"))["tools"]}
    assert listed == set(TOOLS)
    for tool in sorted(listed):
        arguments = TOOLS[tool]
        if arguments is None:
            continue
        told = []
        for ids in (tenants.ids, tenants.fakes()):
            swap = {"ID": ids["sandbox_id"], "COMMAND": ids["command_id"],
                    "CONTEXT": ids["context_id"], "PREVIEW": ids["preview_id"]}  # fmt: skip
            given = {name: swap.get(str(value), value) for name, value in arguments.items()}
            answer = rpc(pinfold.url, key, session, "tools/call", name=tool, arguments=given)
            got = result(answer)
            assert got["isError"] and "_not_found" in json.dumps(got), f"{tool}: {got}"
            words = re.sub(r"req_\w+", "", json.dumps(got))
            for name, identity in swap.items():
                words = words.replace(identity, name)
            told.append(words)
        assert told[0] == told[1], tool
