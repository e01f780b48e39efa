"""Who may call which operation of the native API: one entry each. A new route has none, and the
matrix fails until it gets one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Stranger(Enum):
    """What a member of another project gets."""

    HIDDEN = "as if the thing did not exist"
    ADMINS = "refused, as every member is"
    OWN = "what its own project has"
    PUBLIC = "what everybody gets, also without a key"
    SIGNED = "what the URL itself is worth"


@dataclass(frozen=True)
class Case:
    stranger: Stranger
    json: dict[str, Any] | None = None
    query: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def options(self) -> dict[str, Any]:
        got: dict[str, Any] = {"params": self.query}
        if self.json is not None:
            got["json"] = self.json
        if self.content is not None:
            got["content"] = self.content
        return got


def hidden(json: dict[str, Any] | None = None, **others: Any) -> Case:
    return Case(Stranger.HIDDEN, json, **others)


def admins(json: dict[str, Any] | None = None, **others: Any) -> Case:
    return Case(Stranger.ADMINS, json, **others)


def own(json: dict[str, Any] | None = None, **others: Any) -> Case:
    return Case(Stranger.OWN, json, **others)


FILE = {"path": "/tmp/file"}
TMP = {"path": "/tmp"}
BRIEF = {"image": "host", "memory_mib": 64, "wait": False}
NOWHERE = {"reference": "127.0.0.1:9/nobody/is:there"}
ONE = {"markdown": "```bash\ntrue\n```\n", "sandbox": {"memory_mib": 64}}
SANDBOX = "/v1/sandboxes/{sandbox_id}"
COMMAND = "/v1/commands/{command_id}"

NATIVE: dict[str, Case] = {
    "GET /docs": Case(Stranger.PUBLIC),
    "GET /healthz": Case(Stranger.PUBLIC),
    "GET /v1/openapi.json": Case(Stranger.PUBLIC),
    "GET /v1/signed/{token}": Case(Stranger.SIGNED),
    "PUT /v1/signed/{token}": Case(Stranger.SIGNED, content=b"x"),
    "GET /metrics": admins(),
    "GET /v1/audit": own(),
    "GET /v1/isolation": own(),
    "GET /v1/usage": own(),
    "GET /v1/usage/sandboxes": own(),
    "GET /v1/whoami": own(),
    # Keys and projects
    "GET /v1/keys": admins(),
    "POST /v1/keys": admins({"name": "n", "role": "admin"}),
    "PATCH /v1/keys/{key_id}": admins({"quota": {"vcpu": 1}}),
    "DELETE /v1/keys/{key_id}": admins(),
    "GET /v1/projects": own(),
    "POST /v1/projects": admins({"name": "n"}),
    "GET /v1/projects/{project_id}": hidden(),
    "PATCH /v1/projects/{project_id}": admins({"quota": {"vcpu": 1}}),
    # Images and templates
    "GET /v1/images": own(),
    "GET /v1/images/{image}": hidden(),
    "GET /v1/images/{image}/export": hidden(),
    "PUT /v1/images/{image}": admins(content=b""),
    "DELETE /v1/images/{image}": hidden(),
    "POST /v1/image-pulls": own(NOWHERE),
    "GET /v1/image-pulls/{pull_id}": hidden(query={"timeout_ms": "1"}),
    "GET /v1/templates": own(),
    "GET /v1/templates/{template}": hidden(),
    "GET /v1/templates/{template}/versions": hidden(),
    "PUT /v1/templates/{template}": own({"image": "host"}),
    "DELETE /v1/templates/{template}": hidden(),
    # Secrets
    "GET /v1/secrets": own(),
    "GET /v1/secrets/{secret}": hidden(),
    "PUT /v1/secrets/{secret}": own({"value": "its own"}),
    "DELETE /v1/secrets/{secret}": hidden(),
    # Network policies
    "GET /v1/network-policies": own(),
    "POST /v1/network-policies": own({"name": "its own"}),
    "GET /v1/network-policies/{network_policy_id}": hidden(),
    "PATCH /v1/network-policies/{network_policy_id}": hidden({"allow": ["*"]}),
    "DELETE /v1/network-policies/{network_policy_id}": hidden(),
    # Objects
    "GET /v1/objects": own(),
    "POST /v1/objects": own({"name": "n"}),
    "POST /v1/objects/upload": own(query={"name": "n"}, content=b"x"),
    "GET /v1/objects/{object_id}": hidden(),
    "DELETE /v1/objects/{object_id}": hidden(),
    "POST /v1/objects/{object_id}/complete": hidden(),
    "GET /v1/objects/{object_id}/content": hidden(),
    "PUT /v1/objects/{object_id}/content": hidden(content=b"x"),
    "POST /v1/objects/{object_id}/url": hidden({"use": "download"}),
    # Pipelines
    "GET /v1/builds": own(),
    "POST /v1/builds": own({"name": "matrix", "dockerfile": "FROM scratch"}),
    "GET /v1/builds/{build_id}": hidden(),
    "DELETE /v1/builds/{build_id}": hidden(),
    "GET /v1/builds/{build_id}/stream": hidden(),
    "POST /v1/builds/{build_id}/cancel": hidden(),
    "GET /v1/pipeline-runs": own(),
    "POST /v1/pipeline-runs": own(ONE),
    "GET /v1/pipeline-runs/{pipeline_run_id}": hidden(),
    "GET /v1/pipeline-runs/{pipeline_run_id}/report": hidden(),
    "GET /v1/pipeline-runs/{pipeline_run_id}/stream": hidden(),
    "POST /v1/pipeline-runs/{pipeline_run_id}/cancel": hidden(),
    # Sandboxes
    "GET /v1/sandboxes": own(),
    "POST /v1/sandboxes": own(BRIEF),
    f"GET {SANDBOX}": hidden(),
    f"DELETE {SANDBOX}": hidden(),
    f"GET {SANDBOX}/usage": hidden(),
    f"POST {SANDBOX}/extend": hidden({"ttl_ms": 3_600_000}),
    f"POST {SANDBOX}/suspend": hidden(),
    f"POST {SANDBOX}/resume": hidden(),
    f"POST {SANDBOX}/snapshot": hidden({}),
    f"GET {SANDBOX}/network": hidden(),
    f"PUT {SANDBOX}/network": hidden({"mode": "none"}),
    f"POST {SANDBOX}/stop": hidden(),
    f"POST {SANDBOX}/start": hidden(),
    f"GET {SANDBOX}/pty": hidden(),
    f"GET {SANDBOX}/commands": hidden(),
    f"POST {SANDBOX}/commands": hidden({"argv": ["true"]}),
    f"POST {SANDBOX}/run": hidden({"argv": ["true"]}),
    f"GET {SANDBOX}/previews": hidden(),
    f"POST {SANDBOX}/previews": hidden({"port": 8000}),
    f"GET {SANDBOX}/ssh-keys": hidden(),
    f"POST {SANDBOX}/ssh-keys": hidden({}),
    f"DELETE {SANDBOX}/ssh-keys/{{ssh_key_id}}": hidden(),
    # Files
    f"GET {SANDBOX}/files": hidden(query=FILE),
    f"PUT {SANDBOX}/files": hidden(query={"path": "/tmp/other"}, content=b"x"),
    f"DELETE {SANDBOX}/files": hidden(query={"path": "/tmp/other"}),
    f"GET {SANDBOX}/files/archive": hidden(query=TMP),
    f"PUT {SANDBOX}/files/archive": hidden(query=TMP, content=bytes(1024)),
    f"POST {SANDBOX}/files/chmod": hidden({**FILE, "mode": "0644"}),
    f"GET {SANDBOX}/files/list": hidden(query=TMP),
    f"POST {SANDBOX}/files/mkdir": hidden({"path": "/tmp/made"}),
    f"POST {SANDBOX}/files/move": hidden({"from": "/tmp/made", "to": "/tmp/moved"}),
    f"GET {SANDBOX}/files/stat": hidden(query=FILE),
    f"POST {SANDBOX}/files/url": hidden(FILE),
    f"GET {SANDBOX}/files/watch": hidden(query=TMP),
    # Commands
    f"GET {COMMAND}": hidden(),
    f"POST {COMMAND}/cancel": hidden({"mode": "force"}),
    f"GET {COMMAND}/logs": hidden(),
    f"GET {COMMAND}/output": hidden(),
    f"POST {COMMAND}/resize": hidden({"rows": 2, "cols": 2}),
    f"POST {COMMAND}/signal": hidden({"signal": "KILL"}),
    f"POST {COMMAND}/stdin": hidden(content=b"x"),
    f"POST {COMMAND}/stdin/close": hidden(),
    f"GET {COMMAND}/stream": hidden(),
    f"GET {COMMAND}/wait": hidden(query={"timeout_ms": "1"}),
    # Code
    f"POST {SANDBOX}/code": hidden({"code": "1"}),
    f"POST {SANDBOX}/code/runs": hidden({"code": "1"}),
    f"GET {SANDBOX}/contexts": hidden(),
    f"POST {SANDBOX}/contexts": hidden({"language": "python"}),
    "GET /v1/contexts/{context_id}": hidden(),
    "DELETE /v1/contexts/{context_id}": hidden(),
    "POST /v1/contexts/{context_id}/restart": hidden(),
    "GET /v1/code/runs/{run_id}": hidden(),
    "POST /v1/code/runs/{run_id}/interrupt": hidden(),
    "GET /v1/code/runs/{run_id}/stream": hidden(),
    # Previews
    "GET /v1/previews/{preview_id}": hidden(),
    "DELETE /v1/previews/{preview_id}": hidden(),
    "POST /v1/previews/{preview_id}/links": hidden({}),
}
