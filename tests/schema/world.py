"""Things that calls can name, so that they come further than a 404, and their repair."""

from __future__ import annotations

from typing import Any

import httpx

# Of as many calls, all but one name things that exist.
REAL_OF = 4

FILE = "/tmp/schema-file"
REMOVE = "DELETE /v1/sandboxes/{sandbox_id}/files"
MOVE = "POST /v1/sandboxes/{sandbox_id}/files/move"
PIPELINE = {"markdown": "```bash\necho out\n```\n", "sandbox": {"image": "host", "memory_mib": 256}}
BUILD = {"name": "schema-built", "dockerfile": "FROM scratch\n", "network": "none"}
# Fields that make sense together, put into bodies that the schema allows.
SENSIBLE: dict[str, dict[str, Any]] = {
    "POST /v1/sandboxes/{sandbox_id}/run": {"argv": ["true"], "cwd": "/"},
    "POST /v1/sandboxes/{sandbox_id}/commands": {"argv": ["true"], "cwd": "/"},
    "POST /v1/sandboxes/{sandbox_id}/files/chmod": {"path": FILE, "mode": "0600"},
    "POST /v1/pipeline-runs": PIPELINE,
    "POST /v1/builds": BUILD,
    MOVE: {"from": FILE, "to": FILE + ".moved", "overwrite": True},
    "POST /v1/commands/{command_id}/signal": {"signal": "WINCH"},
    "POST /v1/commands/{command_id}/resize": {"rows": 30, "cols": 100},
    "POST /v1/objects": {"name": "made"},
    "POST /v1/sandboxes/{sandbox_id}/ssh-keys": {"expires_in_ms": 1},
    "POST /v1/network-policies": {"name": "made", "allow": ["*.example.com:443"], "deny": []},
    "PATCH /v1/network-policies/{network_policy_id}": {"name": "renamed", "allow": [], "deny": ["*"]},
    "POST /v1/keys": {"name": "made", "role": "member"},
}
# Of those bodies, since they ask for something else.
LEFT_OUT = (
    "shell", "stdin_data", "stdin", "tty", "user", "env", "secret_env", "collect", "project_id",
    "kind", "expires_at", "sandbox_id", "path", "within", "retention_ms", "public_key",
    "context_id", "target", "setup", "setup_user", "files", "args", "secrets", "labels", "network_policy",
    "network_policy_id",
)

# What runs is given this long. Code may have to wait for an interpreter.
BOUNDS_MS = {"/run": 500, "/commands": 500, "/code": 5000, "/code/runs": 5000}


class World:
    """A server with one of everything that an id names."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=self.headers, trust_env=False, timeout=60)
        self._calls = 0
        self.answers: dict[str, set[int]] = {}
        """The statuses of each operation until now."""
        project = self._made("/v1/projects", {"name": "schema"})["id"]
        key_id = self._made("/v1/keys", {"name": "schema", "role": "member"})["key"]["id"]
        self._put_template()
        self._put_secret()
        self._ids = {
            "project_id": project,
            "key_id": key_id,
            "image": "host",
            "template": "schema",
            "secret": "SCHEMA",
            # Nobody is there, which a pull finds out by itself: its end is remembered.
            "pull_id": self._made("/v1/image-pulls", {"reference": "127.0.0.1:9/schema:none"})["id"],
        }
        self._build()
        self._put_policy()
        self._renew()
        self._seal()
        self._open()

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def _put_template(self) -> None:
        self._http.put("/v1/templates/schema", json={"image": "host"}).raise_for_status()

    def _put_secret(self) -> None:
        self._http.put("/v1/secrets/SCHEMA", json={"value": "of the schema"}).raise_for_status()

    def _put_policy(self) -> None:
        """Rules that sandboxes can follow."""
        made = self._made("/v1/network-policies", {"name": "schema"})
        self._ids["network_policy_id"] = made["id"]

    def _build(self) -> None:
        """A build that ends at once."""
        self._ids["build_id"] = self._made("/v1/builds", BUILD)["id"]

    def _renew(self) -> None:
        sandbox = self._made("/v1/sandboxes", {"memory_mib": 256, "disk_mib": 256})["id"]
        body = {"shell": "echo out; echo err >&2"}
        run = self._made(f"/v1/sandboxes/{sandbox}/run", body)
        context = self._made(f"/v1/sandboxes/{sandbox}/contexts", {"language": "python"})["id"]
        code = {"code": "print(1)\n2", "context_id": context}
        self._ids |= {
            "sandbox_id": sandbox,
            "command_id": run["command"]["id"],
            "context_id": context,
            "run_id": self._made(f"/v1/sandboxes/{sandbox}/code", code)["id"],
        }
        self._write()
        self._preview()
        self._ssh_key()
        self._run()
        self._ids["pipeline_run_id"] = self._made("/v1/pipeline-runs", PIPELINE)["id"]

    def _write(self) -> None:
        """The file that calls name."""
        path = f"/v1/sandboxes/{self._ids['sandbox_id']}/files"
        self._http.put(path, params={"path": FILE}, content=b"content").raise_for_status()

    def _preview(self) -> None:
        """An address that is open."""
        path = f"/v1/sandboxes/{self._ids['sandbox_id']}/previews"
        self._ids["preview_id"] = self._made(path, {"port": 8000})["preview"]["id"]

    def _ssh_key(self) -> None:
        """A key that opens the sandbox."""
        path = f"/v1/sandboxes/{self._ids['sandbox_id']}/ssh-keys"
        self._ids["ssh_key_id"] = self._made(path, {})["key"]["id"]

    def _run(self) -> None:
        """A command that runs, with a terminal's size and an open stdin."""
        path = f"/v1/sandboxes/{self._ids['sandbox_id']}/commands"
        body = {"argv": ["cat"], "stdin": "open", "tty": {"rows": 24, "cols": 80}}
        self._running = self._made(path, body)["id"]

    def _seal(self) -> None:
        """An object that is whole, and a URL to read it."""
        answer = self._http.post("/v1/objects/upload", params={"name": "sealed"}, content=b"content")
        answer.raise_for_status()
        self._sealed = answer.json()["id"]
        self._reading = self._signed(self._sealed, "download")

    def _open(self) -> None:
        """An object that waits for its content, and a URL to write it."""
        self._opened = self._made("/v1/objects", {"name": "open"})["id"]
        content = self._http.put(f"/v1/objects/{self._opened}/content", content=b"some")
        content.raise_for_status()
        self._writing = self._signed(self._opened, "upload")

    def _signed(self, object_id: str, use: str) -> str:
        url = self._made(f"/v1/objects/{object_id}/url", {"use": use})["url"]
        return str(url).rsplit("/", 1)[1]

    def _known(self, label: str) -> dict[str, str]:
        """What names something that exists in calls of one operation."""
        writes = label.startswith("PUT") or label.endswith("/complete")
        lives = label.endswith(("/stdin", "/stdin/close", "/resize", "/signal", "/cancel"))
        return self._ids | {
            "command_id": self._running if lives else self._ids["command_id"],
            "object_id": self._opened if writes else self._sealed,
            "token": self._writing if writes else self._reading,
        }

    def fill(self, case: Any) -> None:
        """Puts things that exist into most calls, and bounds into those that could last."""
        self._calls += 1
        if self._calls % REAL_OF and not _is_removal_of_all(case):
            names = self._known(case.operation.label)
            made = case.path_parameters or {}
            sound = case.meta is not None and case.meta.generation.mode.is_positive
            # What is made instead of a number may be what is wrong with the call.
            known = {
                name: value
                for name, value in names.items()
                if name in made and (sound or not str(value).isdigit())
            }
            case.path_parameters = {**made, **known}
            if sound:
                self._make_sense(case)
        body = case.body
        if isinstance(body, dict) and isinstance(body.get("image"), str) and body["image"]:
            # Another name would be looked for in the registries of the world.
            body["image"] = "host"
        if isinstance(body, dict) and isinstance(body.get("sandbox"), dict):
            inner = body["sandbox"]
            if isinstance(inner.get("image"), str) and inner["image"]:
                inner["image"] = "host"
        label = case.operation.label
        if label.endswith(tuple(BOUNDS_MS)) and isinstance(body, dict):
            bound = next(ms for end, ms in BOUNDS_MS.items() if label.endswith(end))
            wanted = body.get("timeout_ms")
            if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted > bound:
                body["timeout_ms"] = bound

    def _make_sense(self, case: Any) -> None:
        """What no schema can say: which files there are, and which fields belong together."""
        label = case.operation.label
        reads = label.startswith("GET") or label == REMOVE
        if reads and "path" in (case.query or {}):
            case.query = {**case.query, "path": "/tmp" if label.endswith("/list") else FILE}
        if label in SENSIBLE and isinstance(case.body, dict):
            case.body = {**case.body, **SENSIBLE[label]}
            for field in set(LEFT_OUT) - SENSIBLE[label].keys():
                case.body.pop(field, None)

    def mend(self, case: Any, answer: Any) -> None:
        """Brings back what a call took away."""
        label = case.operation.label
        self.answers.setdefault(label, set()).add(answer.status_code)
        if label == "POST /v1/sandboxes" and answer.status_code in (200, 201):
            self._http.delete(f"/v1/sandboxes/{answer.json()['id']}").raise_for_status()
        if answer.status_code < 300 and label.endswith(("/signed/{token}", "/complete", "/content")):
            if not label.startswith("GET"):
                self._open()
            return
        if label == "DELETE /v1/objects/{object_id}" and answer.status_code < 300:
            self._seal()
            return
        if label in (REMOVE, MOVE) and answer.status_code < 300:
            self._write()
            return
        if label == "DELETE /v1/builds/{build_id}" and answer.status_code < 300:
            self._build()
            return
        if label == "DELETE /v1/network-policies/{network_policy_id}" and answer.status_code < 300:
            self._put_policy()
            return
        if label == "DELETE /v1/previews/{preview_id}" and answer.status_code < 300:
            self._preview()
            return
        if label.endswith("/ssh-keys/{ssh_key_id}") and answer.status_code < 300:
            self._ssh_key()
            return
        if label.endswith(("/cancel", "/stdin/close")) and answer.status_code < 300:
            self._run()
            return
        if label == "DELETE /v1/contexts/{context_id}" and answer.status_code < 300:
            self._renew_all()
            return
        if answer.status_code >= 300 or "sandbox_id" not in (case.path_parameters or {}):
            if label.startswith("DELETE /v1/templates"):
                self._put_template()
            if label.startswith("DELETE /v1/secrets"):
                self._put_secret()
            return
        if label.startswith("DELETE") or label.endswith(("/suspend", "/stop", "/extend")):
            self._renew_all()

    def _renew_all(self) -> None:
        self._http.delete(f"/v1/sandboxes/{self._ids['sandbox_id']}").raise_for_status()
        self._renew()

    def close(self) -> None:
        """Ends what lives."""
        self._http.delete(f"/v1/sandboxes/{self._ids['sandbox_id']}").raise_for_status()
        self._http.close()


def _is_removal_of_all(case: Any) -> bool:
    """The image `host` is needed by all others."""
    return bool(case.operation.label == "DELETE /v1/images/{image}")
