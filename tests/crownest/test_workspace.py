"""The workspace is there from the first call, whatever image the template boots."""

import io
import tarfile

import pytest

pytestmark = pytest.mark.anyio

USERS = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"


def root_filesystem() -> bytes:
    """One that has no /workspace, as those of registries have none."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(USERS)
        tar.addfile(entry, io.BytesIO(USERS))
    return content.getvalue()


@pytest.fixture(scope="module", params=["root", "app"])
def template(request, server):
    name = f"lacks-workspace-{request.param}"
    imported = server.native("PUT", f"/v1/images/{name}", content=root_filesystem())
    assert imported.status_code in (200, 201), imported.text
    recipe = {"image": name, "user": request.param}
    made = server.native("PUT", f"/v1/templates/{name}", json=recipe)
    assert made.status_code in (200, 201), made.text
    return name


async def test_files_need_no_command_before_them(sdk, client, template):
    sandbox = await sdk(client.sandboxes.create, template=template)
    files = sandbox.files
    assert await sdk(files.list) == []
    assert (await sdk(files.stat, "/workspace"))["type"] == "directory"
    assert (await sdk(files.write, "a.txt", "first"))["path"] == "/workspace/a.txt"
    assert await sdk(files.read, "a.txt") == "first"
    await sdk(files.mkdir, "d")
    await sdk(files.write, "e/f/g", "deep", create_parents=True)
    assert [one["name"] for one in await sdk(files.list)] == ["a.txt", "d", "e"]
    kept = await sdk(sandbox.artifacts.create, path="a.txt")
    assert await sdk(client.artifacts.download, kept["id"]) == b"first"
    await sdk(sandbox.kill)
