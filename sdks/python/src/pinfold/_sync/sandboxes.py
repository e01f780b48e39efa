# Made from `_async` by `tools/make_sync.py`: change it there.
"""Sandboxes: making, changing, ending them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import TracebackType

from pinfold._sync._io import opens
from pinfold._sync.code import SandboxCode
from pinfold._sync.commands import Commands
from pinfold._sync.files import Files
from pinfold._sync.http import Http
from pinfold._sync.previews import SandboxPreviews
from pinfold._sync.pty import Pty, open_pty
from pinfold._sync.streams import Pages
from pinfold._sync.ssh_keys import SandboxSshKeys
from pinfold._core import call
from pinfold._core.call import BOOT_TIMEOUT_SECONDS, Call, Duration
from pinfold._core.command import Program
from pinfold.errors import PinfoldError
from pinfold.types import (
    Credential,
    Gauge,
    IdleAction,
    Image,
    NetworkMode,
    NetworkPolicy,
    Page,
    RunResult,
    SandboxFacts,
    SandboxNetwork,
    SandboxState,
)
from pinfold.types._page import page_of


class Sandbox:
    """An isolated computer. In `with` it is destroyed at the end of the block."""

    def __init__(self, http: Http, facts: SandboxFacts) -> None:
        self._http = http
        self.facts = facts
        """The sandbox as the server last told."""
        self.commands = Commands(http, facts.id)
        """Its commands."""
        self.files = Files(http, facts.id)
        """Its files."""
        self.code = SandboxCode(http, facts.id)
        """Interpreters that keep their variables."""
        self.previews = SandboxPreviews(http, facts.id)
        """Addresses outside that reach its ports."""
        self.ssh_keys = SandboxSshKeys(http, facts.id)
        """Keys that open it over SSH."""

    def __repr__(self) -> str:
        return f"Sandbox(id={self.id!r}, state={str(self.state)!r})"

    @property
    def id(self) -> str:
        """Names it."""
        return self.facts.id

    @property
    def name(self) -> str | None:
        """For people."""
        return self.facts.name

    @property
    def state(self) -> SandboxState:
        """Where it was in its life when the server last told."""
        return self.facts.state

    def run(
        self,
        program: Program,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bytes | str | None = None,
        timeout: Duration | None = None,
        check: bool = False,
    ) -> RunResult:
        """Runs a command to its end: `commands.run` with its most used arguments."""
        return self.commands.run(
            program, cwd=cwd, env=env, user=user, stdin=stdin, timeout=timeout, check=check
        )

    @opens
    def pty(
        self,
        command: str | None = None,
        *,
        command_id: str | None = None,
        after_seq: int | None = None,
        rows: int | None = None,
        cols: int | None = None,
        cwd: str | None = None,
        user: str | None = None,
    ) -> Pty:
        """Opens a terminal, or attaches to that of a command. Needs `pip install pinfold[pty]`.

        Args:
            command: a line for the shell; an interactive shell if absent.
            command_id: attach to this command instead, behind its record `after_seq`.
            after_seq: when attaching: only output behind this record.
            rows: 24 if absent.
            cols: 80 if absent.
            cwd: the sandbox's working directory if absent.
            user: a name or `uid[:gid]`.
        """
        request = call.get("sandboxes", self.id, "pty", read=call.nothing).query(
            command=command,
            command_id=command_id,
            after_seq=after_seq,
            rows=rows,
            cols=cols,
            cwd=cwd,
            user=user,
        )
        return open_pty(self._http, request)

    def refresh(self) -> SandboxFacts:
        """Asks the server how it is now."""
        self.facts = self._http.fetch(_get(self.id))
        return self.facts

    def suspend(self) -> SandboxFacts:
        """Freezes it: memory and processes kept, no CPU."""
        return self._become("suspend")

    def resume(self) -> SandboxFacts:
        """Lets a suspended one go on."""
        return self._become("resume")

    def stop(self) -> SandboxFacts:
        """Ends its processes and keeps its disk."""
        return self._become("stop")

    def start(self) -> SandboxFacts:
        """Boots a stopped one again."""
        return self._become("start")

    def _become(self, verb: str) -> SandboxFacts:
        request = call.repeatable_post("sandboxes", self.id, verb, read=SandboxFacts.from_json)
        self.facts = self._http.fetch(request.within(BOOT_TIMEOUT_SECONDS))
        return self.facts

    def extend(self, ttl: Duration) -> SandboxFacts:
        """Sets its absolute lifetime to `ttl` from now, at most 30 days."""
        request = call.repeatable_post("sandboxes", self.id, "extend", read=SandboxFacts.from_json)
        self.facts = self._http.fetch(request.json({"ttl_ms": call.milliseconds(ttl)}))
        return self.facts

    def network(self) -> SandboxNetwork:
        """What it may reach, and what became of its tries."""
        request = call.get("sandboxes", self.id, "network", read=SandboxNetwork.from_json)
        return self._http.fetch(request)

    def set_network(
        self, mode: NetworkMode | str, policy: NetworkPolicy | None = None
    ) -> SandboxNetwork:
        """Changes what it may reach, now: connections that are not allowed any more are cut.

        Args:
            mode: changing it takes a sandbox that runs.
            policy: the rules of the mode `policy`, in place of all earlier ones.
        """
        body: dict[str, object] = {"mode": mode, "policy": call.network_policy(policy)}
        request = call.put("sandboxes", self.id, "network", read=SandboxNetwork.from_json)
        return self._http.fetch(request.json(body))

    def snapshot(
        self, name: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> Image:
        """Keeps what it has on its disk, as it is now, as an image to create sandboxes from.

        It may run, or be suspended or stopped. Not tried again: each one taken is another.

        Args:
            name: `name` or `name:tag`, taken from the image that has it; by its id only if absent.
            labels: added to those of the image that the sandbox was made from.
        """
        body: dict[str, object] = {"name": name, "labels": dict(labels) if labels else None}
        request = call.post("sandboxes", self.id, "snapshot", read=Image.from_json).json(body)
        return self._http.fetch(request.within(BOOT_TIMEOUT_SECONDS))

    def usage(self) -> Gauge:
        """What it uses at this moment."""
        return self._http.fetch(call.get("sandboxes", self.id, "usage", read=Gauge.from_json))

    def destroy(self) -> SandboxFacts:
        """Ends it and removes everything of it. Repeating this is harmless."""
        request = call.delete("sandboxes", self.id, read=SandboxFacts.from_json)
        self.facts = self._http.fetch(request.within(BOOT_TIMEOUT_SECONDS))
        return self.facts

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What went wrong in the block says more than what goes wrong behind it.
        with contextlib.suppress(*(() if error is None else (PinfoldError,))):
            self.destroy()


class Sandboxes:
    """The sandboxes of the caller's project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    @opens
    def create(
        self,
        *,
        name: str | None = None,
        image: str | None = None,
        template: str | None = None,
        template_version: int | None = None,
        fork_of: str | None = None,
        vcpu: float | None = None,
        memory_mib: int | None = None,
        disk_mib: int | None = None,
        pids: int | None = None,
        network: NetworkMode | str | None = None,
        network_policy: NetworkPolicy | None = None,
        network_policy_id: str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        hostname: str | None = None,
        metadata: Mapping[str, str] | None = None,
        ttl: Duration | None = None,
        idle_timeout: Duration | None = None,
        idle_action: IdleAction | str | None = None,
        credentials: Iterable[Credential] | None = None,
        wait: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Sandbox:
        """Creates a sandbox, running unless `wait` is false.

        What is left out comes from the template if one is named, else from the server's defaults:
        image `host`, 1 vCPU, 1024 MiB memory, 4096 MiB disk, 1024 processes, no network. Tried
        again where that is safe: one sandbox comes of it.

        Args:
            name: for people; need not be unique.
            image: `name`, `name:tag` or an image id. Not together with `template`.
            template: name or id of a template.
            template_version: the latest if absent.
            fork_of: id of a sandbox: begin with what that has on its disk now, and with its settings
                where others are not given. Not together with `image` or `template`.
            vcpu: CPUs, in steps of 0.001: 0.05 to 256.
            memory_mib: 32 to 4194304.
            disk_mib: what it may write: 16 to 16777216.
            pids: processes and threads: 8 to 1000000.
            network: what it may reach.
            network_policy: the rules of the mode `policy`, which they mean without `network`.
            network_policy_id: id of a network policy to follow, or its name where no other has that;
                instead of `network_policy`.
            env: added to the environment of every command.
            workdir: default working directory of commands.
            user: default user of commands: a name or `uid[:gid]`.
            hostname: what it calls itself.
            metadata: at most 64 keys of 128 characters with values of 4096 characters.
            ttl: absolute lifetime, at most 30 days; lives until destroyed if absent.
            idle_timeout: time without a running command, an open terminal or a file call.
            idle_action: what happens then.
            credentials: secrets that requests get on their way out, at most 32; needs the network
                mode `policy`. A fork that does not say has those of its original.
            wait: answer when it runs (default), or at once with state `creating`.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        body: dict[str, object] = {
            "name": name,
            "image": image,
            "template": template,
            "template_version": template_version,
            "fork_of": fork_of,
            "vcpu": vcpu,
            "memory_mib": memory_mib,
            "disk_mib": disk_mib,
            "pids": pids,
            "network": network,
            "network_policy": call.network_policy(network_policy),
            "network_policy_id": network_policy_id,
            "env": dict(env) if env else None,
            "workdir": workdir,
            "user": user,
            "hostname": hostname,
            "metadata": dict(metadata) if metadata else None,
            "ttl_ms": call.milliseconds(ttl),
            "idle_timeout_ms": call.milliseconds(idle_timeout),
            "idle_action": idle_action,
            "credentials": None if credentials is None else [asdict(each) for each in credentials],
            "wait": wait,
        }
        request = call.post("sandboxes", read=SandboxFacts.from_json).json(body)
        request = request.named(idempotency_key).within(BOOT_TIMEOUT_SECONDS)
        return Sandbox(self._http, self._http.fetch(request))

    @opens
    def get(self, sandbox_id: str) -> Sandbox:
        """One sandbox by its id."""
        return Sandbox(self._http, self._http.fetch(_get(sandbox_id)))

    def list(
        self,
        *,
        state: SandboxState | str | None = None,
        include_ended: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        page_size: int | None = None,
    ) -> Pages[Sandbox]:
        """Sandboxes, newest first.

        Args:
            state: only this state.
            include_ended: also destroyed ones. Not together with `state`.
            metadata: only those whose metadata has exactly these values.
            page_size: 1 to 500, 50 if absent.
        """

        def page(cursor: str | None) -> Call[Page[SandboxFacts]]:
            request = call.get("sandboxes", read=page_of(SandboxFacts.from_json))
            request = request.query(
                state=None if state is None else SandboxState(state).value,
                include_ended=include_ended,
                limit=page_size,
                cursor=cursor,
            )
            return request.metadata(metadata)

        return Pages(self._http, page, lambda facts: Sandbox(self._http, facts))


def _get(sandbox_id: str) -> Call[SandboxFacts]:
    return call.get("sandboxes", sandbox_id, read=SandboxFacts.from_json)
