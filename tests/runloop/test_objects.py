"""Storage objects, and their contents in devboxes."""

import io
import tarfile
import time

import httpx
import pytest
from runloop_api_client import BadRequestError, ConflictError, NotFoundError, RunloopError

pytestmark = pytest.mark.anyio


def tar(names: dict[str, bytes], mode: str = "w") -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode=mode) as archive:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return into.getvalue()


async def test_an_object_is_created_uploaded_and_completed(sdk, runloop):
    made = await sdk(
        runloop.storage_object.create,
        name="my-file.txt",
        content_type="text",
        metadata={"project": "demo"},
    )
    assert made.upload_url.startswith("http")
    info = await sdk(made.refresh)
    assert (info.state, info.content_type, info.name) == ("UPLOADING", "text", "my-file.txt")
    await sdk(made.upload_content, "Hello, World!")
    done = await sdk(made.complete)
    assert (done.state, done.size_bytes) == ("READ_ONLY", 13)
    started = time.monotonic()
    with pytest.raises(ConflictError):
        await sdk(made.complete)
    assert time.monotonic() - started < 20, "another try is known to be in vain"
    assert await sdk(made.download_as_text) == "Hello, World!"
    assert (await sdk(made.delete)).state == "DELETED"
    assert (await sdk(made.refresh)).state == "DELETED"
    with pytest.raises(BadRequestError):
        await sdk(made.get_download_url)


async def test_uploads_of_every_kind_come_back_as_they_were(sdk, runloop, tmp_path):
    file = tmp_path / "report.csv"
    file.write_text("a,b\n1,2\n")
    objects = runloop.storage_object
    of_file = await sdk(objects.upload_from_file, file)
    assert (await sdk(of_file.refresh)).content_type == "text"
    assert await sdk(of_file.download_as_text) == "a,b\n1,2\n"
    of_text = await sdk(objects.upload_from_text, "", name="empty.txt", metadata={"a": "b"})
    assert await sdk(of_text.download_as_bytes) == b""
    content = b"\xde\xad\xbe\xef" * 100_000
    of_bytes = await sdk(
        objects.upload_from_bytes, content, name="data.bin", content_type="binary"
    )
    assert await sdk(of_bytes.download_as_bytes) == content
    link = await sdk(of_bytes.get_download_url, duration_seconds=3600)
    assert httpx.get(link.download_url).content == content
    forged = link.download_url[:-2] + ("aa" if not link.download_url.endswith("aa") else "bb")
    assert httpx.get(forged).status_code == 403


async def test_objects_are_listed_by_name_and_state(sdk, runloop):
    mark = f"mark-{time.time_ns()}"
    upload = runloop.storage_object.upload_from_text
    made = [await sdk(upload, "x", name=f"{mark}-{n}") for n in (1, 2)]
    listed = await sdk(runloop.api.objects.list, name=mark)
    assert [one.id for one in listed.objects] == [made[1].id, made[0].id]
    page = await sdk(runloop.api.objects.list, name=mark, limit=1)
    assert page.has_more and page.objects[0].id == made[1].id
    await sdk(made[0].delete)
    listed = await sdk(runloop.api.objects.list, search=mark)
    assert [one.id for one in listed.objects] == [made[1].id]
    gone = await sdk(runloop.api.objects.list, search=made[0].id, state="DELETED")
    assert [one.id for one in gone.objects] == [made[0].id]
    assert any(one.id == made[1].id for one in await sdk(runloop.storage_object.list))


async def test_an_object_can_end_by_itself(sdk, runloop):
    made = await sdk(runloop.api.objects.create, name="short", content_type="text", ttl_ms=600_000)
    info = await sdk(runloop.api.objects.retrieve, made.id)
    assert info.delete_after_time_ms - info.create_time_ms == 600_000


async def test_objects_are_mounted_and_archives_unpacked(sdk, runloop, tmp_path):
    objects = runloop.storage_object
    plain = await sdk(objects.upload_from_text, "Hello, World!", name="my-data.txt")
    packed = tmp_path / "project.tar.gz"
    packed.write_bytes(tar({"a.txt": b"A", "dir/b.txt": b"B" * 100_000}, "w:gz"))
    tgz = await sdk(objects.upload_from_file, packed, name="project.tar.gz")
    raw = await sdk(
        objects.upload_from_bytes, tar({"c.txt": b"C"}), name="c.tar", content_type="tar"
    )
    devbox = await sdk(
        runloop.devbox.create,
        mounts=[
            {"type": "object_mount", "object_id": plain.id, "object_path": "/home/user/d/data.txt"},
            {"type": "object_mount", "object_id": tgz.id, "object_path": "/home/user/project"},
            {"type": "object_mount", "object_id": raw.id, "object_path": "/opt/raw"},
        ],
    )
    line = "cat d/data.txt; ls project project/dir; wc -c < project/dir/b.txt; cat /opt/raw/c.txt"
    result = await sdk(devbox.cmd.exec, command=line)
    text = await sdk(result.stdout)
    assert text == "Hello, World!project:\na.txt\ndir\n\nproject/dir:\nb.txt\n100000\nC"
    await sdk(devbox.shutdown)


async def test_a_hostile_archive_fails_the_devbox(sdk, runloop):
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
        archive.addfile(link)
        for name in ("../../tmp/escaped", "out/through"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    made = await sdk(
        runloop.storage_object.upload_from_bytes,
        into.getvalue(),
        name="evil.tar",
        content_type="tar",
    )
    mount = {"type": "object_mount", "object_id": made.id, "object_path": "/home/user/in"}
    with pytest.raises(RunloopError, match="failure"):
        await sdk(runloop.devbox.create, name="fooled", mounts=[mount])
    listed = await sdk(runloop.devbox.list, limit=1)
    info = await sdk(listed[0].get_info)
    assert (info.name, info.failure_reason) == ("fooled", "execution_failed")
    await sdk(listed[0].shutdown)


async def test_what_cannot_be_mounted_is_told_at_once(sdk, runloop):
    unfinished = await sdk(runloop.storage_object.create, name="u", content_type="text")
    for name, kind in (("obj_nobodys", NotFoundError), (unfinished.id, BadRequestError)):
        mount = {"type": "object_mount", "object_id": name, "object_path": "/x"}
        with pytest.raises(kind):
            await sdk(runloop.api.devboxes.create, mounts=[mount])


async def test_a_url_lasts_as_long_as_it_may(sdk, runloop, refused):
    made = await sdk(runloop.storage_object.upload_from_text, "x", name="for-urls")
    for bad in (-1, 0, 604_801):
        with refused(BadRequestError, 400) as caught:
            await sdk(made.get_download_url, duration_seconds=bad)
        assert "duration_seconds: must be from 1 to 604800" in str(caught.value)
    assert (await sdk(made.get_download_url, duration_seconds=1)).download_url
    await sdk(made.delete)
