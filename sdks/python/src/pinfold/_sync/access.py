# Made from `_async` by `tools/make_sync.py`: change it there.
"""Projects, keys, usage, audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pinfold._sync.http import Http
from pinfold._sync.streams import Pages
from pinfold._core import call
from pinfold._core.call import Call, Duration
from pinfold._core.quota import KEEP, Keep, named
from pinfold.types import (
    AuditEvent,
    CreatedKey,
    Key,
    KeyKind,
    Page,
    Project,
    Role,
    SandboxUsage,
    Usage,
)
from pinfold.types._page import page_of


class Projects:
    """Where sandboxes, files, images and templates belong."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        name: str,
        *,
        live_sandboxes: int | None | Keep = KEEP,
        vcpu: float | None | Keep = KEEP,
        memory_mib: int | None | Keep = KEEP,
        object_bytes: int | None | Keep = KEEP,
    ) -> Project:
        """Makes a project. Needs an admin key.

        Bounds of its quota that are left out are the server's defaults; `None` is no bound.
        """
        quota = named(
            live_sandboxes=live_sandboxes,
            vcpu=vcpu,
            memory_mib=memory_mib,
            object_bytes=object_bytes,
        )
        request = call.post("projects", read=Project.from_json)
        return self._http.fetch(request.json({"name": name, "quota": quota}))

    def get(self, project_id: str) -> Project:
        """The caller's own project, or for an admin any of its org."""
        return self._http.fetch(call.get("projects", project_id, read=Project.from_json))

    def list(self, *, page_size: int | None = None) -> Pages[Project]:
        """Every project of the org for an admin, else the caller's own."""

        def page(cursor: str | None) -> Call[Page[Project]]:
            request = call.get("projects", read=page_of(Project.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda project: project)

    def update(
        self,
        project_id: str,
        *,
        live_sandboxes: int | None | Keep = KEEP,
        vcpu: float | None | Keep = KEEP,
        memory_mib: int | None | Keep = KEEP,
        object_bytes: int | None | Keep = KEEP,
    ) -> Project:
        """Changes its quota: what is left out stays, `None` removes a bound. Needs an admin key."""
        quota = named(
            live_sandboxes=live_sandboxes,
            vcpu=vcpu,
            memory_mib=memory_mib,
            object_bytes=object_bytes,
        )
        request = call.patch("projects", project_id, read=Project.from_json)
        return self._http.fetch(request.json({"quota": quota}))


class Keys:
    """How callers prove who they are. All of it needs an admin key."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        name: str,
        role: Role | str,
        *,
        kind: KeyKind | str | None = None,
        project_id: str | None = None,
        expires_in: Duration | None = None,
        scopes: Sequence[str] | None = None,
    ) -> CreatedKey:
        """Makes a key. Its secret is in this answer and never again.

        Args:
            name: 1 to 100 printable characters.
            role: what it may do.
            kind: `user` if absent.
            project_id: the caller's own if absent.
            expires_in: as long as the key that makes it if absent, and never longer.
            scopes: what it is confined to, such as `sandboxes:write` or `objects:read`; nothing if
                absent. A key with scopes makes none that is wider.
        """
        body = {
            "name": name,
            "role": role,
            "kind": kind,
            "project_id": project_id,
            "expires_in_ms": call.milliseconds(expires_in),
            "scopes": None if scopes is None else list(scopes),
        }
        return self._http.fetch(call.post("keys", read=CreatedKey.from_json).json(body))

    def list(self, *, page_size: int | None = None) -> Pages[Key]:
        """Every key of the org, newest first."""

        def page(cursor: str | None) -> Call[Page[Key]]:
            request = call.get("keys", read=page_of(Key.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda key: key)

    def update(
        self,
        key_id: str,
        *,
        live_sandboxes: int | None | Keep = KEEP,
        vcpu: float | None | Keep = KEEP,
        memory_mib: int | None | Keep = KEEP,
    ) -> Key:
        """Changes what its sandboxes may hold: what is left out stays, `None` removes a bound."""
        quota = named(live_sandboxes=live_sandboxes, vcpu=vcpu, memory_mib=memory_mib)
        request = call.patch("keys", key_id, read=Key.from_json)
        return self._http.fetch(request.json({"quota": quota}))

    def revoke(self, key_id: str) -> Key:
        """Makes it useless from now on. Repeating this is harmless."""
        return self._http.fetch(call.delete("keys", key_id, read=Key.from_json))


class UsageReports:
    """What was used."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def project(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Usage:
        """The project's usage from `since` (30 days before `until`) to before `until` (now)."""
        request = call.get("usage", read=Usage.from_json)
        return self._http.fetch(request.query(from_=since, to=until))

    def sandboxes(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int | None = None,
    ) -> Pages[SandboxUsage]:
        """The same for each sandbox, newest sandbox first."""

        def page(cursor: str | None) -> Call[Page[SandboxUsage]]:
            request = call.get("usage", "sandboxes", read=page_of(SandboxUsage.from_json))
            return request.query(from_=since, to=until, limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda usage: usage)


class Audit:
    """Who did what to which thing, and how it ended."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(
        self,
        *,
        action: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        page_size: int | None = None,
    ) -> Pages[AuditEvent]:
        """The trail, newest first: of the caller's project, or of the whole org for an admin.

        Args:
            action: only this action, such as `sandbox.create`.
            subject: only what was done to the thing with this id.
            since: at this time or later.
            page_size: 1 to 500, 50 if absent.
        """

        def page(cursor: str | None) -> Call[Page[AuditEvent]]:
            request = call.get("audit", read=page_of(AuditEvent.from_json))
            return request.query(
                action=action, subject=subject, since=since, limit=page_size, cursor=cursor
            )

        return Pages(self._http, page, lambda event: event)
