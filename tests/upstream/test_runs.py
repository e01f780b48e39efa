"""Markdown pipelines."""

import threading
from typing import Any

import httpx
import pytest
from conftest import eventually

from pinfold.upstream import SandboxError, TimeoutError


def test_steps_run_in_order_in_one_fresh_sandbox(client: Any) -> None:
    document = (
        "# Set up\n```bash\ncd /tmp; export A=1; echo data > /workspace/f\n```\n"
        '## Look\n~~~bash name="own name"\npwd; cat f; echo "A=$A"; read x || echo empty\n~~~\n'
        "```python\nraise SystemExit(1)\n```\n"
    )
    live = client.usage().raw["live_sandboxes"]
    result = client.run(document, poll_interval=0.05)
    assert (result.status, result.step_count, result.pass_count) == ("completed", 2, 2)
    assert set(result.raw) == {
        *("run_id", "status", "step_count", "pass_count", "image", "vcpu", "memory_mib"),
        *("duration_ms", "error", "steps"),
    }
    first, second = result.raw["steps"]
    assert first["name"] == "Set up" and second["name"] == "own name"
    assert second["stdout"] == "/workspace\ndata\nA=\nempty\n"
    assert result.raw["error"] is None
    assert client.usage().raw["live_sandboxes"] == live
    assert client.run("```bash\n```", poll_interval=0.05).run_id > result.run_id


def test_the_first_failure_stops_the_run_unless_it_may_fail(client: Any) -> None:
    document = (
        "```bash continue-on-error\nfalse | true\necho not here\n```\n"
        "```bash timeout=0.5\nsleep 60\n```\n```bash\necho no\n```\n"
    )
    result = client.run(document, poll_interval=0.05)
    assert (result.status, result.step_count, result.pass_count) == ("failed", 3, 0)
    steps = [(step["status"], step["exit_code"]) for step in result.raw["steps"]]
    assert steps == [("failed", 1), ("failed", 124), ("skipped", None)]
    assert [step["name"] for step in result.raw["steps"]] == ["step 1", "step 2", "step 3"]
    forgiven = client.run("```bash continue-on-error\nexit 3\n```\n```bash\n```\n", poll_interval=0.05)
    assert (forgiven.status, forgiven.pass_count) == ("completed", 1)


def test_front_matter_decides_the_sandbox_and_the_time(client: Any) -> None:
    document = "---\nimage: 'python' # alias\nvcpu: 1\nmemory: 256\ntimeout: 1\n---\n```bash\nsleep 60\n```\n"
    result = client.run(document, poll_interval=0.05)
    assert result.status == "failed"
    assert result.raw["image"] == "python"
    assert (result.raw["vcpu"], result.raw["memory_mib"]) == (1, 256)
    assert result.raw["error"]["code"] == "timeout"


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ("", 400),
        ("```sh\ntrue\n```", 400),
        ("---\nvcpu: 5\n---\n```bash\n```", 400),
        ("---\nmemory_mib: 64\n---\n```bash\n```", 400),
        ("---\ntimeout: never\n---\n```bash\n```", 400),
        ("---\nimage: No Such\n---\n```bash\n```", 404),
        ("```bash timeout=0\n```", 400),
    ],
)
def test_documents_are_judged_when_they_are_submitted(
    client: Any, document: str, status: int
) -> None:
    with pytest.raises(SandboxError) as refused:
        client.run(document)
    assert refused.value.status_code == status


def test_past_its_timeout_a_run_is_cancelled(client: Any, server: Any) -> None:
    with pytest.raises(TimeoutError):
        client.run("```bash\nsleep 600\n```", poll_interval=0.1, timeout=1.0)
    eventually(lambda: client.usage().raw["live_sandboxes"] == 0)


def test_a_run_goes_on_after_the_server_was_killed(server: Any) -> None:
    """Each step runs once, whatever dies in between."""
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=server.dialect + "/v1", headers=headers, trust_env=False) as http:
        steps = "```bash\necho one >> log; sleep 2\n```\n```bash\ncat log\n```\n"
        run = http.post("/runs", json={"markdown": steps}).json()["run_id"]

        def state() -> dict[str, Any]:
            answer: dict[str, Any] = http.get(f"/runs/{run}").json()
            return answer

        eventually(lambda: state()["status"] == "running" and state()["steps"][0]["status"] == "running")
        server.kill()
        server.start()
        eventually(lambda: state()["status"] not in ("queued", "running"), 30)
        end = state()
        assert end["status"] == "completed", end
        assert end["steps"][1]["stdout"] == "one\n"


def test_one_client_serves_many_threads(client: Any) -> None:
    codes: list[int] = []
    with client.sandbox() as sandbox:
        threads = [
            threading.Thread(
                target=lambda n=n: codes.append(sandbox.exec(["bash", "-c", f"exit {n}"]).exit_code)
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(codes) == list(range(8))
