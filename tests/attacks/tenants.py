"""Tenants of one server, and one of everything that an id names, of the first of them."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

import httpx
from registry import registry
from world import PATIENCE, Pinfold, until

PIPELINE = "```bash\necho {}\n```\n"


class Tenants:
    """`owner` has things; `stranger` is a member of another project and asks for them."""

    def __init__(self, admin: Pinfold) -> None:
        self.url = admin.url
        self.admin = admin
        self.mark = "mark" + secrets.token_hex(8)
        """In the content and the name of everything the owner has."""
        self.project = admin.call("POST", "/v1/projects", json={"name": self.mark})["id"]
        made = admin.member(self.project)
        self.owner = Pinfold(admin.url, made["secret"])
        self.stranger = self._elsewhere()
        self.bystander = self._elsewhere()
        """Of a third project; it has asked for nothing that is not its own."""
        self.ids: dict[str, str] = {"project_id": self.project, "key_id": made["key"]["id"]}
        self._fill()
        self.marks = [self.mark, self.project, *self.ids.values()]
        self.marks.remove(self.ids["pipeline_run_id"])  # A small number, which is in anything.

    def _elsewhere(self) -> Pinfold:
        project = self.admin.call("POST", "/v1/projects", json={"name": secrets.token_hex(4)})
        return Pinfold(self.url, self.admin.member(project["id"])["secret"])

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(self.owner.call("POST", path, json=body))

    def _fill(self) -> None:
        sandbox = self._made("/v1/sandboxes", {"name": self.mark, "memory_mib": 512})["id"]
        path = f"/v1/sandboxes/{sandbox}"
        done = self._made(f"{path}/run", {"shell": f"echo {self.mark} | tee /tmp/file /workspace/file"})
        self.running = self._made(f"{path}/commands", {"argv": ["cat"], "stdin": "open"})["id"]
        context = self._made(f"{path}/contexts", {"language": "python"})["id"]
        code = {"code": f"print('{self.mark}')", "context_id": context}
        upload = f"/v1/objects/upload?name={self.mark}"
        sealed = self.owner.call("POST", upload, content=self.mark.encode())["id"]
        url = self._made(f"/v1/objects/{sealed}/url", {"use": "download"})["url"]
        preview = self._made(f"{path}/previews", {"port": 8000})["preview"]
        self.slug = str(preview["slug"])
        template = {"image": "host", "env": {"NAME": self.mark}}
        put = self.owner.call("PUT", f"/v1/templates/{self.mark}", json=template)
        # Its value is seen by nobody, and who asks for a name is told that name again.
        secret = "secret" + secrets.token_hex(8)
        self.owner.call("PUT", f"/v1/secrets/{secret}", json={"value": self.mark})
        run = self._made("/v1/pipeline-runs", {"markdown": PIPELINE.format(self.mark)})
        build = {"name": self.mark + "-built", "dockerfile": "FROM scratch\n"}
        self.ids |= {
            "sandbox_id": sandbox,
            "command_id": done["command"]["id"],
            "context_id": context,
            "run_id": self._made(f"{path}/code", code)["id"],
            "object_id": sealed,
            "token": url.rsplit("/", 1)[1],
            "preview_id": preview["id"],
            "ssh_key_id": self._made(f"{path}/ssh-keys", {})["key"]["id"],
            "network_policy_id": self._made("/v1/network-policies", {"name": self.mark})["id"],
            "template": put["id"],
            "secret": secret,
            "pipeline_run_id": str(run["id"]),
            "build_id": self._made("/v1/builds", build)["id"],
        }
        self._pull()
        until(self._ran, "the end of the pipeline")

    def _pull(self) -> None:
        """An image that belongs to the owner's project."""
        wishes = {"role": "admin", "name": "a", "project_id": self.project}
        key = self.admin.call("POST", "/v1/keys", json=wishes)
        helper = Pinfold(self.url, key["secret"])
        with registry(self.mark.encode()) as reference:
            wish = {"reference": reference, "name": self.mark, "insecure": True}
            pull = helper.call("POST", "/v1/image-pulls", json=wish)["id"]

            def ended() -> Any:
                look = helper.call("GET", f"/v1/image-pulls/{pull}?timeout_ms=1000")
                assert look["state"] != "failed", look
                return look["state"] == "done" and look

            until(ended, "the end of the pull")
        image = self.owner.call("GET", f"/v1/images/{self.mark}")["id"]
        self.ids |= {"pull_id": pull, "image": image}
        self.admin.call("DELETE", f"/v1/keys/{key['key']['id']}")

    def _ran(self) -> bool:
        look = self.owner.call("GET", f"/v1/pipeline-runs/{self.ids['pipeline_run_id']}")
        return look["ended_at"] is not None

    def fakes(self) -> dict[str, str]:
        """Ids of the same form that nothing has."""
        others = {"token", "pipeline_run_id"}
        made = {name: fake(real) for name, real in self.ids.items() if name not in others}
        number = int(self.ids["pipeline_run_id"]) + 7_000_000
        return {
            **made, "token": self.ids["token"][:-8] + "AAAAAAAA", "pipeline_run_id": str(number)
        }  # fmt: skip


def fake(identity: str) -> str:
    """An id that differs in its last digits."""
    return identity[:-8] + "".join(format(int(digit, 16) ^ 5, "x") for digit in identity[-8:])


#: A refusal may come before a body was read, which ends its connection: each request has its own.
HTTP = httpx.Client(
    timeout=PATIENCE, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
)


def ask(url: str, method: str, path: str, key: str | None, **options: Any) -> httpx.Response:
    """One request on a connection of its own. Of an answer without an end only the head is read."""
    headers = {**options.pop("headers", {})}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    with HTTP.stream(method, url + path, headers=headers, **options) as answer:
        if not (answer.is_success and "/files/watch" in path):
            answer.read()
        return answer


def same(answer: httpx.Response, ids: dict[str, str]) -> dict[str, Any]:
    """What a caller could tell two answers apart by, without the ids it asked with itself."""
    text = answer.text
    for name, identity in ids.items():
        text = re.sub(rf"(?<!\w){re.escape(identity)}(?!\w)", f"<{name}>", text)
    try:
        body: Any = json.loads(text)
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            body["error"].pop("request_id", None)
            body["error"].pop("requestId", None)
        if isinstance(body, dict):
            body.pop("request_id", None)
            body.pop("requestId", None)
    except ValueError:
        body = text
    return {
        "status": answer.status_code,
        "body": body,
        "headers": sorted(set(answer.headers) - {"content-length"}),
    }
