"""The package offers every operation of the API, and nothing that is none."""

import inspect
import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import httpx
from support.network import answer, scripted
from support.server import Server

from pinfold import Client, errors
from pinfold._sync.commands import Command
from pinfold._sync.sandboxes import Sandbox
from pinfold.types import CommandFacts, SandboxFacts

# What is not for programs (pages for people and for Prometheus), and what any HTTP client uses as it
# is: the URLs that were signed.
NOT_OFFERED = {
    ("GET", "/docs"),
    ("GET", "/metrics"),
    ("GET", "/v1/signed/{token}"),
    ("PUT", "/v1/signed/{token}"),
}

TIME = datetime(2026, 1, 1, tzinfo=timezone.utc).isoformat()
# Values for arguments that have no default, by name.
ARGUMENTS: dict[str, Any] = {
    "content": b"x",
    "cols": 80,
    "local": "/dev/null",
    "mode": 0o644,
    "port": 80,
    "role": "member",
    "rows": 24,
    "ttl": 1,
}


def example(kind: type, **values: Any) -> Any:
    """Facts in which everything is empty."""
    empty = {
        "str": "x", "int": 1, "float": 1.0, "bool": False, "datetime": TIME,
        "tuple[str, ...]": [], "Mapping[str, str]": {},
        "tuple[Credential, ...]": [],
    }
    hints = {name: str(hint) for name, hint in kind.__annotations__.items()}
    plain = {name: empty.get(hint, "x") for name, hint in hints.items() if "None" not in hint}
    return kind.from_json({**plain, **values})  # type: ignore[attr-defined]


def methods(thing: Any) -> Iterator[Any]:
    """Every public method of a client's parts, but those that close or connect elsewhere."""
    for name, member in inspect.getmembers(thing, inspect.ismethod):
        if not name.startswith("_") and name not in ("close", "local"):
            yield member


def requested() -> set[tuple[str, str]]:
    """The requests that the whole surface makes, each refused."""
    refusal = json.dumps({"error": {"code": "file_exists", "message": "", "request_id": ""}})
    with scripted(lambda number, head: answer(409, refusal)) as (url, heads):
        with Client(url, "k") as client:
            http = client._http
            sandbox = Sandbox(http, example(SandboxFacts))
            command = Command(http, example(CommandFacts))
            parts = [client, sandbox, command, *vars(client).values(), *vars(sandbox).values()]
            for part in parts:
                if not type(part).__module__.startswith("pinfold._sync") or part is http:
                    continue
                for method in methods(part):
                    call(method)
    lines = [head.split(b"\n")[0].decode().split(" ") for head in heads]
    return {(method, target.split("?")[0]) for method, target, _ in lines}


def call(method: Any) -> None:
    """Calls with the least that is needed, as far as the server's refusal."""
    needed = {
        name: ARGUMENTS.get(name, "x")
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is parameter.empty
    }
    try:
        result = method(**needed)
        for _ in result if hasattr(result, "__iter__") else ():
            pass
    except errors.ConflictError:
        return
    raise AssertionError(f"{method.__qualname__} asked nothing")


def test_every_operation_is_offered_and_none_that_is_not_there(server: Server) -> None:
    paths = httpx.get(f"{server.url}/v1/openapi.json", trust_env=False).json()["paths"]
    described = {(method.upper(), path) for path, item in paths.items() for method in item}
    offered = set()
    for method, target in requested():
        found = [
            (each, path)
            for each, path in described
            if each == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), target)
        ]
        # A name in braces also matches a fixed word: the fixed one is meant.
        assert found, f"{method} {target} is no operation"
        offered.add(min(found, key=lambda each: each[1].count("{")))
    assert described - offered == NOT_OFFERED
