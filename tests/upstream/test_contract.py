"""The HTTP contract under `/upstream/v1`, asked without the SDK: shapes, codes, oddities."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import eventually


@pytest.fixture
def http(server: Any) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=server.dialect + "/v1", headers=headers, trust_env=False, timeout=60) as it:
        yield it


@pytest.fixture
def made(http: httpx.Client) -> Iterator[str]:
    """A sandbox that is ready."""
    sandbox = http.post("/sandboxes", json={"vcpu": 1}).json()["sandbox_id"]
    eventually(lambda: http.get(f"/sandboxes/{sandbox}").json()["status"] == "ready", 30)
    yield sandbox
    http.delete(f"/sandboxes/{sandbox}")


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code; the body has the contract's shape."""
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message"}
    assert body["error"]["message"]
    return answer.status_code, body["error"]["code"]


def test_creating_answers_at_once_with_the_documented_fields(http: httpx.Client) -> None:
    answer = http.post("/sandboxes", json={})
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"sandbox_id", "status", "image", "vcpu", "memory_mib", "created_at"}
    assert body["sandbox_id"].startswith("sb-")
    assert (body["status"], body["image"]) == ("creating", "python:3.12")
    assert (body["vcpu"], body["memory_mib"]) == (2, 512)
    path = f"/sandboxes/{body['sandbox_id']}"
    listed = http.get("/sandboxes").json()["sandboxes"]
    assert body["sandbox_id"] in [each["sandbox_id"] for each in listed]
    assert http.delete(path).status_code == 204
    assert http.delete(path).status_code == 204


def test_one_that_ended_is_shown_as_stopped_and_takes_nothing_more(http: httpx.Client, made: str) -> None:
    path = f"/sandboxes/{made}"
    assert http.delete(path).status_code == 204
    assert http.get(path).json()["status"] == "stopped"
    listed = http.get("/sandboxes").json()["sandboxes"]
    assert made not in [each["sandbox_id"] for each in listed]
    for answer in (
        http.post(f"{path}/exec", json={"command": ["true"]}),
        http.post(f"{path}/exec", json={"command": ["true"], "stream": True}),
        http.get(f"{path}/files", params={"path": "a"}),
        http.put(f"{path}/files", params={"path": "a"}, content=b"x"),
    ):
        assert refused(answer) == (410, "sandbox_gone")


def test_a_sandbox_that_nobody_uses_ends_after_an_hour(http: httpx.Client, made: str, server: Any) -> None:
    own = made.replace("sb-", "sbx_")
    headers = {"Authorization": f"Bearer {server.key}"}
    facts = httpx.get(f"{server.url}/v1/sandboxes/{own}", headers=headers, trust_env=False).json()
    spec = facts.get("spec", facts)
    assert (spec["idle_timeout_ms"], spec["idle_action"]) == (3_600_000, "destroy")


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/nothing", None, (404, "not_found")),
        ("PATCH", "/sandboxes", None, (405, "method_not_allowed")),
        ("GET", "/sandboxes/sb-none", None, (404, "not_found")),
        ("DELETE", "/sandboxes/sb-none", None, (404, "not_found")),
        ("GET", "/sandboxes/sbx_none", None, (404, "not_found")),
        ("GET", "/runs/0", None, (404, "not_found")),
        ("GET", "/runs/x", None, (404, "not_found")),
        ("POST", "/runs/9999999/cancel", None, (404, "not_found")),
        ("POST", "/sandboxes", {"image": "No Such"}, (404, "image_not_found")),
        ("POST", "/sandboxes", {"vcpu": 2.5}, (400, "invalid_argument")),
        ("POST", "/sandboxes", {"vcpu": True}, (400, "invalid_argument")),
        ("POST", "/sandboxes", {"cpus": 2}, (400, "invalid_argument")),
        ("POST", "/sandboxes", [], (400, "invalid_argument")),
        ("POST", "/runs", {}, (400, "invalid_argument")),
        ("POST", "/runs", {"markdown": 1}, (400, "invalid_argument")),
    ],
)
def test_refusals_have_the_documented_code(
    http: httpx.Client, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    answer = http.request(method, path, json=body)
    assert refused(answer) == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": "ls"},
        {"command": []},
        {"command": [1]},
        {"command": ["a\0"]},
        {"command": ["true"], "timeout_s": -1},
        {"command": ["true"], "timeout_s": 0},
        {"command": ["true"], "timeout_s": "1"},
        {"command": ["true"], "cwd": "/"},
    ],
)
def test_commands_that_are_none_are_refused(http: httpx.Client, made: str, body: Any) -> None:
    assert refused(http.post(f"/sandboxes/{made}/exec", json=body)) == (400, "invalid_argument")


def test_a_key_that_is_none_is_unauthorized(http: httpx.Client) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer sk-wrong"}):
        assert refused(http.get("/usage", headers=headers)) == (401, "unauthorized")


def test_a_quota_is_429_and_says_when_to_come_back(http: httpx.Client, server: Any) -> None:
    project = server.pinfold("projects", "create", f"q{time.time_ns()}", "--json")
    project_id = json.loads(project)["id"]
    native = {"Authorization": f"Bearer {server.key}"}
    url = f"{server.url}/v1/projects/{project_id}"
    limited = httpx.patch(url, json={"quota": {"live_sandboxes": 0}}, headers=native, trust_env=False)
    if limited.status_code >= 300:
        limited = httpx.patch(url, json={"live_sandboxes": 0}, headers=native, trust_env=False)
    limited.raise_for_status()
    key = server.pinfold("keys", "create", "--role", "member", "--project", project_id).split()[-1]
    answer = http.post("/sandboxes", json={}, headers={"Authorization": f"Bearer {key}"})
    assert refused(answer) == (429, "quota_exceeded")
    assert int(answer.headers["retry-after"]) >= 1


def test_one_key_makes_one_thing(http: httpx.Client, made: str) -> None:
    named = {"Idempotency-Key": f"k{time.time_ns()}"}
    ids = {http.post("/sandboxes", json={}, headers=named).json()["sandbox_id"] for _ in range(3)}
    assert len(ids) == 1
    other = http.post("/sandboxes", json={"vcpu": 1}, headers=named)
    assert refused(other) == (409, "conflict")
    http.delete(f"/sandboxes/{ids.pop()}")
    run = {"markdown": "```bash\ntrue\n```"}
    runs = {http.post("/runs", json=run, headers=named).json()["run_id"] for _ in range(3)}
    assert len(runs) == 1
    command = {"command": ["bash", "-c", "echo once >> count; sleep 0.5; cat count"]}
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                http.post(f"/sandboxes/{made}/exec", json=command, headers=named).json()
            )
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer["stdout"] for answer in answers] == ["once\n"] * 3


def test_what_its_timeout_ended_says_so(http: httpx.Client, made: str) -> None:
    path = f"/sandboxes/{made}/exec"
    answer = http.post(path, json={"command": ["bash", "-c", "echo a; sleep 60"], "timeout_s": 0.5})
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"exit_code", "stdout", "stderr", "duration_ms", "timed_out"}
    assert (body["stdout"], body["timed_out"]) == ("a\n", True)
    # In milliseconds. The host learns of the beginning later than the guest, which counts the time.
    assert 1 < body["duration_ms"] < 60_000
    quick = http.post(path, json={"command": ["true"], "timeout_s": 60}).json()
    assert quick["timed_out"] is False


def events(text: str) -> list[tuple[str, Any]]:
    """Events in the form that the contract gives them, comments left out."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            (name,) = [line[7:] for line in lines if line.startswith("event: ")]
            (data,) = [line[6:] for line in lines if line.startswith("data: ")]
            found.append((name, json.loads(data)))
    return found


def test_a_stream_has_the_documented_events_and_is_not_silent(http: httpx.Client, made: str) -> None:
    script = r"printf '\303'; sleep 6; printf '\251\377\n'; printf 'e\342' >&2; exit 7"
    with http.stream(
        "POST", f"/sandboxes/{made}/exec", json={"command": ["bash", "-c", script], "stream": True}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    assert ": ping\n" in text
    told = events(text)
    assert told[-1][0] == "exit" and set(told[-1][1]) == {"exit_code", "duration_ms"}
    assert told[-1][1]["exit_code"] == 7
    out = "".join(data["text"] for name, data in told if name == "stdout")
    err = "".join(data["text"] for name, data in told if name == "stderr")
    # Whole sequences only, and what is none is replaced.
    assert (out, err) == ("é\ufffd\n", "e\ufffd")


def test_destroying_ends_a_stream_with_its_error(http: httpx.Client, made: str) -> None:
    command = ["bash", "-c", "echo a; sleep 600"]
    with http.stream(
        "POST", f"/sandboxes/{made}/exec", json={"command": command, "stream": True}
    ) as answer:
        pieces = answer.iter_text()
        text = next(pieces)
        began = time.monotonic()
        http.delete(f"/sandboxes/{made}")
        text += "".join(pieces)
    assert time.monotonic() - began < 10
    name, data = events(text)[-1]
    assert (name, data["code"], data["status"]) == ("error", "sandbox_gone", 410)


def test_files_are_raw_bytes_both_ways(http: httpx.Client, made: str) -> None:
    path = f"/sandboxes/{made}/files"
    wrote = http.put(path, params={"path": "deep/er/f"}, content=b"\x00\xff\r\n")
    assert (wrote.status_code, wrote.content) == (204, b"")
    read = http.get(path, params={"path": "/workspace/deep/er/f"})
    assert (read.status_code, read.content) == (200, b"\x00\xff\r\n")
    assert read.headers["content-type"] == "application/octet-stream"
    # Files of proc say that they are empty and are not.
    assert b"MemTotal" in http.get(path, params={"path": "/proc/meminfo"}).content
    assert refused(http.get(path, params={"path": "none"})) == (404, "file_not_found")
    assert refused(http.get(path, params={"path": "/tmp"})) == (409, "not_a_file")
    assert refused(http.get(path)) == (400, "invalid_argument")


def test_steps_that_wait_and_run_are_shown_and_a_cancelled_run_has_failed(http: httpx.Client) -> None:
    document = "```bash\nsleep 600\n```\n```bash\ntrue\n```\n"
    answer = http.post("/runs", json={"markdown": document})
    assert answer.status_code == 202 and set(answer.json()) == {"run_id", "status"}
    path = f"/runs/{answer.json()['run_id']}"
    eventually(lambda: http.get(path).json()["steps"][0]["status"] == "running", 30)
    shown = http.get(path).json()
    assert (shown["status"], shown["steps"][1]["status"]) == ("running", "pending")
    assert (shown["error"], shown["pass_count"]) == (None, 0)
    assert http.post(path + "/cancel").status_code == 202
    ended = eventually(lambda: (e := http.get(path).json())["status"] == "failed" and e, 20)
    assert ended["error"]["code"] == "cancelled"
    assert http.post(path + "/cancel").status_code in (202, 409)


def test_usage_has_the_documented_fields(http: httpx.Client, made: str) -> None:
    body = http.get("/usage").json()
    assert set(body) == {"total_sessions", "total_vcpu_seconds", "live_sandboxes"}
    assert body["live_sandboxes"] >= 1
    before = body["total_vcpu_seconds"]
    # A live sandbox counts so far.
    eventually(lambda: http.get("/usage").json()["total_vcpu_seconds"] > before)
