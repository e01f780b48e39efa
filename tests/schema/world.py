"""Things that calls can name, so that they come further than a 404, and their repair."""

from __future__ import annotations

from typing import Any

import httpx

# Of as many calls, all but one name things that exist.
REAL_OF = 4


class World:
    """A server with a sandbox, a command that has ended, an image, a template, a project, a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=self.headers, trust_env=False, timeout=60)
        self._calls = 0
        project = self._made("/v1/projects", {"name": "schema"})["id"]
        key_id = self._made("/v1/keys", {"name": "schema", "role": "member"})["key"]["id"]
        self._put_template()
        self._ids = {
            "project_id": project,
            "key_id": key_id,
            "image": "host",
            "template": "schema",
        }
        self._renew()

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def _put_template(self) -> None:
        self._http.put("/v1/templates/schema", json={"image": "host"}).raise_for_status()

    def _renew(self) -> None:
        sandbox = self._made("/v1/sandboxes", {"memory_mib": 256, "disk_mib": 256})["id"]
        body = {"shell": "echo out; echo err >&2"}
        run = self._made(f"/v1/sandboxes/{sandbox}/run", body)
        preview = self._made(f"/v1/sandboxes/{sandbox}/previews", {"port": 8000})["preview"]["id"]
        self._ids |= {
            "sandbox_id": sandbox,
            "command_id": run["command"]["id"],
            "preview_id": preview,
        }

    def fill(self, case: Any) -> None:
        """Puts things that exist into most calls, and bounds into those that could last."""
        self._calls += 1
        if self._calls % REAL_OF and not _is_removal_of_all(case):
            known = {k: v for k, v in self._ids.items() if k in (case.path_parameters or {})}
            case.path_parameters = {**(case.path_parameters or {}), **known}
        body = case.body
        if isinstance(body, dict) and isinstance(body.get("image"), str) and body["image"]:
            # Another name would be looked for in the registries of the world.
            body["image"] = "host"
        if case.operation.label.endswith(("/run", "/commands")) and isinstance(body, dict):
            wanted = body.get("timeout_ms")
            if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted > 500:
                body["timeout_ms"] = 500

    def mend(self, case: Any, answer: Any) -> None:
        """Brings back what a call took away."""
        label = case.operation.label
        if label == "POST /v1/sandboxes" and answer.status_code in (200, 201):
            self._http.delete(f"/v1/sandboxes/{answer.json()['id']}").raise_for_status()
        if answer.status_code >= 300 or "sandbox_id" not in (case.path_parameters or {}):
            if label.startswith("DELETE /v1/templates"):
                self._put_template()
            return
        if label.startswith("DELETE") or label.endswith(("/suspend", "/stop", "/extend")):
            sandbox = self._ids["sandbox_id"]
            if label == "DELETE /v1/sandboxes/{sandbox_id}/files":
                return
            self._http.delete(f"/v1/sandboxes/{sandbox}").raise_for_status()
            self._renew()

    def close(self) -> None:
        """Ends what lives."""
        self._http.delete(f"/v1/sandboxes/{self._ids['sandbox_id']}").raise_for_status()
        self._http.close()


def _is_removal_of_all(case: Any) -> bool:
    """The image `host` is needed by all others."""
    return bool(case.operation.label == "DELETE /v1/images/{image}")
