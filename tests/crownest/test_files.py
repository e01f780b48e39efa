"""Files of the workspace, and nothing but them."""

import base64
import datetime

import pytest

pytestmark = pytest.mark.anyio

CAP = 262_144


async def sh(sdk, client, sandbox, line):
    result = await sdk(client.commands.run, sandbox.id, line)
    assert result["exitCode"] == 0, result
    return result["stdout"]


async def test_what_is_written_is_read_back(sdk, client, sandbox):
    for content in ("", "text\n", "é€😀\u2028\u0085\r\n\x00", "x" * CAP):
        stat = await sdk(client.files.write, sandbox.id, "file.txt", content)
        assert stat["path"] == "/workspace/file.txt" and stat["type"] == "file"
        assert stat["sizeBytes"] == len(content.encode()) and "name" not in stat
        assert await sdk(client.files.read, sandbox.id, "/workspace/file.txt") == content
        assert await sdk(client.files.read, sandbox.id, "./file.txt", encoding="utf8") == content
    blob = bytes(range(256)) * 1024
    stat = await sdk(client.files.write_bytes, sandbox.id, "blob", blob)
    assert stat["sizeBytes"] == CAP
    assert await sdk(client.files.read_bytes, sandbox.id, "blob") == blob
    encoded = await sdk(client.files.read, sandbox.id, "blob", encoding="base64")
    assert base64.b64decode(encoded) == blob


async def test_the_handle_has_the_same_calls(sdk, client, sandbox):
    await sdk(sandbox.files.write, "dir/a b+c&d.txt", "hi", create_parents=True)
    assert await sdk(sandbox.files.read, "dir/a b+c&d.txt") == "hi"
    assert (await sdk(sandbox.files.stat, "dir"))["type"] == "directory"
    assert [one["name"] for one in await sdk(sandbox.files.list, "dir")] == ["a b+c&d.txt"]
    await sdk(sandbox.files.move, "dir/a b+c&d.txt", "dir/ü")
    await sdk(sandbox.files.write_bytes, "dir/b", b"\xff")
    assert await sdk(sandbox.files.read_bytes, "dir/b") == b"\xff"
    await sdk(sandbox.files.delete, "dir/b")
    await sdk(sandbox.files.mkdir, "dir/sub/deep", parents=True)
    assert sorted(one["name"] for one in await sdk(sandbox.files.list, "dir")) == ["sub", "ü"]


async def test_the_caps_are_of_bytes(sdk, client, sandbox, fails):
    with fails("file_too_large", 413):
        await sdk(client.files.write, sandbox.id, "f", "é" * (CAP // 2) + "x")
    with fails("file_too_large", 413):
        await sdk(client.files.write_bytes, sandbox.id, "f", b"x" * (CAP + 1))
    with fails("file_too_large", 413):
        await sdk(client.files.write, sandbox.id, "f", "x" * 6_000_000)
    with fails("file_not_found", 404):
        await sdk(client.files.stat, sandbox.id, "f")
    await sh(sdk, client, sandbox, f"head -c {CAP} /dev/zero > fits; head -c {CAP + 1} /dev/zero > not")
    assert len(await sdk(client.files.read_bytes, sandbox.id, "fits")) == CAP
    for encoding in ("utf8", "base64"):
        with fails("file_too_large", 413):
            await sdk(client.files.read, sandbox.id, "not", encoding=encoding)


async def test_encodings_are_checked(sdk, client, sandbox, fails):
    for encoding in ("latin1", "UTF8", ""):
        with fails("invalid_file_encoding", 400):
            await sdk(client.files.write, sandbox.id, "f", "x", encoding=encoding)
        with fails("invalid_file_encoding", 400):
            await sdk(client.files.read, sandbox.id, "f", encoding=encoding)
    with fails("invalid_file_encoding", 400):
        await sdk(client.files.write, sandbox.id, "f", "no base64!", encoding="base64")
    await sdk(client.files.write_bytes, sandbox.id, "f", b"\xff\xfe")
    with fails("invalid_file_encoding", 400):
        await sdk(client.files.read, sandbox.id, "f")


async def test_writing_replaces_whole_or_not_at_all(sdk, client, sandbox, fails):
    with fails("parent_directory_not_found", 404):
        await sdk(client.files.write, sandbox.id, "no/such/dir/f", "x")
    with fails("parent_directory_not_found", 404):
        await sdk(client.files.write, sandbox.id, "no/f", "x", create_parents=False)
    await sdk(client.files.write, sandbox.id, "a/b/f", "one", create_parents=True)
    with fails("file_already_exists", 409):
        await sdk(client.files.write, sandbox.id, "a/b/f", "two", overwrite=False)
    assert await sdk(client.files.read, sandbox.id, "a/b/f") == "one"
    await sdk(client.files.write, sandbox.id, "a/b/f", "two", overwrite=True)
    assert await sdk(client.files.read, sandbox.id, "a/b/f") == "two"
    await sdk(client.files.write, sandbox.id, "a/b/new", "x", overwrite=False)
    for directory in ("a/b", "/workspace", "a/b/"):
        with fails("path_is_directory", 400):
            await sdk(client.files.write, sandbox.id, directory, "x")
    with fails("path_not_directory", 400):
        await sdk(client.files.write, sandbox.id, "a/b/f/under", "x")
    with fails("path_not_directory", 400):
        await sdk(client.files.write, sandbox.id, "a/b/f/under", "x", create_parents=True)
    await sh(sdk, client, sandbox, "chmod 755 a/b/f")
    await sdk(client.files.write, sandbox.id, "a/b/f", "#!/bin/sh\necho run")
    assert await sh(sdk, client, sandbox, "a/b/f") == "run\n"


async def test_reading_what_is_no_file(sdk, client, sandbox, fails):
    with fails("file_not_found", 404):
        await sdk(client.files.read, sandbox.id, "missing")
    with fails("path_is_directory", 400):
        await sdk(client.files.read, sandbox.id, "/workspace")
    await sh(sdk, client, sandbox, "mkfifo pipe")
    with fails("invalid_request", 400):
        await sdk(client.files.read, sandbox.id, "pipe")
    for path in ("", "a\0b", "x" * 5000):
        with fails("invalid_request", 400, "path"):
            await sdk(client.files.read, sandbox.id, path)


async def test_delete_takes_files_and_empty_directories(sdk, client, sandbox, fails):
    await sdk(client.files.write, sandbox.id, "d/f", "x", create_parents=True)
    with fails("directory_not_empty", 409):
        await sdk(client.files.delete, sandbox.id, "d")
    assert await sdk(client.files.delete, sandbox.id, "d/f") is None
    await sdk(client.files.delete, sandbox.id, "d")
    with fails("file_not_found", 404):
        await sdk(client.files.delete, sandbox.id, "d")
    with fails("invalid_request", 400):
        await sdk(client.files.delete, sandbox.id, "/workspace")


async def test_list_shows_direct_children_with_their_stat(sdk, client, sandbox, fails):
    assert await sdk(client.files.list, sandbox.id) == []
    await sdk(client.files.write, sandbox.id, ".hidden", "12345")
    await sdk(client.files.write, sandbox.id, "sub/below", "x", create_parents=True)
    entries = await sdk(client.files.list, sandbox.id)
    assert [(e["name"], e["path"], e["type"]) for e in entries] == [
        (".hidden", "/workspace/.hidden", "file"),
        ("sub", "/workspace/sub", "directory"),
    ]
    assert entries[0]["sizeBytes"] == 5
    assert await sdk(client.files.list, sandbox.id, "/workspace/") == entries
    assert await sdk(client.files.list, sandbox.id, ".") == entries
    with fails("path_not_directory", 400):
        await sdk(client.files.list, sandbox.id, ".hidden")
    with fails("file_not_found", 404):
        await sdk(client.files.list, sandbox.id, "missing")
    await sh(sdk, client, sandbox, "mkdir many && cd many && touch $(seq 2500)")
    assert len(await sdk(client.files.list, sandbox.id, "many")) == 2500


async def test_a_listing_is_whole_or_refused(sdk, client, sandbox, fails):
    fill = "mkdir full && cd full && seq -f 'f%06g' 100000 | xargs touch"
    await sh(sdk, client, sandbox, fill)
    assert len(await sdk(client.files.list, sandbox.id, "full")) == 100_000
    await sdk(client.files.write, sandbox.id, "full/one-more", "")
    with fails("file_too_large", 413, "path"):
        await sdk(client.files.list, sandbox.id, "full")


async def test_stat_of_files_directories_and_the_workspace(sdk, client, sandbox):
    await sdk(client.files.write, sandbox.id, "f", "123")
    stat = await sdk(client.files.stat, sandbox.id, "./f")
    assert (stat["path"], stat["type"], stat["sizeBytes"]) == ("/workspace/f", "file", 3)
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(
        stat["modifiedAt"]
    )
    assert abs(age) < datetime.timedelta(minutes=1)
    for itself in ("/workspace", ".", "/workspace/", "/tmp/../workspace"):
        stat = await sdk(client.files.stat, sandbox.id, itself)
        assert (stat["path"], stat["type"]) == ("/workspace", "directory")


async def test_mkdir_with_and_without_parents(sdk, client, sandbox, fails):
    stat = await sdk(client.files.mkdir, sandbox.id, "one")
    assert (stat["path"], stat["type"]) == ("/workspace/one", "directory")
    with fails("file_already_exists", 409):
        await sdk(client.files.mkdir, sandbox.id, "one")
    with fails("parent_directory_not_found", 404):
        await sdk(client.files.mkdir, sandbox.id, "x/y/z")
    await sdk(client.files.mkdir, sandbox.id, "x/y/z", parents=True)
    await sdk(client.files.mkdir, sandbox.id, "x/y/z", parents=True)
    await sdk(client.files.write, sandbox.id, "file", "")
    for parents in (None, True):
        with fails("file_already_exists", 409):
            await sdk(client.files.mkdir, sandbox.id, "file", parents=parents)
    with fails("file_already_exists", 409):
        await sdk(client.files.mkdir, sandbox.id, "/workspace")
    await sdk(client.files.mkdir, sandbox.id, "/workspace", parents=True)


async def test_move_renames_and_replaces_only_when_asked(sdk, client, sandbox, fails):
    await sdk(client.files.write, sandbox.id, "a", "A")
    await sdk(client.files.write, sandbox.id, "b", "B")
    with fails("file_already_exists", 409):
        await sdk(client.files.move, sandbox.id, "a", "b")
    stat = await sdk(client.files.move, sandbox.id, "a", "/workspace/b", overwrite=True)
    assert stat["path"] == "/workspace/b" and stat["sizeBytes"] == 1
    assert await sdk(client.files.read, sandbox.id, "b") == "A"
    with fails("file_not_found", 404):
        await sdk(client.files.move, sandbox.id, "a", "c")
    with fails("parent_directory_not_found", 404):
        await sdk(client.files.move, sandbox.id, "b", "no/such/c")
    await sdk(client.files.mkdir, sandbox.id, "dir")
    await sdk(client.files.move, sandbox.id, "b", "dir/b")
    await sdk(client.files.move, sandbox.id, "dir", "renamed")
    assert await sdk(client.files.read, sandbox.id, "renamed/b") == "A"
    with fails("invalid_request", 400):
        await sdk(client.files.move, sandbox.id, "/workspace", "renamed/w")


OUTSIDE = [
    "/etc/passwd",
    "/workspacefoo",
    "/workspace/../etc/passwd",
    "../etc/passwd",
    "/",
    "..",
    "/proc/self/root/etc/passwd",
    "../workspacefoo/x",
    "link-abs",
    "link-rel",
    "link-dir/passwd",
    "link-dangling",
    "link-dangling-dir/new",
    "link-chain",
    "link-proc/etc/passwd",
    "sub/up/up2/etc/passwd",
]


async def test_no_path_leads_out_of_the_workspace(sdk, client, sandbox, fails):
    await sh(
        sdk,
        client,
        sandbox,
        "mkdir -p /workspacefoo sub; echo outside > /workspacefoo/x;"
        "ln -s /etc/passwd link-abs; ln -s ../etc/passwd link-rel; ln -s /etc link-dir;"
        "ln -s /nowhere/at/all link-dangling; ln -s /tmp/missing link-dangling-dir;"
        "ln -s link-abs link-chain; ln -s /proc/self/root link-proc;"
        "ln -s .. sub/up; ln -s .. up2; echo inside > inside",
    )
    before = await sh(sdk, client, sandbox, "ls -la /tmp /workspacefoo; md5sum /etc/passwd")
    for path in OUTSIDE:
        for call, args in [
            (client.files.read, (path,)),
            (client.files.read_bytes, (path,)),
            (client.files.stat, (path,)),
            (client.files.list, (path,)),
            (client.files.write, (path, "x")),
            (client.files.mkdir, (path,)),
            (client.files.delete, (path,)),
            (client.files.move, (path, "stolen")),
            (client.files.move, ("inside", path)),
        ]:
            with fails("path_outside_workspace", 400):
                await sdk(call, sandbox.id, *args)
        for call, options in [
            (client.files.write, {"content": "x", "create_parents": True}),
            (client.files.mkdir, {"parents": True}),
        ]:
            with fails("path_outside_workspace", 400):
                await sdk(call, sandbox.id, path, **options)
        with fails("path_outside_workspace", 400):
            await sdk(client.files.move, sandbox.id, "inside", path, overwrite=True)
    after = await sh(sdk, client, sandbox, "ls -la /tmp /workspacefoo; md5sum /etc/passwd")
    assert after == before and await sdk(client.files.read, sandbox.id, "inside") == "inside\n"


async def test_detours_that_stay_inside_are_fine(sdk, client, sandbox):
    await sh(
        sdk,
        client,
        sandbox,
        "mkdir -p real/deep; echo x > real/deep/f; ln -s real link; ln -s /workspace/real abs;"
        "ln -s deep/f real/alias; ln -s /workspace/new dangling-inside",
    )
    for path in (
        "real/deep/../deep/f",
        "/workspace/../workspace/real/deep/f",
        "link/deep/f",
        "abs/deep/f",
        "real/alias",
        "link/../real/alias",
    ):
        assert await sdk(client.files.read, sandbox.id, path) == "x\n", path
    assert (await sdk(client.files.stat, sandbox.id, "link"))["type"] == "directory"
    kinds = {e["name"]: e["type"] for e in await sdk(client.files.list, sandbox.id)}
    assert kinds == {"real": "directory", "link": "directory", "abs": "directory", "dangling-inside": "file"}
    await sdk(client.files.write, sandbox.id, "dangling-inside", "made")
    assert await sdk(client.files.read, sandbox.id, "new") == "made"
    await sdk(client.files.delete, sandbox.id, "link")
    assert await sdk(client.files.read, sandbox.id, "real/deep/f") == "x\n"


async def test_a_race_of_links_never_leads_out(sdk, client, sandbox):
    await sh(sdk, client, sandbox, "mkdir real; echo inside > real/passwd")
    swap = "while :; do ln -sfn real flip; ln -sfn /etc flip; done"
    command = await sdk(client.commands.start, sandbox.id, swap)
    from crownest import CrowNestApiError

    inside = refused = 0
    for _ in range(300):
        try:
            assert await sdk(client.files.read, sandbox.id, "flip/passwd") == "inside\n"
            inside += 1
        except CrowNestApiError as error:
            assert error.code in ("path_outside_workspace", "file_not_found"), error.code
            refused += 1
    await sdk(client.commands.cancel, command["id"], mode="force")
    assert inside and refused


async def test_download_streams_files_of_any_size(sdk, client, sandbox, server, fails):
    await sh(sdk, client, sandbox, "head -c 3000000 /dev/urandom > big; md5sum big")
    answer = server.native(
        "GET", f"/crownest/v1/sandboxes/{sandbox.id}/files/download", params={"path": "big"}
    )
    assert answer.status_code == 200 and len(answer.content) == 3_000_000
