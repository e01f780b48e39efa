"""Every route that the SDK knows, read from its sources, is one of this server's or said to be none."""

import pathlib
import re

import httpx
import runloop_api_client
from server import KEY

# As `coverage.md` says.
ABSENT = (
    "agents",
    "benchmark_jobs",
    "benchmark_runs",
    "benchmarks",
    "blueprints/create_from_inspection",
    "devboxes/browsers",
    "devboxes/computers",
    "repositories",
    "scenarios",
)
CALL = re.compile(r'self\._(get|post|delete|get_api_list)\(\s*(?:path_template\(\s*)?f?"/v1/([^"]+)"')


def routes():
    resources = pathlib.Path(runloop_api_client.__file__).parent / "resources"
    for source in resources.rglob("*.py"):
        for how, path in CALL.findall(source.read_text()):
            yield {"get_api_list": "GET"}.get(how, how.upper()), re.sub(r"\{[^}]*\}", "nobodys", path)


def test_every_route_of_the_sdk_is_answered(server):
    known = sorted(set(routes()))
    assert len(known) > 70, "the SDK's sources are read no more"
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    with httpx.Client(base_url=server.base_url, headers=headers, trust_env=False) as client:
        for method, path in known:
            absent = path.startswith(ABSENT)
            # Of a stream the head is enough.
            with client.stream(method, f"/v1/{path}", timeout=30) as answer:
                said = (method, path, answer.status_code)
                assert (answer.status_code == 501) == absent, said
                if answer.status_code in (404, 405):
                    answer.read()
                    message = answer.json()["message"]
                    assert answer.status_code == 404 and "no such route" not in message, said
                if path.startswith("devboxes/nobodys"):
                    assert answer.status_code in (400, 404), said
