"""Sandboxes with keys, and OpenSSH's own programs as their users run them."""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from support.server import Server, until

__all__ = ["Box", "Pinfold", "Way", "until"]

SECONDS = 120
#: What an ssh of these tests may take from its user's own files: nothing.
PLAIN = [
    *("-F", "/dev/null"),
    *("-o", "IdentitiesOnly=yes"),
    *("-o", "IdentityAgent=none"),
    *("-o", "GlobalKnownHostsFile=/dev/null"),
    *("-o", "StrictHostKeyChecking=yes"),
    *("-o", "BatchMode=yes"),
    *("-o", "UpdateHostKeys=no"),
]


class Pinfold:
    """One server, and a directory for what its users keep."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.directory = directory

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The body of an answer that has to be good."""
        answer = self.server.native(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def peak_begins(self) -> None:
        """From now on, the most memory that the server takes is remembered anew: proc_pid_clear_refs(5)."""
        Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """The most memory that it has taken since, in bytes."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) << 10

    @contextlib.contextmanager
    def box(self, **wishes: Any) -> Iterator[Box]:
        body = {"memory_mib": 512, "disk_mib": 1024, **wishes}
        made = self.call("POST", "/v1/sandboxes", json=body)
        box = Box(self, made["id"])
        try:
            yield box
        finally:
            self.call("DELETE", box.path)


class Way:
    """A key that opens a sandbox, as its holder has it."""

    def __init__(self, box: Box, created: dict[str, Any], identity: Path | None = None) -> None:
        self.id = created["key"]["id"]
        self.gateway = created["gateway"]
        self.user = self.gateway["user"]
        directory = box.pinfold.directory / uuid.uuid4().hex
        directory.mkdir()
        self.identity = identity or directory / "key"
        if identity is None:
            self.identity.touch(0o600)
            self.identity.write_text(created["private_key"])
        self.hosts = directory / "known_hosts"
        self.hosts.write_text(self.gateway["known_hosts"] + "\n")

    @property
    def place(self) -> str:
        return f"{self.user}@{self.gateway['host']}"

    def options(self, port: str) -> list[str]:
        hosts = f"UserKnownHostsFile={self.hosts}"
        identity = ["-i", str(self.identity), "-o", hosts]
        return [*PLAIN, *identity, port, str(self.gateway["port"])]

    def command(self, *args: str, options: tuple[str, ...] = ()) -> list[str]:
        """The command line of an ssh."""
        return ["ssh", *self.options("-p"), *options, self.place, *args]

    def ssh(
        self, *args: str, options: tuple[str, ...] = (), **others: Any
    ) -> subprocess.CompletedProcess[Any]:
        return run(self.command(*args, options=options), **others)

    def sftp(self, batch: str, **others: Any) -> subprocess.CompletedProcess[Any]:
        """Runs the lines of a batch; one that fails ends it."""
        line = ["sftp", *self.options("-P"), "-b", "-", self.place]
        return run(line, input=batch, **others)

    def scp(self, *args: str) -> subprocess.CompletedProcess[Any]:
        """A path that begins with : is in the sandbox."""
        paths = [f"{self.place}{arg}" if arg.startswith(":") else arg for arg in args]
        return run(["scp", *self.options("-P"), *paths])

    @contextlib.contextmanager
    def library(self) -> Iterator[paramiko.Transport]:
        """A connection of a client that a test can have say anything."""
        transport = paramiko.Transport((self.gateway["host"], self.gateway["port"]))
        # Its first choice is slow in a server that was built for debugging.
        transport.get_security_options().ciphers = ["aes256-gcm@openssh.com"]
        try:
            key = paramiko.Ed25519Key.from_private_key_file(str(self.identity))
            transport.connect(username=self.user, pkey=key)
            assert transport.get_remote_server_key().get_base64() in self.gateway["host_key"]
            yield transport
        finally:
            transport.close()

    def begin(self, *args: str, options: tuple[str, ...] = (), **others: Any) -> subprocess.Popen[Any]:
        """An ssh that goes on."""
        line = self.command(*args, options=options)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(line, **{**pipes, **others})


class Box:
    """One sandbox."""

    def __init__(self, pinfold: Pinfold, identity: str) -> None:
        self.pinfold = pinfold
        self.id = identity
        self.path = f"/v1/sandboxes/{identity}"
        self._way: Way | None = None

    @property
    def way(self) -> Way:
        """A key that was made for it."""
        self._way = self._way or Way(self, self.key())
        return self._way

    def key(self, **wishes: Any) -> dict[str, Any]:
        return dict(self.pinfold.call("POST", f"{self.path}/ssh-keys", json=wishes))

    def shell(self, line: str) -> str:
        """The output of a line that has to succeed, by way of the API."""
        result = self.pinfold.call("POST", f"{self.path}/run", json={"shell": line})
        assert result["command"]["exit_code"] == 0, result
        return str(result["stdout"])

    def state(self) -> str:
        return str(self.pinfold.call("GET", self.path)["state"])

    def commands(self) -> list[dict[str, Any]]:
        return list(self.pinfold.call("GET", f"{self.path}/commands")["items"])


def run(line: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end; what it says is text unless bytes go in."""
    text = not isinstance(options.get("input"), bytes)
    if "input" not in options and "stdin" not in options:
        options["stdin"] = subprocess.DEVNULL
    return subprocess.run(line, capture_output=True, text=text, timeout=SECONDS, check=False, **options)
