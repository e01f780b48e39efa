"""Files, images, previews, objects and projects, through both clients, against a real server."""

import io
import os
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from pinfold import KEEP, Credential, errors
from pinfold.types import (
    FileKind,
    ObjectState,
    PreviewState,
    PullState,
    Role,
    WatchEventKind,
)


async def test_files_are_written_read_moved_and_removed(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        files, blob = sandbox.files, os.urandom(300_000)
        entry = await files.write("/tmp/a/b/blob", blob, mode=0o640, parents=True)
        assert (entry.size_bytes, entry.mode, entry.kind) == (300_000, 0o640, FileKind.FILE)
        assert await files.read("/tmp/a/b/blob") == blob
        assert await files.read("/tmp/a/b/blob", offset=1000, length=77) == blob[1000:1077]
        assert await files.read("/tmp/a/b/blob", offset=299_990) == blob[299_990:]
        await files.write("/tmp/a/text", "grün")
        assert await files.read_text("/tmp/a/text") == "grün"
        await files.write("/tmp/a/empty", b"")
        assert await files.read("/tmp/a/empty") == b""
        sizes: list[int] = []
        await files.write("/tmp/a/p", (blob[i : i + 100_000] for i in (0, 100_000, 200_000)),
                          progress=sizes.append)
        assert sizes[-1] == 300_000 and await files.read("/tmp/a/p") == blob
        async with files.stream("/tmp/a/p", progress=sizes.append) as stream:
            assert stream.total_bytes == 300_000
            assert b"".join([piece async for piece in stream]) == blob
        assert (await files.chmod("/tmp/a/p", 0o755)).mode == 0o755
        assert (await files.mkdir("/tmp/a/d")).kind is FileKind.DIRECTORY
        await files.mkdir("/tmp/a/d", parents=True)
        with pytest.raises(errors.ConflictError):
            await files.mkdir("/tmp/a/d")
        assert (await files.move("/tmp/a/p", "/tmp/a/d/q")).path == "/tmp/a/d/q"
        assert not await files.exists("/tmp/a/p") and await files.exists("/tmp/a/d/q")
        listed = await files.list("/tmp/a")
        assert [each.name for each in listed.entries] == ["b", "d", "empty", "text"]
        assert (await files.list("/tmp/a", limit=1)).truncated
        await files.remove("/tmp/a", recursive=True)
        assert not await files.exists("/tmp/a")
        with pytest.raises(errors.InvalidArgumentError):
            await files.read("/etc/passwd", offset=1 << 40)


async def test_names_of_files_can_be_anything(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        for name in ("a b", "a%2Fb", "ü&=?#", "'\"", "..a", "+"):
            await sandbox.files.write(f"/tmp/n/{name}", name, parents=True)
            assert await sandbox.files.read_text(f"/tmp/n/{name}") == name
        listed = await sandbox.files.list("/tmp/n")
        assert len(listed.entries) == 6


async def test_changes_of_files_are_watched(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        await sandbox.files.mkdir("/tmp/w/d", parents=True)
        async with sandbox.files.watch("/tmp/w", recursive=True) as watch:
            await sandbox.files.write("/tmp/w/d/f", b"x")
            async for change in watch:
                if change.path.endswith("/d/f"):
                    break
            assert change.kind in (
                WatchEventKind.CREATED, WatchEventKind.RENAMED, WatchEventKind.MODIFIED
            )


async def test_directories_go_in_and_come_back_the_same(connect: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    long = "n" * 120
    (source / "deep" / long / long).mkdir(parents=True)
    (source / "deep" / long / long / "leaf").write_bytes(os.urandom(700_001))
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "grün").write_text("")
    (source / "link").symlink_to("deep")
    (source / "out").symlink_to("/etc/passwd")
    async with connect() as client, client.sandboxes.create() as sandbox:
        sent: list[int] = []
        await sandbox.files.upload(source, "/tmp/in", progress=sent.append)
        assert sent[-1] > 700_000
        assert (await sandbox.run("/tmp/in/run.sh && readlink /tmp/in/out")).stdout == "/etc/passwd\n"
        got = await sandbox.files.download("/tmp/in", target)
        assert got.size_bytes == 700_001 + 10
        assert [each.removeprefix("./") for each in got.skipped] == ["out"]
        (source / "out").unlink()
        assert _tree(target) == _tree(source)
        single = tmp_path / "single"
        await sandbox.files.download("/tmp/in/run.sh", single)
        assert single.stat().st_mode & 0o777 == 0o755
        await sandbox.files.upload(single, "/tmp/x/y")
        assert (await sandbox.files.stat("/tmp/x/y")).mode == 0o755
        with pytest.raises(errors.UnsafeArchiveError):
            await sandbox.files.download("/tmp/in", tmp_path / "small", max_bytes=1000)
        with pytest.raises(errors.LocalFileError):
            await sandbox.files.upload(tmp_path / "missing", "/tmp/z")


def _tree(root: Path) -> dict[str, Any]:
    def facts(path: Path) -> Any:
        if path.is_symlink():
            return os.readlink(path)
        return path.read_bytes() if path.is_file() else "directory", path.stat().st_mode & 0o777

    return {str(path.relative_to(root)): facts(path) for path in root.rglob("*")}


async def test_images_and_templates_come_and_go(connect: Any, tmp_path: Path) -> None:
    rootfs = tmp_path / "rootfs.tar"
    with tarfile.open(rootfs, "w") as tar:
        entry = tarfile.TarInfo("etc/motd")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"hey"))
    name = f"test/{os.urandom(4).hex()}"
    async with connect() as client:
        sent: list[int] = []
        image = await client.images.import_tar(name, rootfs, progress=sent.append)
        assert sent[-1] == rootfs.stat().st_size
        assert (await client.images.get(name)).id == image.id
        assert image.id in [each.id async for each in client.images.list()]
        template = await client.templates.set(
            name.replace("/", "-"), image=name, vcpu=0.25, env={"A": "b"}, ttl=3600
        )
        assert (template.version, template.ttl) == (1, timedelta(hours=1))
        second = await client.templates.set(template.name, image="host", memory_mib=64)
        assert second.version == 2
        versions = [each.version async for each in client.templates.versions(template.name)]
        assert versions == [2, 1]
        assert (await client.templates.get(template.name, version=1)).image == f"{name}:latest"
        assert template.name in [each.name async for each in client.templates.list()]
        async with client.sandboxes.create(template=template.name) as sandbox:
            assert sandbox.facts.memory_mib == 64
        await client.templates.remove(template.name)
        await client.images.remove(name)
        with pytest.raises(errors.NotFoundError):
            await client.images.get(name)


async def test_previews_are_made_listed_linked_and_revoked(connect: Any) -> None:
    async with connect() as client, client.sandboxes.create() as sandbox:
        made = await sandbox.previews.create(8000, access="token", expires_in=timedelta(hours=1))
        assert made.token and made.token not in repr(made)
        again = await sandbox.previews.create(8000, access="token")
        assert (again.preview.id, again.token) == (made.preview.id, None)
        assert [each.id async for each in sandbox.previews.list(active=True)] == [made.preview.id]
        link = await client.previews.link(made.preview.id)
        assert link.url not in repr(link)
        assert (await client.previews.revoke(made.preview.id)).state is PreviewState.REVOKED
        assert (await client.previews.get(made.preview.id)).revoked_at is not None
        assert await sandbox.previews.list(active=True).all() == []


async def test_a_pull_that_fails_says_why(connect: Any) -> None:
    # Nothing listens there; that a pull succeeds is tested against a registry of the server's own.
    async with connect() as client:
        seen: list[PullState] = []
        with pytest.raises(errors.ApiError) as raised:
            await client.images.pull(
                "127.0.0.1:9/none:1", name="none", progress=lambda pull: seen.append(pull.state)
            )
        assert raised.value.code == "image_pull_failed"
        assert seen[-1] is PullState.FAILED
        pull = await client.images.start_pull("127.0.0.1:9/none:1", password="s3cret", username="u")
        assert "s3cret" not in repr(pull)
        pull = await client.images.get_pull(pull.id, timeout=60)
        assert pull.error is not None and pull.image is None


async def test_objects_outlive_the_sandbox_they_come_from(connect: Any, tmp_path: Path) -> None:
    async with connect() as client:
        async with client.sandboxes.create() as sandbox:
            await sandbox.files.write("/tmp/report.txt", "all is well")
            copied = await client.objects.create(sandbox_id=sandbox.id, path="/tmp/report.txt")
            signed = await sandbox.files.url("/tmp/report.txt", expires_in=60)
            assert signed.url not in repr(signed)
            async with httpx.AsyncClient(trust_env=False) as browser:
                assert (await browser.get(signed.url)).text == "all is well"
        assert (copied.name, copied.state) == ("report.txt", ObjectState.SEALED)
        assert await client.objects.read(copied.id) == b"all is well"
        assert await client.objects.read(copied.id, offset=4, length=2) == b"is"
        local = tmp_path / "large"
        local.write_bytes(os.urandom(1_000_000))
        sent: list[int] = []
        made = await client.objects.put(
            "large", local, metadata={"a": "b"}, retention=timedelta(days=1), progress=sent.append
        )
        assert (made.size_bytes, made.metadata, sent[-1]) == (1_000_000, {"a": "b"}, 1_000_000)
        async with client.objects.stream(made.id) as stream:
            await stream.save(tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == local.read_bytes()
        waiting = await client.objects.create("later", content_type="text/plain")
        assert waiting.state is ObjectState.UPLOADING
        link = await client.objects.url(waiting.id, "upload")
        async with httpx.AsyncClient(trust_env=False) as browser:
            assert (await browser.put(link.url, content=b"first")).status_code < 300
        await client.objects.upload(waiting.id, "second")
        assert (await client.objects.complete(waiting.id)).size_bytes == 6
        found = [each.id async for each in client.objects.list(name="later")]
        assert waiting.id in found
        assert (await client.objects.delete(waiting.id)).state is ObjectState.DELETED
        assert (await client.objects.get(waiting.id)).deleted_at is not None
        with pytest.raises(errors.GoneError):
            await client.objects.read(waiting.id)


async def test_projects_keys_usage_and_audit(connect: Any) -> None:
    async with connect() as client:
        name = os.urandom(4).hex()
        project = await client.projects.create(name, live_sandboxes=2, vcpu=None)
        assert (project.quota.live_sandboxes, project.quota.vcpu) == (2, None)
        changed = await client.projects.update(project.id, live_sandboxes=1, memory_mib=KEEP)
        assert changed.quota.live_sandboxes == 1
        assert changed.quota.memory_mib == project.quota.memory_mib
        assert (await client.projects.get(project.id)).name == name
        assert project.id in [each.id async for each in client.projects.list()]
        created = await client.keys.create(
            "k", Role.MEMBER, project_id=project.id, expires_in=timedelta(days=1)
        )
        assert created.secret not in repr(created)
        async with connect(key=created.secret) as member:
            me = await member.whoami()
            assert (me.project_id, me.role, me.key_id) == (project.id, "member", created.key.id)
            async with member.sandboxes.create() as sandbox:
                await sandbox.run("true")
            usage = await member.usage.project(since=datetime(2020, 1, 1, tzinfo=timezone.utc))
            assert (usage.project_id, usage.sandboxes) == (project.id, 1)
            assert usage.since.year == 2020
            assert [each.sandbox_id async for each in member.usage.sandboxes()] == [sandbox.id]
        trail = [each async for each in client.audit.list(subject=sandbox.id)]
        assert {each.action for each in trail} >= {"sandbox.create", "sandbox.destroy"}
        assert created.key.id in [each.id async for each in client.keys.list(page_size=500)]
        assert (await client.keys.revoke(created.key.id)).revoked_at is not None
        async with connect(key=created.secret) as revoked:
            with pytest.raises(errors.UnauthenticatedError):
                await revoked.whoami()


async def test_the_server_tells_about_itself(connect: Any) -> None:
    async with connect() as client:
        assert (await client.health()).status == "ok"
        assert (await client.isolation()).level == "namespace"
        assert (await client.openapi())["openapi"].startswith("3.1")
        assert client.url.startswith("http://127.0.0.1:")


async def test_secrets_are_named_and_never_shown(connect: Any) -> None:
    name = f"TOKEN-{os.urandom(4).hex()}"
    async with connect() as client:
        made = await client.secrets.set(name, "hunter2")
        again = await client.secrets.set(name, "hunter22")
        assert (again.id, again.created_at) == (made.id, made.created_at)
        assert again.updated_at >= made.updated_at
        assert await client.secrets.get(name) == again
        assert again in [each async for each in client.secrets.list(page_size=1)]
        with pytest.raises(errors.InvalidArgumentError) as raised:
            await client.secrets.set(name, "hunter2\0")
        assert "hunter2" not in str(raised.value)
        bound = [Credential(name, "10.0.0.1"), Credential(name, "a.com", header="host")]
        for credential in bound:
            with pytest.raises(errors.InvalidArgumentError):
                await client.sandboxes.create(credentials=[credential])
        with pytest.raises(errors.NotFoundError):
            await client.sandboxes.create(credentials=[Credential("MISSING", "a.com")])
        await client.secrets.delete(name)
        with pytest.raises(errors.NotFoundError):
            await client.secrets.get(name)
